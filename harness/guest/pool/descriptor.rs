//! Pool descriptors (`_POOL_DESCRIPTOR`, 0x1140 bytes): totals, and the lists of free blocks.

use super::{BLOCK_UNIT, PoolError, PoolKind, PoolView, u32_at, u64_at};
use crate::address::Va;

/// How many free lists a descriptor has. List `n` is of blocks of `n + 1` units of 16 bytes.
pub const LIST_HEADS: usize = 256;
/// The most blocks that one free list is followed for.
pub const FREE_LIST_LIMIT: usize = 1 << 20;
const LIST_HEADS_OFFSET: u64 = 0x140;
const VECTOR: &str = "nt!PoolVector";

/// What a descriptor counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolDescriptor {
    /// Where it lies.
    pub address: Va,
    /// The pool it says it describes (`PoolType`, its basic type).
    pub kind: PoolKind,
    /// Allocations so far (`RunningAllocs`); wraps at 32 bits.
    pub running_allocs: u32,
    /// Frees so far (`RunningDeAllocs`); wraps at 32 bits.
    pub running_frees: u32,
    /// Pages in large allocations (`TotalBigPages`).
    pub big_pages: u32,
    /// Bytes allocated and not freed (`TotalBytes`).
    pub bytes: u64,
    /// The number of this pool among those of its type (`PoolIndex`).
    pub index: u32,
    /// Pages of blocks (`TotalPages`).
    pub pages: u32,
}

/// What is wrong with a free list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FreeListDamage {
    /// A link leads to where nothing can be read.
    Unreadable {
        /// Where it leads.
        link: Va,
    },
    /// A block's backward link does not lead to the block before it on the list.
    BackLink {
        /// The block's links.
        link: Va,
        /// Where the backward link leads.
        found: Va,
        /// Where it should lead.
        expected: Va,
    },
    /// The list does not end within [`FREE_LIST_LIMIT`] blocks.
    TooLong,
}

/// A free list, up to the first thing in it that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FreeList {
    /// The headers' addresses of the blocks on it, the one to be used next first.
    pub blocks: Vec<Va>,
    /// What ended it early.
    pub damage: Option<FreeListDamage>,
}

impl PoolView<'_> {
    /// A pool's descriptor, by `nt!PoolVector`.
    ///
    /// # Errors
    /// It is not in memory.
    ///
    /// ```
    /// use poolhit::{Lab, guest::pool::PoolKind};
    /// let mut lab = Lab::builder().build()?;
    /// let before = lab.pool()?.descriptor(PoolKind::Paged)?;
    /// lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x3261654c])?;
    /// let after = lab.pool()?.descriptor(PoolKind::Paged)?;
    /// assert_eq!(after.running_allocs, before.running_allocs + 1);
    /// assert_eq!(after.bytes, before.bytes + 0x2000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn descriptor(&self, kind: PoolKind) -> Result<PoolDescriptor, PoolError> {
        let memory = |fault| PoolError::Memory {
            what: VECTOR,
            fault,
        };
        let slot = self.variables.pool_vector.wrapping_add(kind as u64 * 8);
        let address = self.memory.read_va(slot).map_err(memory)?;
        let mut bytes = [0; LIST_HEADS_OFFSET as usize];
        self.memory.read(address, &mut bytes).map_err(memory)?;
        Ok(PoolDescriptor {
            address,
            kind: PoolKind::from_pool_type(u32_at(&bytes, 0)),
            running_allocs: u32_at(&bytes, 0x40),
            running_frees: u32_at(&bytes, 0x44),
            big_pages: u32_at(&bytes, 0x48),
            bytes: u64_at(&bytes, 0x50),
            index: u32_at(&bytes, 0x80),
            pages: u32_at(&bytes, 0xc0),
        })
    }

    /// A descriptor's list of the free blocks of `index + 1` units of 16 bytes.
    ///
    /// ```
    /// use poolhit::{Lab, guest::pool::{LIST_HEADS, PoolKind}};
    /// let lab = Lab::builder().build()?;
    /// let pool = lab.pool()?;
    /// let descriptor = pool.descriptor(PoolKind::NonPaged)?;
    /// let lists = (0..LIST_HEADS).map(|index| pool.free_list(&descriptor, index));
    /// assert!(lists.map(|list| list.blocks.len()).sum::<usize>() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn free_list(&self, descriptor: &PoolDescriptor, index: usize) -> FreeList {
        let offset = LIST_HEADS_OFFSET + index.min(LIST_HEADS - 1) as u64 * 16;
        let head = descriptor.address.wrapping_add(offset);
        let mut blocks = Vec::new();
        let mut at = head;
        let damage = loop {
            let Ok(link) = self.memory.read_va(at) else {
                break Some(FreeListDamage::Unreadable { link: at });
            };
            let Ok(found) = self.memory.read_va(link.wrapping_add(8)) else {
                break Some(FreeListDamage::Unreadable { link });
            };
            // Since each block is the next of only one, a list that checks out cannot go round
            // without its head.
            if found != at {
                let expected = at;
                break Some(FreeListDamage::BackLink {
                    link,
                    found,
                    expected,
                });
            }
            if link == head {
                break None;
            }
            if blocks.len() == FREE_LIST_LIMIT {
                break Some(FreeListDamage::TooLong);
            }
            blocks.push(link.wrapping_sub(BLOCK_UNIT));
            at = link;
        };
        FreeList { blocks, damage }
    }
}
