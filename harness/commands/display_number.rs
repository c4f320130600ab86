//! `df`, `dD`, `dyb`, `dyd [OPTIONS] [RANGE]`: memory as floating-point numbers of 32 and 64 bits, and as
//! bytes and doublewords in binary. The options are those of `db`.
//!
//! The columns of `df` are those of a disassembly of a game's code that its author published ("df
//! 403098": 0 and 255), those of `dD` are in "Practical Reverse Engineering" (Dang, Gazet,
//! Bachaalany), "Editing Memory Contents": 1999.99. How many digits a longer number has, and the form
//! of `dyb` and `dyd`, is in no published session that was found; the manual says what they show and
//! how much.
//!
//! ```text
//! kd> dyb nt l2
//!                    76543210 76543210 76543210 76543210
//!                    -------- -------- -------- --------
//! fffff800`01450000  01001101 01011010                    4d 5a
//! kd> df nt!PoolHitTag l1
//! fffff800`016530fc          -1.#QNAN
//! ```

use super::display::{DisplayOptions, range};
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::debugger::range::AddressRange;
use crate::report::float::general;
use crate::report::memory::element_text;
use std::fmt::Write;

/// Floating-point numbers of `SIZE` bytes.
pub(super) fn run_float<const SIZE: u64>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = DisplayOptions::read(session, arguments)?;
    // "15 numbers (120 bytes)", "16 numbers (64 bytes)"
    let (columns, default, name) = match SIZE {
        8 => (3, 15, "dD"),
        _ => (4, 16, "df"),
    };
    let columns = options.columns.unwrap_or(columns);
    let range = range(session, arguments, SIZE, default)?;
    let mut elements = session.elements(options.space, range, SIZE).peekable();
    while let Some((address, _)) = elements.peek().copied() {
        write!(out, "{address} ")?;
        for (_, value) in elements.by_ref().take(columns as usize) {
            match (SIZE, value) {
                (8, Some(value)) => write!(out, " {:>22}", general(f64::from_bits(value), 12))?,
                (8, None) => write!(out, " {:>22}", "????????????????")?,
                (_, Some(value)) => {
                    let value = f32::from_bits(value as u32);
                    write!(out, " {:>16}", general(value.into(), 8))?;
                }
                (_, None) => write!(out, " {:>16}", "????????")?,
            }
        }
        writeln!(out)?;
    }
    drop(elements);
    shown(session, range, SIZE, name);
    Ok(Flow::Stay)
}

/// Bytes or doublewords in binary, with the places' numbers above.
pub(super) fn run_binary<const SIZE: u64>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = DisplayOptions::read(session, arguments)?;
    let columns = options.columns.unwrap_or(4 / SIZE);
    let range = range(session, arguments, SIZE, 32 / SIZE)?;
    let bytes = (columns * SIZE) as usize;
    let margin = " ".repeat(19);
    if SIZE == 4 {
        let tens = " 3          2          1          0 ".repeat(columns as usize);
        let ones = "10987654 32109876 54321098 76543210 ".repeat(columns as usize);
        writeln!(out, "{margin}{}", tens.trim_end())?;
        writeln!(out, "{margin}{}", ones.trim_end())?;
    } else {
        writeln!(out, "{margin}{}", "76543210 ".repeat(bytes).trim_end())?;
    }
    writeln!(out, "{margin}{}", "-------- ".repeat(bytes).trim_end())?;
    let mut elements = session.elements(options.space, range, SIZE).peekable();
    while let Some((address, _)) = elements.peek().copied() {
        let (mut digits, mut numbers) = (String::new(), String::new());
        for (_, value) in elements.by_ref().take(columns as usize) {
            for byte in (0..SIZE).rev() {
                let _ = match value {
                    Some(value) => write!(digits, "{:08b} ", value >> (8 * byte) & 0xff),
                    None => write!(digits, "???????? "),
                };
            }
            let _ = write!(numbers, " {}", element_text(SIZE, value));
        }
        let width = bytes * 9;
        writeln!(out, "{address}  {digits:width$}{numbers}")?;
    }
    drop(elements);
    shown(session, range, SIZE, if SIZE == 4 { "dyd" } else { "dyb" });
    Ok(Flow::Stay)
}

/// Notes where the next display goes on, and what `d` and `$p` are.
pub(super) fn shown(session: &mut Session, range: AddressRange, size: u64, name: &'static str) {
    let bytes = range.count(size) * size;
    let last = AddressRange {
        start: range.start.wrapping_add(bytes.saturating_sub(size)),
        bytes: size,
    };
    let value = session.elements(Default::default(), last, size).last();
    if let Some((_, Some(value))) = value {
        session.state.last_shown = value;
    }
    session.state.display = name;
    session.next_display = Some(range.start.wrapping_add(bytes));
}
