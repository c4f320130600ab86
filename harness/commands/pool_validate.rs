//! `!poolval ADDRESS [LEVEL]`: checks the headers of the pool page that an address is in, and says
//! what is wrong with them.
//!
//! Level 1 shows the list of headers too, 2 what each says, 3 each header's words ("basic
//! information", "linked header lists", "basic" and "full header information" in the manual). A
//! header that makes no sense is shown like the others, as it stands; below the list is what is
//! wrong with it.
//!
//! ```
//! let mut lab = poolhit::Lab::builder().build()?;
//! let at = lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x100, 0x3261654c])?.value;
//! let mut session = poolhit::Session::new(lab);
//! let text = session.execute(&format!("!poolval {at:x}"))?;
//! assert!(text.ends_with("is VALID.\n"));
//! // overrun it by one byte
//! session.write(poolhit::address::Va(at + 0x100), &[0x41])?;
//! let text = session.execute(&format!("!poolval {at:x}"))?;
//! assert!(text.contains("]: invalid previous size [ 0x41 ] should be [ 0x11 ]\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! kd> !poolval poi(nt!PsActiveProcessHead)
//! Pool page fffffa800003c7f8 region is Nonpaged pool
//!
//! Validating Pool headers for pool page: fffffa800003c000
//!
//! Pool page [ fffffa800003c000 ] is VALID.
//! ```

use super::pool::{page_of, write_unreadable};
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::pool::{PoolPage, PoolView};
use crate::report::pool::{Mark, Plain, write_big_page, write_block, write_damage, write_region};
use std::fmt::{self, Write};

/// The highest level of display.
const FULL: u64 = 3;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = Va(arguments.next_expression(session)?);
    let level = arguments.next_expression_or(session, 0)?;
    if level > FULL {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    arguments.finish()?;
    let pool = session.lab().pool()?;
    write_region(out, address)?;
    match pool.big_pages() {
        Ok(big) => {
            if let Some(big) = big.containing(address) {
                // Whole pages have no headers.
                write_big_page(out, big)?;
                return Ok(Flow::Stay);
            }
        }
        Err(error) => writeln!(out, "{error}")?,
    }
    write_validation(out, &pool, page_of(address), level)?;
    Ok(Flow::Stay)
}

fn write_validation(out: &mut dyn Write, pool: &PoolView<'_>, base: Va, level: u64) -> fmt::Result {
    let name = Plain(base);
    writeln!(out, "\nValidating Pool headers for pool page: {name}\n")?;
    let Ok(page) = pool.page(base) else {
        writeln!(out, "Pool page [ {name} ] is INVALID.\n")?;
        return write_unreadable(out, base);
    };
    let links = pool.damaged_links(&page);
    let valid = page.damage.is_empty() && links.is_empty();
    let verdict = if valid { "VALID" } else { "INVALID" };
    writeln!(out, "Pool page [ {name} ] is {verdict}.")?;
    if level > 0 {
        writeln!(out)?;
        write_headers(out, &page, level)?;
    }
    if valid {
        return Ok(());
    }
    writeln!(out, "\nAnalyzing linked list...")?;
    for damage in page.damage.iter().chain(&links) {
        write_damage(out, damage)?;
    }
    writeln!(out, "\n\nScanning for single bit errors...\n")?;
    let bits = page.single_bits();
    for bit in &bits {
        let address = Plain(bit.address);
        writeln!(out, "[ {address} ]: bit {} of the header", bit.bit)?;
    }
    if bits.is_empty() {
        writeln!(out, "None found")?;
    }
    Ok(())
}

fn write_headers(out: &mut dyn Write, page: &PoolPage, level: u64) -> fmt::Result {
    for block in page.headers() {
        if level == 1 {
            let (header, address) = (block.header, Plain(block.address));
            let (size, previous) = (header.block_size, header.previous_size);
            writeln!(
                out,
                "[ {address} ]: size [ {size:#x} ] previous size [ {previous:#x} ]"
            )?;
            continue;
        }
        write_block(out, block, Mark::Other)?;
        if level == FULL {
            write!(out, "   ")?;
            for word in page.bytes(block.address, 16).chunks_exact(4) {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                write!(out, " {word:08x}")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
