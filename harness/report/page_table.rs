//! A virtual address' page-table entries, as `!pte` and `!vtop` show them.
//!
//! "!pte", with its table of bits, and "!vtop" in the manual; the four columns of x64, and `!vtop`'s lines, are those
//! of many published sessions. An entry that is zero is `zero PDPE` in them. Of one that is not zero and not
//! present no published line was found.

use crate::address::{Pa, Va};
use crate::machine::PageTableEntry;
use crate::machine::paging::entry;
use std::fmt::{self, Write};

/// The levels' names in `!pte`, from the top, and in `!vtop`.
const NAMES: [&str; 4] = ["PXE", "PPE", "PDE", "PTE"];
const WALK_NAMES: [&str; 4] = ["PML4E", "PDPE", "PDE", "PTE"];

/// Writes what `!pte` shows: where the entries are in the region in which the tables map themselves, from the top,
/// what they are, and what their bits say. `entries` are those of the way, up to the first that leads nowhere.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::{Pa, Va}, machine::PageTableEntry, report::page_table::write_entries};
/// let places = [0xfffff6fb_7dbed000, 0xfffff6fb_7da00000, 0xfffff6fb_40000000, 0xfffff680_00000000].map(Va);
/// let zero = PageTableEntry { level: 4, physical: Pa(0x1000), value: 0 };
/// let mut text = String::new();
/// write_entries(&mut text, Va(0x123), places, &[zero])?;
/// assert!(text.ends_with("\ncontains 0000000000000000\ncontains 0000000000000000\nnot valid\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_entries(
    out: &mut dyn Write,
    address: Va,
    places: [Va; 4],
    entries: &[PageTableEntry],
) -> fmt::Result {
    writeln!(out, "{:43}VA {:016x}", "", address.0)?;
    let places = NAMES.iter().zip(places);
    let places: Vec<String> = places
        .map(|(name, at)| format!("{name} at {:016X}", at.0))
        .collect();
    writeln!(out, "{}", places.join("    "))?;
    write_contents(out, entries, address)
}

fn write_contents(out: &mut dyn Write, entries: &[PageTableEntry], address: Va) -> fmt::Result {
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
            // filled up with spaces, as on Windows 7: "LARGE PAGE pfn 2810        "
            pages.push(format!("LARGE PAGE pfn {page:<12x}"));
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

/// Writes what `!vtop` shows of the way from a directory's physical address to that of `address`.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::{Pa, Va}, machine::PageTableEntry, report::page_table::write_walk};
/// let zero = PageTableEntry { level: 4, physical: Pa(0x1000), value: 0 };
/// let mut text = String::new();
/// write_walk(&mut text, Va(0x123), Pa(0x1000), &[zero])?;
/// assert!(text.contains("\nAmd64VtoP: zero PML4E\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_walk(
    out: &mut dyn Write,
    address: Va,
    directory: Pa,
    entries: &[PageTableEntry],
) -> fmt::Result {
    writeln!(
        out,
        "Amd64VtoP: Virt {:016x}, pagedir {:016x}",
        address.0, directory.0
    )?;
    let mut physical = None;
    for one in entries {
        let Some(name) = WALK_NAMES.get(4_usize.wrapping_sub(one.level.into())) else {
            continue;
        };
        writeln!(out, "Amd64VtoP: {name} {:016x}", one.physical.0)?;
        if one.value == 0 {
            writeln!(out, "Amd64VtoP: zero {name}")?;
        } else if one.value & entry::PRESENT == 0 {
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
        ),
        None => writeln!(
            out,
            "Virtual address {:x} translation fails, error 0xD0000147.",
            address.0
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_their_letters() {
        assert_eq!(bits(0x7AC84863), "---DA--KWEV");
        assert_eq!(bits(0xE6500000_716FD963), "-G-DA--KW-V");
        assert_eq!(bits(0x82A00000_61330025), "----A--UR-V");
        assert_eq!(bits(0x028009E3), "-GLDA--KWEV");
    }
}
