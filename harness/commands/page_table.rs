//! `!pte ADDRESS`: the page-table entries on the way to an address, with where they are in the region in
//! which the tables map themselves, and what their bits say. An address in that region means the entry
//! there. `!vtop DIRECTORY ADDRESS`: the way from a virtual to a physical address; the directory is a
//! page's number or its address, which ends in three zeros; 0 is the current one.
//!
//! "!pte", with its table of bits, and "!vtop" in the manual; the four columns of x64, and `!vtop`'s
//! lines, are those of many published sessions ("kd> !pte fffff8a001cc2060" on Windows 7). Of what `!vtop`
//! says of an entry that is neither present nor zero no published line was found.
//!
//! ```text
//! kd> !pte nt!PoolHitTag
//!                                            VA fffff800016530fc
//! PXE at FFFFF6FB7DBEDF80    PPE at FFFFF6FB7DBF0000    PDE at FFFFF6FB7E000058    PTE at FFFFF6FC0000B298
//! contains 0000000000002023  contains 0000000000003023  contains 00000000001B5023  contains 8000000000209063
//! pfn 2         ----A--KWEV  pfn 3         ----A--KWEV  pfn 1b5       ----A--KWEV  pfn 209       ---DA--KW-V
//! kd> !vtop 0 nt!PoolHitTag
//! Amd64VtoP: Virt fffff800016530fc, pagedir 0000000000001000
//! Amd64VtoP: PML4E 0000000000001f80
//! Amd64VtoP: PDPE 0000000000002000
//! Amd64VtoP: PDE 0000000000003058
//! Amd64VtoP: PTE 00000000001b5298
//! Amd64VtoP: Mapped phys 00000000002090fc
//! Virtual address fffff800016530fc translates to physical address 2090fc.
//! ```

use super::{ExecuteError, Flow};
use crate::address::{Pa, Va};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::machine::paging::SELF_MAP_SLOT;
use crate::report::page_table::{write_entries, write_walk};
use std::fmt::Write;

/// The region's first address (`nt!MmPteBase`), and its size.
const TABLES: u64 = 0xffff_0000_0000_0000 | SELF_MAP_SLOT << 39;
const TABLES_SIZE: u64 = 1 << 39;

/// Where the entry of a level (4 to 1) for an address is in the region.
fn entry_address(address: Va, level: u8) -> Va {
    let mut at = address.0;
    for _ in 0..level {
        at = TABLES + (at >> 9 & (TABLES_SIZE - 8));
    }
    Va(at)
}

/// The address whose entry lies at one of the region.
fn mapped_by(entry: Va) -> Va {
    let address = ((entry.0 - TABLES) / 8) << 12;
    Va(((address << 16) as i64 >> 16) as u64)
}

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut address = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    if (TABLES..TABLES + TABLES_SIZE).contains(&address.0) {
        address = mapped_by(address);
    }
    let machine = session.lab().machine();
    let entries = machine.page_table_entries(machine.page_directory(), address);
    let places = [4, 3, 2, 1].map(|level| entry_address(address, level));
    write_entries(out, address, places, &entries)?;
    Ok(Flow::Stay)
}

pub(super) fn run_walk(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let directory = arguments.next_expression(session)?;
    let address = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let machine = session.lab().machine();
    let root = match directory {
        0 => machine.page_directory().0,
        // "when !vtop receives a number too large to be a PFN, it right-shifts it twelve bits"; what ends in
        // three zeros is a directory's base in all published sessions (`!vtop 1ad000 fffff8052e3ff090`)
        number if number & 0xfff != 0 && number < machine.memory_size() >> 12 => number << 12,
        address => address,
    };
    let entries = machine.page_table_entries(Pa(root), address);
    write_walk(out, address, Pa(root), &entries)?;
    Ok(Flow::Stay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The columns of "!pte fffff8a001cc2060" and of "!pte 0", both published.
    #[test]
    fn entries_are_where_windows_7_has_them() {
        for (address, places) in [
            (
                0xfffff8a0_01cc2060,
                [
                    0xfffff6fb_7dbedf88,
                    0xfffff6fb_7dbf1400,
                    0xfffff6fb_7e280070,
                    0xfffff6fc_5000e610,
                ],
            ),
            (
                0,
                [
                    0xfffff6fb_7dbed000,
                    0xfffff6fb_7da00000,
                    0xfffff6fb_40000000,
                    0xfffff680_00000000u64,
                ],
            ),
        ] {
            for (level, place) in [4, 3, 2, 1].into_iter().zip(places) {
                assert_eq!(entry_address(Va(address), level), Va(place));
            }
        }
    }

    proptest! {
        #[test]
        fn an_entry_leads_back(address: u64) {
            let page = ((address << 16) as i64 >> 16) as u64 & !0xfff;
            prop_assert_eq!(mapped_by(entry_address(Va(page), 1)), Va(page));
        }
    }
}
