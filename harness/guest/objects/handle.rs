//! Tables of handles (`_HANDLE_TABLE`).

use super::ObjectError;
use super::fields::Fields;
use super::list::OBJECT_LIMIT;
use crate::address::Va;
use crate::guest::Lab;
use crate::memory::{MemoryFault, ReadMemory};
use std::ops::Range;

/// `_HANDLE_TABLE.HandleCount`, `NextHandleNeedingPool`; `TableCode` is at its start.
const HANDLE_COUNT: u64 = 0x58;
const NEXT_HANDLE: u64 = 0x5c;
/// The levels above the entries, in the low bits of `TableCode`.
const LEVELS: u64 = 3;
/// Entries and pointers in a page.
const ENTRIES: u64 = 0x100;
const POINTERS: u64 = 0x200;
const ENTRY_SIZE: u64 = 0x10;
/// In the low bits of an entry's object.
const INHERIT: u64 = 2;
const OBJECT_BITS: u64 = 7;
/// In an entry's access.
const PROTECT: u64 = 0x200_0000;
/// `_OBJECT_HEADER`'s size.
const HEADER: u64 = 0x30;

/// A handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle {
    /// Its number.
    pub value: u64,
    /// Its `_HANDLE_TABLE_ENTRY`.
    pub entry: Va,
    /// The object; NULL if the handle is free.
    pub object: Va,
    /// What it allows.
    pub access: u32,
    /// Processes that the process makes get it.
    pub inherited: bool,
    /// It cannot be closed.
    pub protected: bool,
    /// What stands in the entry of a free handle: the next free one, in Windows.
    pub next_free: u32,
}

/// A table of handles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandleTable {
    /// Its `_HANDLE_TABLE`.
    pub address: Va,
    /// How many handles it says are in use.
    pub count: u32,
    /// The entries, in use and free, in order: the first [`OBJECT_LIMIT`] in use, and as many free ones.
    pub handles: Vec<Handle>,
    /// The handles that there should be entries for and that cannot be read, in order.
    pub missing: Vec<Range<u64>>,
    /// There are more entries than are given.
    pub is_cut: bool,
}

impl Lab {
    /// The table of handles at this address.
    ///
    /// # Errors
    /// It is not in memory.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let program = lab.processes()?.pop().unwrap();
    /// let table = lab.handle_table(program.object_table)?;
    /// let used = table.handles.iter().filter(|one| one.object.0 != 0);
    /// assert_eq!(used.count(), table.count as usize);
    /// assert!(table.missing.is_empty() && !table.is_cut);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle_table(&self, address: Va) -> Result<HandleTable, ObjectError> {
        let memory = self.machine();
        let table = Fields {
            memory,
            at: address,
        };
        let code = table.u64(0)?;
        let count = table.u32(HANDLE_COUNT)?;
        let end = u64::from(table.u32(NEXT_HANDLE)?) / 4;
        let mut handles = Vec::new();
        let (mut used, mut free) = (0, 0);
        let mut missing = Vec::new();
        let mut is_cut = false;
        for page in 0..end.div_ceil(ENTRIES) {
            let Ok(Some(at)) = page_of(memory, code, page) else {
                let first = page * ENTRIES * 4;
                // a table whose numbers are wrong has few pages
                if page > POINTERS {
                    add_range(&mut missing, first..end * 4);
                    break;
                }
                add_range(&mut missing, first..(first + ENTRIES * 4).min(end * 4));
                continue;
            };
            // the first entry of a page is none
            for place in 1..ENTRIES.min(end - page * ENTRIES) {
                let entry = at.wrapping_add(place * ENTRY_SIZE);
                let value = (page * ENTRIES + place) * 4;
                let Ok(handle) = read_entry(memory, entry, value) else {
                    add_range(&mut missing, value..value + 4);
                    continue;
                };
                let kind = match handle.object {
                    Va(0) => &mut free,
                    _ => &mut used,
                };
                *kind += 1;
                if *kind <= OBJECT_LIMIT {
                    handles.push(handle);
                }
            }
            if used > OBJECT_LIMIT || free > OBJECT_LIMIT {
                is_cut = true;
                break;
            }
        }
        Ok(HandleTable {
            address,
            count,
            handles,
            missing,
            is_cut,
        })
    }
}

/// Adds a range behind the others, or to the last, if that ends there.
fn add_range(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// The page of entries with this number.
fn page_of(memory: &dyn ReadMemory, code: u64, page: u64) -> Result<Option<Va>, MemoryFault> {
    let table = Va(code & !LEVELS);
    let pointer = |table: Va, place: u64| memory.read_va(table.wrapping_add(place * 8));
    let found = match code & LEVELS {
        0 if page == 0 => table,
        1 if page < POINTERS => pointer(table, page)?,
        2 if page / POINTERS < POINTERS => {
            let middle = pointer(table, page / POINTERS)?;
            if middle == Va(0) {
                return Ok(None);
            }
            pointer(middle, page % POINTERS)?
        }
        _ => return Ok(None),
    };
    Ok((found != Va(0)).then_some(found))
}

fn read_entry(memory: &dyn ReadMemory, entry: Va, value: u64) -> Result<Handle, MemoryFault> {
    let object = memory.read_u64(entry)?;
    let access = memory.read_u64(entry.wrapping_add(8))?;
    let header = object & !OBJECT_BITS;
    let object_address = match header {
        0 => Va(0),
        header => Va(header).wrapping_add(HEADER),
    };
    Ok(Handle {
        value,
        entry,
        object: object_address,
        access: (access & 0x1ff_ffff) as u32,
        inherited: object & INHERIT != 0,
        protected: access & PROTECT != 0,
        next_free: access as u32,
    })
}
