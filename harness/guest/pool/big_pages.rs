//! `nt!PoolBigPageTable`: the allocations of whole pages (`_POOL_TRACKER_BIG_PAGES`, 0x18 bytes).

use super::{PoolError, PoolKind, PoolView, tag_at, u32_at, u64_at};
use crate::address::Va;
use crate::tag::Tag;
use std::ops::Range;

/// The most entries that are read.
pub const BIG_PAGE_LIMIT: u64 = 1 << 20;
const ENTRY_SIZE: usize = 0x18;
const TABLE: &str = "nt!PoolBigPageTable";

/// An allocation of whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BigPage {
    /// Its first byte.
    pub address: Va,
    /// The tag kept for it, with the protection bit if it has one.
    pub tag: Tag,
    /// The pool it is from.
    pub kind: PoolKind,
    /// Its size in bytes.
    pub bytes: u64,
}

/// All allocations of whole pages, by ascending address.
#[derive(Clone, Debug)]
pub struct BigPages {
    table: Range<Va>,
    /// By ascending address; corrupt entries may overlap.
    entries: Vec<BigPage>,
}

impl BigPages {
    /// The addresses of the table itself.
    ///
    /// ```
    /// use poolhit::guest::pool::PoolKind;
    /// let lab = poolhit::Lab::builder().build()?;
    /// let table = lab.pool()?.big_pages()?.table();
    /// assert_eq!(PoolKind::containing(table.start), Some(PoolKind::NonPaged));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn table(&self) -> Range<Va> {
        self.table.clone()
    }

    /// The allocations, by ascending address.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let before = lab.pool()?.big_pages()?.iter().count();
    /// lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x3261654c])?;
    /// assert_eq!(lab.pool()?.big_pages()?.iter().count(), before + 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &BigPage> {
        self.entries.iter()
    }

    /// The allocation that an address is in. Takes O(log n) and does not allocate.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let at = lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x3261654c])?.value;
    /// let big = lab.pool()?.big_pages()?;
    /// assert_eq!(big.containing(Va(at + 0x1fff)).unwrap().address, Va(at));
    /// assert_eq!(big.containing(Va(at + 0x2000)), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn containing(&self, address: Va) -> Option<&BigPage> {
        let behind = self.entries.partition_point(|one| one.address <= address);
        let last = self.entries[..behind].last()?;
        (address - last.address < last.bytes).then_some(last)
    }
}

impl PoolView<'_> {
    /// The allocations of whole pages. Entries that are free, which have the low bit of their
    /// address set, are left out.
    ///
    /// # Errors
    /// The table is not in memory, or its size makes no sense.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert!(lab.pool()?.big_pages()?.iter().all(|one| one.bytes >= 0x1000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn big_pages(&self) -> Result<BigPages, PoolError> {
        let variables = &self.variables;
        let place = (variables.big_page_table, variables.big_page_table_size);
        let (base, count) = self.table(TABLE, place, BIG_PAGE_LIMIT)?;
        let mut entries = Vec::new();
        let mut add = |bytes: &[u8; ENTRY_SIZE]| {
            let address = u64_at(bytes, 0);
            if address & 1 == 0 {
                entries.push(BigPage {
                    address: Va(address),
                    tag: tag_at(bytes, 0x8),
                    kind: PoolKind::from_pool_type(u32_at(bytes, 0xc)),
                    bytes: u64_at(bytes, 0x10),
                });
            }
        };
        self.visit_entries(TABLE, (base, count), &mut add)?;
        entries.sort_by_key(|one| one.address);
        let table = base..base.wrapping_add(count * ENTRY_SIZE as u64);
        Ok(BigPages { table, entries })
    }
}
