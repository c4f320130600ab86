//! Frees of what is not allocated.

use super::driver_set::DriverSet;
use super::freed::Freed;
use crate::address::Va;
use crate::hits::StackId;
use crate::tag::Tag;

/// A free of a block that is not allocated. The kernel stops at most of them with a bug check before
/// it compares the tag, and then the ledger is not told; see
/// [`LeakReport::bad_frees`](super::LeakReport::bad_frees).
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
    FreedBefore(LastFree),
}

/// What is known of a block that has been freed and not been given out again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastFree {
    /// The number of its allocation.
    pub allocated: u64,
    /// The way of its allocation, as an index of [`Ledger::paths`](super::Ledger::paths).
    pub path: usize,
    /// The number of the free.
    pub freed: u64,
    /// Who freed it.
    pub stack: StackId,
}

impl From<Freed> for LastFree {
    fn from(freed: Freed) -> LastFree {
        LastFree {
            allocated: freed.allocated,
            path: freed.path as usize,
            freed: freed.sequence,
            stack: freed.stack,
        }
    }
}
