//! What an unwinder asks of the list of loaded images, and of whoever runs them.

use crate::address::Va;
use crate::image::function_table::ImageBytes;

/// The loaded images, by address.
pub trait UnwindModules {
    /// The image that `address` lies in, with the address it is loaded at.
    fn find(&self, address: Va) -> Option<(Va, &dyn ImageBytes)>;

    /// Whether a function that returns to `address` was called from outside the guest: its frame is
    /// the last, and what lies above it on the stack is no frame. Nobody calls so by default.
    fn is_outside(&self, address: Va) -> bool {
        let _ = address;
        false
    }
}
