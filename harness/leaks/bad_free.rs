//! Frees of what is not allocated.

use super::ledger::DriverSet;
use crate::address::Va;
use crate::hits::StackId;
use crate::tag::Tag;

/// A free of a block that is not allocated. The kernel stops at most of them with a bug check before
/// it compares the tag, and then the ledger is not told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadFree {
    /// What is wrong.
    pub kind: BadFreeKind,
    /// The address.
    pub block: Va,
    /// The tag that the kernel has found there.
    pub tag: Tag,
    /// Who frees.
    pub stack: StackId,
    /// The drivers on that stack.
    pub drivers: DriverSet,
    /// The number of the free among all pool calls.
    pub sequence: u64,
}

/// What is wrong with a free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadFreeKind {
    /// No allocation has given this address, or the free of the block is so long ago that it is not
    /// remembered ([`LedgerLimits::freed`](super::LedgerLimits::freed)).
    NotAllocated,
    /// The block has been freed before, and not been given out again.
    FreedBefore {
        /// The number of its allocation.
        allocated: u64,
        /// The way of its allocation, as an index of [`Ledger::paths`](super::Ledger::paths).
        path: usize,
        /// The number of the first free.
        freed: u64,
        /// Who freed it first.
        stack: StackId,
    },
}
