//! What a lab is watched by from its first instruction on.

use super::lab::Lab;
use crate::address::Va;
use crate::machine::probe::Watcher;
use std::fmt;
use std::sync::Arc;

/// A watcher, and where it looks.
pub type Watching = (Box<dyn Watcher>, Vec<Va>);

/// Makes a watcher for a lab that is loaded, and has not run yet.
#[derive(Clone)]
pub(super) struct MakeWatcher(Arc<dyn Fn(&Lab) -> Watching + Send + Sync>);

impl MakeWatcher {
    pub fn new(make: impl Fn(&Lab) -> Watching + Send + Sync + 'static) -> MakeWatcher {
        MakeWatcher(Arc::new(make))
    }

    pub fn make(&self, lab: &Lab) -> Watching {
        (self.0)(lab)
    }
}

impl fmt::Debug for MakeWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeWatcher")
    }
}
