//! The blocks that were freed last.

use super::key_map::KeyMap;
use crate::address::Va;
use crate::hits::StackId;
use std::collections::VecDeque;

/// A block that has been freed and not been given out again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freed {
    /// The number of its allocation.
    pub allocated: u64,
    pub path: u32,
    /// The number of the free.
    pub sequence: u64,
    pub stack: StackId,
}

impl Default for Freed {
    fn default() -> Freed {
        Freed {
            allocated: 0,
            path: 0,
            sequence: 0,
            stack: StackId::NOT_KEPT,
        }
    }
}

/// The last of them.
#[derive(Clone, Debug)]
pub(super) struct FreedBlocks {
    blocks: KeyMap<Freed>,
    /// Block and number of each free, the oldest first. One whose block has been given out again stays
    /// until its turn.
    order: VecDeque<(Va, u64)>,
    limit: usize,
}

impl FreedBlocks {
    pub fn new(limit: usize) -> FreedBlocks {
        FreedBlocks {
            blocks: KeyMap::new(limit),
            order: VecDeque::new(),
            limit,
        }
    }

    #[inline]
    pub fn note(&mut self, block: Va, freed: Freed) {
        if self.limit == 0 {
            return;
        }
        if self.order.len() == self.limit
            && let Some((oldest, sequence)) = self.order.pop_front()
            && self
                .get(oldest)
                .is_some_and(|known| known.sequence == sequence)
        {
            self.blocks.remove(oldest.0);
        }
        // There is room: no block is there without a place in the order.
        if self.blocks.insert(block.0, freed).is_ok() {
            self.order.push_back((block, freed.sequence));
        }
    }

    #[inline]
    pub fn forget(&mut self, block: Va) {
        self.blocks.remove(block.0);
    }

    pub fn get(&self, block: Va) -> Option<Freed> {
        self.blocks.get(block.0)
    }
}
