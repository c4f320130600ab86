//! Pool calls, and what is added up of them.

use super::account::Account;
use super::driver_set::DriverSet;
use super::timeline::Line;
use crate::address::Va;
use crate::hits::StackId;
use crate::tag::Tag;

/// A pool call: who made it, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolCall {
    /// The tag: of an allocation the caller's, of a free the one kept with the block.
    pub tag: Tag,
    /// The calls that led to it.
    pub stack: StackId,
    /// The drivers among these.
    pub drivers: DriverSet,
    /// The work the guest had done, in bytes of code executed.
    pub work: u64,
}

/// A block that is allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveBlock {
    /// Its address.
    pub block: Va,
    /// The bytes asked for.
    pub bytes: u64,
    /// By which of the [`paths`](super::Ledger::paths), as an index.
    pub path: usize,
    /// The number of the allocation among all pool calls.
    pub sequence: u64,
    /// How many repetitions had been marked when it was allocated.
    pub repeat: u64,
}

/// One way to one tag's allocations: a stack, and the tag passed at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallPath {
    /// The stack.
    pub stack: StackId,
    /// The tag, without its protected bit.
    pub tag: Tag,
    /// The drivers on the stack.
    pub drivers: DriverSet,
    /// What came of it.
    pub account: Account,
    /// The tag's account.
    pub(super) tag_account: u32,
}

/// What has been done with one tag by the same drivers.
#[derive(Clone, Debug)]
pub struct TagAccount {
    /// The tag, without its protected bit.
    pub tag: Tag,
    /// The drivers on the stacks.
    pub drivers: DriverSet,
    /// What came of it.
    pub account: Account,
    pub(super) line: Line,
}
