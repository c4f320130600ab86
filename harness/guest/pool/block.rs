//! Blocks within a page: `_POOL_HEADER` of Windows 7 x64, 16 bytes in front of what was allocated.

use super::{PoolKind, tag_at, u64_at};
use crate::address::Va;
use crate::tag::Tag;

/// What block sizes are counted in, and the size of a header, in bytes.
pub const BLOCK_UNIT: u64 = 16;

const IN_USE: u8 = 2;
const CACHED: u8 = 4;
const QUOTA: u8 = 8;

/// A block's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolHeader {
    /// The size of the block before this one in the page, in units of 16 bytes; 0 for the first.
    pub previous_size: u8,
    /// Which of several pools of this type the block is from.
    pub pool_index: u8,
    /// The block's size in units of 16 bytes, with the header.
    pub block_size: u8,
    /// Whether it is in use, and as what: see [`BlockState`].
    pub pool_type: u8,
    /// The tag, with the protection bit if it has one. A free block keeps its last.
    pub tag: Tag,
    /// The process that is charged for the block, if [`BlockState::Allocated`] says so.
    pub process_billed: Va,
}

/// What a header says its block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockState {
    /// On a free list of the pool.
    Free,
    /// Freed into a processor's cache (`_KPRCB.PPNPagedLookasideList`), not to the pool itself.
    Cached,
    /// In use.
    Allocated {
        /// The pool it says it is from.
        kind: PoolKind,
        /// Whether a process is charged for it.
        quota: bool,
    },
    /// No value that the pool writes.
    Unknown,
}

impl PoolHeader {
    /// Reads a header from the bytes in front of a block.
    ///
    /// ```
    /// use poolhit::guest::pool::{BlockState, PoolHeader, PoolKind};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x03Lea2\0\0\0\0\0\0\0\0");
    /// assert_eq!((header.previous_size, header.block_size), (4, 0x21));
    /// assert_eq!(header.tag.to_string(), "Lea2");
    /// let state = BlockState::Allocated { kind: PoolKind::Paged, quota: false };
    /// assert_eq!(header.state(), state);
    /// ```
    pub fn parse(bytes: &[u8; BLOCK_UNIT as usize]) -> PoolHeader {
        let [previous_size, pool_index, block_size, pool_type, ..] = *bytes;
        PoolHeader {
            previous_size,
            pool_index,
            block_size,
            pool_type,
            tag: tag_at(bytes, 4),
            process_billed: Va(u64_at(bytes, 8)),
        }
    }

    /// What the header says its block is.
    ///
    /// ```
    /// use poolhit::guest::pool::{BlockState, PoolHeader};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x04Lea2\0\0\0\0\0\0\0\0");
    /// assert_eq!(header.state(), BlockState::Cached);
    /// ```
    pub fn state(&self) -> BlockState {
        match self.pool_type {
            0 => BlockState::Free,
            CACHED => BlockState::Cached,
            value if value & IN_USE != 0 && value & !(IN_USE | QUOTA | 1) == 0 => {
                BlockState::Allocated {
                    kind: PoolKind::from_pool_type(u32::from(value)),
                    quota: value & QUOTA != 0,
                }
            }
            _ => BlockState::Unknown,
        }
    }
}

/// A block in a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolBlock {
    /// Its header's address; what was allocated is 16 bytes behind it.
    pub address: Va,
    /// Its header.
    pub header: PoolHeader,
}

impl PoolBlock {
    /// Its size in bytes, with the header.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::{PoolBlock, PoolHeader}};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x02Lea2\0\0\0\0\0\0\0\0");
    /// let block = PoolBlock { address: Va(0xfffffa80_00001040), header };
    /// assert_eq!(block.size(), 0x210);
    /// ```
    pub fn size(&self) -> u64 {
        u64::from(self.header.block_size) * BLOCK_UNIT
    }

    /// The size of the block before it, in bytes, as its header has it.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::{PoolBlock, PoolHeader}};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x02Lea2\0\0\0\0\0\0\0\0");
    /// let block = PoolBlock { address: Va(0xfffffa80_00001040), header };
    /// assert_eq!(block.previous_size(), 0x40);
    /// ```
    pub fn previous_size(&self) -> u64 {
        u64::from(self.header.previous_size) * BLOCK_UNIT
    }

    /// What was allocated: behind the header.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::{PoolBlock, PoolHeader}};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x02Lea2\0\0\0\0\0\0\0\0");
    /// let block = PoolBlock { address: Va(0xfffffa80_00001040), header };
    /// assert_eq!(block.contents(), Va(0xfffffa80_00001050));
    /// ```
    pub fn contents(&self) -> Va {
        self.address.wrapping_add(BLOCK_UNIT)
    }

    /// Whether an address is in it, its header included.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::{PoolBlock, PoolHeader}};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x02Lea2\0\0\0\0\0\0\0\0");
    /// let block = PoolBlock { address: Va(0xfffffa80_00001040), header };
    /// assert!(block.contains(Va(0xfffffa80_0000124f)));
    /// assert!(!block.contains(Va(0xfffffa80_00001250)));
    /// ```
    pub fn contains(&self, address: Va) -> bool {
        address - self.address < self.size()
    }

    /// Whether it is in use.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::{PoolBlock, PoolHeader}};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x00Lea2\0\0\0\0\0\0\0\0");
    /// let block = PoolBlock { address: Va(0xfffffa80_00001040), header };
    /// assert!(!block.is_allocated());
    /// ```
    pub fn is_allocated(&self) -> bool {
        matches!(self.header.state(), BlockState::Allocated { .. })
    }

    /// Whether it may be freed only with its own tag.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::{PoolBlock, PoolHeader}};
    /// let header = PoolHeader::parse(b"\x04\x00\x21\x02Lea\xb2\0\0\0\0\0\0\0\0");
    /// let block = PoolBlock { address: Va(0xfffffa80_00001040), header };
    /// assert!(block.is_protected());
    /// ```
    pub fn is_protected(&self) -> bool {
        self.is_allocated() && self.header.tag.is_protected()
    }
}
