//! The pool, as the guest's own structures tell it: counters per tag, allocations of whole pages,
//! descriptors with their free lists, and pages of blocks.
//!
//! Layouts are those of Windows 7 x64: `_POOL_TRACKER_TABLE`, `_POOL_TRACKER_BIG_PAGES`,
//! `_POOL_DESCRIPTOR` and `_POOL_HEADER`, asserted in the guest's sources
//! (`fixtures/guest/include/ntpool.h`) and part of its PDB. Nothing is kept between two questions, and
//! nothing read is believed: a table's size, a link or a block's size may have been overwritten, so
//! every walk has a limit, and damage is reported as a value.
//!
//! ```
//! use poolhit::Lab;
//! use poolhit::guest::pool::PoolKind;
//! use poolhit::tag::Tag;
//!
//! let mut lab = Lab::builder().build()?;
//! let tag = Tag::from_bytes(*b"Lea2");
//! let block = lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, tag.into()])?.value;
//! let page = lab.pool()?.page(poolhit::address::Va(block))?;
//! let found = page.block_at(poolhit::address::Va(block)).unwrap();
//! assert_eq!(found.header.tag, tag);
//! assert_eq!(found.size(), 0x110);
//! assert_eq!(PoolKind::containing(found.address), Some(PoolKind::NonPaged));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod big_pages;
mod block;
mod descriptor;
mod page;
mod tracker;

pub use big_pages::{BIG_PAGE_LIMIT, BigPage, BigPages};
pub use block::{BLOCK_UNIT, BlockState, PoolBlock, PoolHeader};
pub use descriptor::{FREE_LIST_LIMIT, FreeList, FreeListDamage, LIST_HEADS, PoolDescriptor};
pub use page::{DamageKind, PageDamage, PoolPage, SingleBit};
pub use tracker::{PoolTracker, PoolUse, TRACKER_LIMIT};

use super::lab::Lab;
use crate::address::Va;
use crate::memory::{FaultReason, MemoryFault, ReadMemory};
use crate::tag::Tag;
use std::ops::Range;

/// The size of a page in bytes.
pub const PAGE_SIZE: u64 = 0x1000;
/// How much of the address space each pool may hand out, in bytes.
pub const POOL_RANGE: u64 = 256 << 20;

/// The basic pool types (`_POOL_TYPE`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PoolKind {
    /// Always in memory.
    NonPaged,
    /// May be paged out, and is gone at `DISPATCH_LEVEL` and above.
    Paged,
}

impl PoolKind {
    /// Both, in the order of `_POOL_TYPE`.
    pub const ALL: [PoolKind; 2] = [PoolKind::NonPaged, PoolKind::Paged];

    /// The basic type in the low bit of a `_POOL_TYPE`.
    ///
    /// ```
    /// use poolhit::guest::pool::PoolKind;
    /// assert_eq!(PoolKind::from_pool_type(0x11), PoolKind::Paged);
    /// ```
    pub fn from_pool_type(pool_type: u32) -> PoolKind {
        if pool_type & 1 == 0 {
            PoolKind::NonPaged
        } else {
            PoolKind::Paged
        }
    }

    /// The addresses that the pool hands out, on Windows 7 x64 (Microsoft, "Virtual address
    /// spaces"; *Windows Internals*, 6th edition, part 2, chapter 10).
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::PoolKind};
    /// assert_eq!(PoolKind::Paged.range().start, Va(0xfffff8a0_00000000));
    /// ```
    pub fn range(self) -> Range<Va> {
        let start = match self {
            PoolKind::NonPaged => Va(0xffff_fa80_0000_0000),
            PoolKind::Paged => Va(0xffff_f8a0_0000_0000),
        };
        start..start.wrapping_add(POOL_RANGE)
    }

    /// The pool that an address belongs to, if it belongs to one.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::PoolKind};
    /// assert_eq!(PoolKind::containing(Va(0xfffffa80_00001000)), Some(PoolKind::NonPaged));
    /// assert_eq!(PoolKind::containing(Va(0xfffff800_00000000)), None);
    /// ```
    pub fn containing(address: Va) -> Option<PoolKind> {
        PoolKind::ALL
            .into_iter()
            .find(|kind| kind.range().contains(&address))
    }
}

/// The pool cannot be looked at, or not all of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoolError {
    /// The kernel's symbols do not name a structure.
    #[error("the pool cannot be found: there is no symbol nt!{0}; it needs the kernel's own PDB")]
    NoSymbol(&'static str),
    /// A structure is not in memory.
    #[error("{what} cannot be read: {fault}")]
    Memory {
        /// The structure, by the name of its variable in the kernel.
        what: &'static str,
        /// Where and why not.
        #[source]
        fault: MemoryFault,
    },
    /// A table says that it is larger than any can be: its size has been overwritten.
    #[error("{what} has {entries} entries, it says; the limit is {limit}")]
    TooLarge {
        /// The table, by the name of its variable in the kernel.
        what: &'static str,
        /// The entries it is said to have.
        entries: u64,
        /// The most that are read.
        limit: u64,
    },
}

/// Where the kernel keeps its pool's structures: the addresses of its variables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Variables {
    track_table: Va,
    track_table_size: Va,
    big_page_table: Va,
    big_page_table_size: Va,
    pool_vector: Va,
}

/// A view of the guest's pool. It keeps nothing but where to look.
#[derive(Clone, Copy)]
pub struct PoolView<'a> {
    memory: &'a dyn ReadMemory,
    variables: Variables,
}

impl std::fmt::Debug for PoolView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PoolView({:?})", self.variables)
    }
}

impl Lab {
    /// The guest's pool.
    ///
    /// # Errors
    /// The kernel's symbols do not say where it is.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert!(!lab.pool()?.trackers()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pool(&self) -> Result<PoolView<'_>, PoolError> {
        let find = |name| self.kernel_symbol(name).ok_or(PoolError::NoSymbol(name));
        Ok(PoolView {
            memory: self.machine(),
            variables: Variables {
                track_table: find("PoolTrackTable")?,
                track_table_size: find("PoolTrackTableSize")?,
                big_page_table: find("PoolBigPageTable")?,
                big_page_table_size: find("PoolBigPageTableSize")?,
                pool_vector: find("PoolVector")?,
            },
        })
    }
}

impl<'a> PoolView<'a> {
    /// The addresses of the pool's pages that are in memory, from the lowest on, as the guest's
    /// page tables have them. At `DISPATCH_LEVEL` and above paged pool has none.
    ///
    /// ```
    /// use poolhit::{Lab, guest::pool::PoolKind};
    /// let lab = Lab::builder().build()?;
    /// let first = lab.pool()?.mapped_pages(PoolKind::NonPaged).next();
    /// assert_eq!(first, Some(PoolKind::NonPaged.range().start));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mapped_pages(&self, kind: PoolKind) -> impl Iterator<Item = Va> + use<'a> {
        let range = kind.range();
        let memory = self.memory;
        let mut next = range.start;
        std::iter::from_fn(move || {
            while next < range.end {
                let at = next;
                let step = match memory.read_u8(at) {
                    Ok(_) => PAGE_SIZE,
                    Err(fault) => missing_bytes(fault.reason),
                };
                // A table that is missing is missing for all that it would map.
                next = Va(at.0 & !(step - 1)).wrapping_add(step);
                if step == PAGE_SIZE && memory.read_u8(at).is_ok() {
                    return Some(at);
                }
            }
            None
        })
    }

    /// Reads the page that an address is in, and walks its blocks.
    ///
    /// # Errors
    /// The page is not in memory.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let lab = Lab::builder().build()?;
    /// assert!(lab.pool()?.page(Va(0x1000)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn page(&self, address: Va) -> Result<PoolPage, MemoryFault> {
        let base = Va(address.0 & !(PAGE_SIZE - 1));
        let mut bytes = Box::new([0; PAGE_SIZE as usize]);
        self.memory.read(base, &mut bytes[..])?;
        Ok(PoolPage::parse(base, bytes))
    }

    /// Shows every block of a pool to `visit`, from the lowest address on, until it says `false`.
    /// Pages that do not start with a block's header are left out: those of large allocations, and
    /// the tables of the memory and pool managers.
    ///
    /// # Errors
    /// The table of large allocations cannot be read.
    ///
    /// ```
    /// use poolhit::{Lab, guest::pool::PoolKind};
    /// let lab = Lab::builder().build()?;
    /// let mut allocated = 0;
    /// lab.pool()?.visit_blocks(PoolKind::NonPaged, &mut |block| {
    ///     allocated += u64::from(block.is_allocated());
    ///     true
    /// })?;
    /// assert!(allocated > 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn visit_blocks(
        &self,
        kind: PoolKind,
        visit: &mut dyn FnMut(&PoolBlock) -> bool,
    ) -> Result<(), PoolError> {
        let big = self.big_pages()?;
        let tables = [big.table(), self.tracker_table()?];
        for base in self.mapped_pages(kind) {
            let is_table = tables.iter().any(|table| table.contains(&base));
            if is_table || big.containing(base).is_some() {
                continue;
            }
            let Ok(page) = self.page(base) else { continue };
            if page.starts_with_block() && !page.blocks.iter().all(&mut *visit) {
                break;
            }
        }
        Ok(())
    }

    /// Reads a variable of the kernel that points to a table, and one that says how many entries
    /// it has.
    fn table(
        &self,
        what: &'static str,
        (table, size): (Va, Va),
        limit: u64,
    ) -> Result<(Va, u64), PoolError> {
        let memory = |fault| PoolError::Memory { what, fault };
        let base = self.memory.read_va(table).map_err(memory)?;
        let entries = self.memory.read_u64(size).map_err(memory)?;
        if entries > limit {
            return Err(PoolError::TooLarge {
                what,
                entries,
                limit,
            });
        }
        Ok((base, entries))
    }

    /// Shows the entries of a table to `visit`, `SIZE` bytes each.
    fn visit_entries<const SIZE: usize>(
        &self,
        what: &'static str,
        (base, entries): (Va, u64),
        visit: &mut dyn FnMut(&[u8; SIZE]),
    ) -> Result<(), PoolError> {
        // Some pages at a time: the table's size is the guest's word, memory is not.
        const CHUNK: u64 = 512;
        let mut buffer = vec![0; SIZE * CHUNK as usize];
        let mut done = 0;
        while done < entries {
            let count = CHUNK.min(entries - done);
            let bytes = &mut buffer[..SIZE * count as usize];
            let at = base.wrapping_add(done * SIZE as u64);
            let read = self.memory.read(at, bytes);
            read.map_err(|fault| PoolError::Memory { what, fault })?;
            for entry in bytes.chunks_exact(SIZE) {
                if let Ok(entry) = entry.try_into() {
                    visit(entry);
                }
            }
            done += count;
        }
        Ok(())
    }
}

/// How much of the address space is missing with the table entry that is not present, in bytes.
fn missing_bytes(reason: FaultReason) -> u64 {
    match reason {
        FaultReason::NotPresent { level: 2 } => 2 << 20,
        FaultReason::NotPresent { level: 3 } => 1 << 30,
        FaultReason::NotPresent { level: 4 } => 512 << 30,
        _ => PAGE_SIZE,
    }
}

/// A little-endian field of a structure; zero where the structure is too short.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes
        .get(at..at + 4)
        .and_then(|field| field.try_into().ok());
    field.map_or(0, u32::from_le_bytes)
}

/// As [`u32_at`], of a tag.
fn tag_at(bytes: &[u8], at: usize) -> Tag {
    Tag(u32_at(bytes, at))
}

/// As [`u32_at`], of eight bytes.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes
        .get(at..at + 8)
        .and_then(|field| field.try_into().ok());
    field.map_or(0, u64::from_le_bytes)
}
