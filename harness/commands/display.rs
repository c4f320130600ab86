//! `db`, `dc`, `dd`, `dq [RANGE]`: memory as bytes, doublewords or quadwords, with the characters
//! beside them for `db` and `dc`. Without a range the display goes on where the last one ended.

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::debugger::range::RangeSyntax;
use crate::memory::ReadMemory;
use std::fmt::Write;

/// Bytes shown in a line.
const LINE: u64 = 16;
/// Bytes shown without a range.
const DEFAULT_BYTES: u64 = 128;

/// How a display shows memory.
struct Format {
    element: u64,
    characters: bool,
}

pub(super) fn bytes(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    display(
        session,
        arguments,
        out,
        &Format {
            element: 1,
            characters: true,
        },
    )
}

pub(super) fn doublewords_and_characters(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    display(
        session,
        arguments,
        out,
        &Format {
            element: 4,
            characters: true,
        },
    )
}

pub(super) fn doublewords(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    display(
        session,
        arguments,
        out,
        &Format {
            element: 4,
            characters: false,
        },
    )
}

pub(super) fn quadwords(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    display(
        session,
        arguments,
        out,
        &Format {
            element: 8,
            characters: false,
        },
    )
}

fn display(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
    format: &Format,
) -> Result<Flow, ExecuteError> {
    let syntax = RangeSyntax {
        element_size: format.element,
        default_count: Some(DEFAULT_BYTES / format.element),
        default_start: Some(session.next_display.unwrap_or(session.registers().rip())),
    };
    let range = arguments.next_range(session, syntax)?;
    arguments.finish()?;
    let elements = range.count(format.element);
    let mut done = 0;
    while done < elements {
        let count = (LINE / format.element).min(elements - done);
        let at = range.start.wrapping_add(done * format.element);
        write_line(session, out, at, count, format)?;
        done += count;
    }
    session.next_display = Some(range.start.wrapping_add(elements * format.element));
    Ok(Flow::Stay)
}

fn write_line(
    session: &Session,
    out: &mut dyn Write,
    address: Va,
    count: u64,
    format: &Format,
) -> Result<(), ExecuteError> {
    let mut text = String::new();
    let mut characters = String::new();
    for element in 0..count {
        let at = address.wrapping_add(element * format.element);
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..format.element as usize];
        let readable = session.lab().machine().read(at, bytes).is_ok();
        // WinDbg splits a line of bytes in the middle.
        let separator = if format.element == 1 && element == 8 {
            '-'
        } else {
            ' '
        };
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
    if format.characters {
        let width = (LINE / format.element * (format.element * 2 + 1)) as usize - 1;
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
