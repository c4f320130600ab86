//! `db`, `dc`, `dd`, `dq [RANGE]`: memory as bytes, doublewords or quadwords, with the characters
//! beside them for `db` and `dc`. Without a range the display goes on where the last one ended.
//!
//! One display is 1 MiB at most, `L?` or not: the text would be some ten times that.

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::range::RangeSyntax;
use crate::memory::ReadMemory;
use std::fmt::Write;

/// Bytes shown in a line.
const LINE: u64 = 16;
/// Bytes shown without a range.
const DEFAULT_BYTES: u64 = 128;
/// Bytes shown at most.
const MAXIMUM_BYTES: u64 = 1 << 20;

/// Shows elements of `SIZE` bytes, with their characters if `CHARACTERS`.
pub(super) fn run<const SIZE: u64, const CHARACTERS: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let syntax = RangeSyntax {
        element_size: SIZE,
        default_count: Some(DEFAULT_BYTES / SIZE),
        default_start: Some(session.next_display.unwrap_or(session.registers().rip())),
    };
    let range = arguments.next_range(session, syntax)?;
    arguments.finish()?;
    if range.bytes > MAXIMUM_BYTES {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let elements = range.count(SIZE);
    let mut done = 0;
    while done < elements {
        let count = (LINE / SIZE).min(elements - done);
        let at = range.start.wrapping_add(done * SIZE);
        write_line::<SIZE, CHARACTERS>(session, out, at, count)?;
        done += count;
    }
    session.next_display = Some(range.start.wrapping_add(elements * SIZE));
    Ok(Flow::Stay)
}

/// Writes one line of elements; bytes that are not in memory are `??`.
pub(super) fn write_line<const SIZE: u64, const CHARACTERS: bool>(
    session: &Session,
    out: &mut dyn Write,
    address: Va,
    count: u64,
) -> Result<(), ExecuteError> {
    let mut text = String::new();
    let mut characters = String::new();
    for element in 0..count {
        let at = address.wrapping_add(element * SIZE);
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..SIZE as usize];
        let readable = session.lab().machine().read(at, bytes).is_ok();
        // WinDbg splits a line of bytes in the middle.
        let separator = if SIZE == 1 && element == 8 { '-' } else { ' ' };
        if element > 0 {
            text.push(separator);
        }
        text.push_str(&element_text(bytes, readable));
        let character = |&byte: &u8| match byte {
            _ if !readable => '?',
            0x20..0x7f => char::from(byte),
            _ => '.',
        };
        characters.extend(bytes.iter().map(character));
    }
    if CHARACTERS {
        let width = (LINE / SIZE * (SIZE * 2 + 1)) as usize - 1;
        writeln!(out, "{address}  {text:width$}  {characters}")?;
    } else {
        writeln!(out, "{address}  {text}")?;
    }
    Ok(())
}

fn element_text(bytes: &[u8], readable: bool) -> String {
    let mut digits = String::new();
    for byte in bytes.iter().rev() {
        if readable {
            digits.push_str(&format!("{byte:02x}"));
        } else {
            digits.push_str("??");
        }
    }
    if digits.len() == 16 {
        digits.insert(8, '`');
    }
    digits
}
