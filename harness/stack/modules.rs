//! What an unwinder asks of the list of loaded images.

use crate::address::Va;
use crate::image::function_table::ImageBytes;

/// The loaded images, by address.
pub trait UnwindModules {
    /// The image that `address` lies in, with the address it is loaded at.
    fn find(&self, address: Va) -> Option<(Va, &dyn ImageBytes)>;
}
