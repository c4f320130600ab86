//! `!pte ADDRESS`: the page-table entries on the way to an address, with where they are in the region in
//! which the tables map themselves, and what their bits say. An address in that region means the entry
//! there. `!vtop DIRECTORY ADDRESS`: the way from a virtual to a physical address; the directory is a
//! page's number or its address, which ends in three zeros; 0 is the current one.
//!
//! "!pte", with its table of bits, and "!vtop" in the manual; the four columns of x64, and `!vtop`'s
//! lines, are those of many published sessions ("kd> !pte fffff8a001cc2060" on Windows 7). The words of
//! `!vtop` for an entry that is not present are of one for a PML4E.
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
use crate::machine::PageTableEntry;
use crate::machine::paging::{SELF_MAP_SLOT, entry};
use std::fmt::{self, Write};

/// The levels' names in `!pte`, from the top, and in `!vtop`.
const NAMES: [&str; 4] = ["PXE", "PPE", "PDE", "PTE"];
const WALK_NAMES: [&str; 4] = ["PML4E", "PDPE", "PDE", "PTE"];
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
    writeln!(out, "{:43}VA {:016x}", "", address.0)?;
    let places: Vec<String> = (0..4u8)
        .map(|place| {
            let at = entry_address(address, 4 - place);
            format!("{} at {:016X}", NAMES[usize::from(place)], at.0)
        })
        .collect();
    writeln!(out, "{}", places.join("    "))?;
    write_entries(out, &entries, address)?;
    Ok(Flow::Stay)
}

fn write_entries(out: &mut dyn Write, entries: &[PageTableEntry], address: Va) -> fmt::Result {
    let is_present = |one: &&PageTableEntry| one.value & entry::PRESENT != 0;
    let mut contents: Vec<String> = entries
        .iter()
        .map(|one| format!("contains {:016X}", one.value))
        .collect();
    let mut pages: Vec<String> = entries
        .iter()
        .filter(is_present)
        .map(|one| {
            let page = (one.value & entry::FRAME) >> 12;
            format!("pfn {page:<10x}{}", bits(one.value))
        })
        .collect();
    let mut end = "";
    match entries.last() {
        Some(last) if last.level == 1 && last.value & entry::PRESENT == 0 => {
            pages.push("not valid".to_string());
        }
        Some(last) if last.value & entry::PRESENT == 0 => {
            pages.push(format!("contains {:016X}", last.value));
            end = "not valid\n";
        }
        Some(last) if last.level == 2 => {
            contents.push(format!("contains {:016X}", 0));
            let page = ((last.value & entry::FRAME) >> 12) + (address.0 >> 12 & 0x1ff);
            pages.push(format!("LARGE PAGE pfn {page:x}"));
        }
        _ => {}
    }
    writeln!(out, "{}", contents.join("  "))?;
    writeln!(out, "{}", pages.join("  "))?;
    out.write_str(end)
}

/// An entry's bits, from copy-on-write to valid.
fn bits(value: u64) -> String {
    const BITS: [(u32, char, char); 9] = [
        (9, 'C', '-'),
        (8, 'G', '-'),
        (7, 'L', '-'),
        (6, 'D', '-'),
        (5, 'A', '-'),
        (4, 'N', '-'),
        (3, 'T', '-'),
        (2, 'U', 'K'),
        (1, 'W', 'R'),
    ];
    let mut text: String = BITS
        .iter()
        .map(|&(bit, set, clear)| if value >> bit & 1 == 1 { set } else { clear })
        .collect();
    text.push(if value & entry::NO_EXECUTE == 0 {
        'E'
    } else {
        '-'
    });
    text.push('V');
    text
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
    writeln!(
        out,
        "Amd64VtoP: Virt {:016x}, pagedir {root:016x}",
        address.0
    )?;
    let entries = machine.page_table_entries(Pa(root), address);
    let mut physical = None;
    for one in &entries {
        let name = WALK_NAMES[usize::from(4 - one.level)];
        writeln!(out, "Amd64VtoP: {name} {:016x}", one.physical.0)?;
        if one.value & entry::PRESENT == 0 {
            writeln!(out, "Amd64VtoP: {name} not present, 0xD0000147")?;
        } else if one.level == 1 || one.level < 4 && one.value & entry::LARGE != 0 {
            let inside = (1u64 << (12 + 9 * (u32::from(one.level) - 1))) - 1;
            let at = one.value & entry::FRAME & !inside | address.0 & inside;
            let large = if one.level == 1 { "M" } else { "Large page m" };
            writeln!(out, "Amd64VtoP: {large}apped phys {at:016x}")?;
            physical = Some(at);
        }
    }
    match physical {
        Some(at) => writeln!(
            out,
            "Virtual address {:x} translates to physical address {at:x}.",
            address.0
        )?,
        None => writeln!(
            out,
            "Virtual address {:x} translation fails, error 0xD0000147.",
            address.0
        )?,
    }
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

    #[test]
    fn bits_have_their_letters() {
        assert_eq!(bits(0x7AC84863), "---DA--KWEV");
        assert_eq!(bits(0xE6500000_716FD963), "-G-DA--KW-V");
        assert_eq!(bits(0x82A00000_61330025), "----A--UR-V");
        assert_eq!(bits(0x028009E3), "-GLDA--KWEV");
    }

    #[test]
    fn what_is_not_valid() {
        let entry = |level, value| PageTableEntry {
            level,
            physical: Pa(0),
            value,
        };
        let mut text = String::new();
        // as published for "!pte 0"
        write_entries(
            &mut text,
            &[entry(4, 0x8A000000_02987867), entry(3, 0)],
            Va(0),
        )
        .unwrap();
        assert_eq!(
            text,
            "contains 8A00000002987867  contains 0000000000000000\n\
             pfn 2987      ---DA--UW-V  contains 0000000000000000\nnot valid\n"
        );
        // and for "!pte nt!HalDispatchTable", whose page is in a large one
        text.clear();
        let large = [entry(4, 0x199063), entry(3, 0x198063), entry(2, 0x028009E3)];
        write_entries(&mut text, &large, Va(0xfffff800_02810cb0)).unwrap();
        assert_eq!(
            text,
            "contains 0000000000199063  contains 0000000000198063  contains 00000000028009E3  \
             contains 0000000000000000\n\
             pfn 199       ---DA--KWEV  pfn 198       ---DA--KWEV  pfn 2800      -GLDA--KWEV  \
             LARGE PAGE pfn 2810\n"
        );
    }

    proptest! {
        #[test]
        fn an_entry_leads_back(address: u64) {
            let page = ((address << 16) as i64 >> 16) as u64 & !0xfff;
            prop_assert_eq!(mapped_by(entry_address(Va(page), 1)), Va(page));
        }
    }
}
