//! Whoever looks at the stops of a lab's runs, and has the lab run on behind some.

use super::lab::Lab;
use crate::machine::{EngineError, Exit};
use std::fmt;

type Pass = dyn FnMut(&mut Lab, &Exit) -> Result<bool, EngineError> + Send;

/// Says of each exit but a fault whether the lab runs on behind it.
pub(crate) struct Passing(pub Box<Pass>);

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passing")
    }
}

impl Lab {
    /// Sets who looks at the stops of runs; `None` for nobody.
    pub(crate) fn set_passing(&mut self, passing: Option<Passing>) {
        self.passing = passing;
    }

    /// Whether the lab runs on behind this exit.
    pub(super) fn passes(&mut self, exit: &Exit) -> Result<bool, EngineError> {
        let Some(mut passing) = self.passing.take() else {
            return Ok(false);
        };
        let passes = passing.0(self, exit);
        self.passing = Some(passing);
        passes
    }
}
