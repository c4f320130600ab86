//! How much a ledger keeps, and what it could not.

use std::fmt;

/// How much a [`Ledger`](super::Ledger) keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LedgerLimits {
    /// The most blocks that are allocated at a time; 48 bytes of the host's memory each.
    pub blocks: usize,
    /// The most ways: a stack and a tag each; up to 1 KB each.
    pub paths: usize,
    /// The most tags, each counted anew for other drivers; some 2 KB each.
    pub tags: usize,
    /// The most blocks that are remembered when they have been freed, for frees that come again.
    pub freed: usize,
    /// The most bad frees that are kept; the others are counted.
    pub bad_frees: usize,
}

impl Default for LedgerLimits {
    fn default() -> LedgerLimits {
        LedgerLimits {
            blocks: 1 << 20,
            paths: 1 << 16,
            tags: 1 << 12,
            freed: 1 << 14,
            bad_frees: 64,
        }
    }
}

/// What could not be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// Allocations that found no room in the ledger. Their frees are frees of unknown blocks, and
    /// once there is one, no such free is reported as bad.
    pub blocks: u64,
    /// Allocations whose way or tag found no room, and which are counted with others of the kind, as
    /// [`StackId::NOT_KEPT`](crate::hits::StackId::NOT_KEPT) and tag 0.
    pub paths: u64,
    /// Frees of blocks that the ledger does not know, and which it cannot call bad.
    pub unmatched_frees: u64,
    /// Blocks that were given out again although they had not been freed.
    pub replaced: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} allocations and {} code paths not kept, {} frees unmatched, {} blocks given out twice",
            self.blocks, self.paths, self.unmatched_frees, self.replaced
        )
    }
}
