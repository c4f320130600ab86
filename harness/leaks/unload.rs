//! What a driver leaves behind when it is unloaded.

use super::account::Held;
use crate::guest::BugCheck;

/// What a driver had not freed when it was unloaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unload {
    /// Its blocks, of paged and nonpaged pool.
    pub left: Held,
    /// The number of all pool calls before.
    pub calls: u64,
}

impl Unload {
    /// The bug check with which Driver Verifier stops there, if anything is left:
    /// `DRIVER_VERIFIER_DETECTED_VIOLATION` with 0x62 for its first parameter, "a driver has forgotten to
    /// free its pool allocations prior to unloading" ("Bug Check 0xC4" in the debugger's manual). The
    /// second parameter is the address of the driver's name and the third one of the verifier's own, and
    /// both are 0 here, since no verifier is in the guest; the fourth is the number of allocations.
    ///
    /// ```
    /// use poolhit::leaks::{Held, Unload};
    /// let left = Held { blocks: 3, bytes: 0x60 };
    /// let check = Unload { left, calls: 10 }.bug_check().unwrap();
    /// assert_eq!((check.code, check.parameters), (0xc4, [0x62, 0, 0, 3]));
    /// assert_eq!(Unload { left: Held::default(), calls: 10 }.bug_check(), None);
    /// ```
    pub fn bug_check(&self) -> Option<BugCheck> {
        (self.left.blocks > 0).then_some(BugCheck {
            code: 0xc4,
            parameters: [0x62, 0, 0, self.left.blocks],
        })
    }
}
