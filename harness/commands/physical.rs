//! `!db`, `!dc`, `!dd`, `!dp`, `!dq`, `!dw [ADDRESS] [L SIZE]`: physical memory, as `db` and so on show virtual
//! memory. `!du` shows a string of 16-bit characters, `!da` one of bytes. `!eb`, `!ed ADDRESS VALUE…` write
//! bytes and doublewords, with spaces or commas between them.
//!
//! Without an address the display goes on where the last one ended, at first at 0. Caching, `[c]`, `[uc]` or
//! `[wc]`, and `-m` may be in front of the address, and mean nothing here.
//!
//! "!db, !dc, !dd, !dp, !dq, !du, !dw" and "!eb, !ed" in the debugger's manual have the rules, "Converting
//! Virtual Addresses to Physical Addresses" the lines of `!dc`, which those of `!dq` in many published sessions
//! agree with. No source was found for how `!du` looks, and none for a `!da`: their strings are as `du`'s.
//! One display is 1 MiB at most.
//!
//! ```text
//! kd> !dq 1f68 l2
//! #    1f68 00000000`00001063 00000000`00000000
//! kd> !dc 209000 l4
//! #  209000 00000000 00000000 00000000 00000000 ................
//! ```

use super::display::MAXIMUM_BYTES;
use super::display_string::DEFAULT_CHARACTERS;
use super::enter::{fits, separated, values_follow};
use super::{ExecuteError, Flow, Run};
use crate::address::{Pa, Va};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::elements::Space;
use crate::debugger::range::{AddressRange, RangeSyntax};
use crate::debugger::string::{CharacterSize, StringRange};
use crate::report::memory::element_text;
use std::fmt::Write;

pub(super) static COMMANDS: [(&str, Run); 10] = [
    ("!da", run_string::<false>),
    ("!db", run::<1, true>),
    ("!dc", run::<4, true>),
    ("!dd", run::<4, false>),
    ("!dp", run::<8, false>),
    ("!dq", run::<8, false>),
    ("!du", run_string::<true>),
    ("!dw", run::<2, false>),
    ("!eb", run_enter::<1>),
    ("!ed", run_enter::<4>),
];

/// Bytes shown without a size.
const DEFAULT_BYTES: u64 = 128;
/// Bytes in a line, and characters of a string.
const LINE: u64 = 16;
const COLUMNS: u64 = 32;

/// Reads how memory is cached, and `-m`, which make no difference.
fn skip_caching(arguments: &mut Cursor<'_>) {
    while ["[c]", "[uc]", "[wc]", "-m"]
        .iter()
        .any(|one| arguments.eat(one))
    {}
}

fn next_range(
    session: &Session,
    arguments: &mut Cursor<'_>,
    element_size: u64,
    default_count: u64,
) -> Result<AddressRange, ExecuteError> {
    skip_caching(arguments);
    let syntax = RangeSyntax {
        element_size,
        default_count: Some(default_count),
        default_start: Some(session.state.next_physical),
    };
    let range = arguments.next_range(session, syntax)?;
    arguments.finish()?;
    if range.bytes > MAXIMUM_BYTES {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    if !session.read_space(Space::Physical, range.start, &mut [0]) {
        return Err(ExecuteError::NoPhysicalMemory(Pa(range.start.0)));
    }
    Ok(range)
}

fn run<const SIZE: u64, const CHARACTERS: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let range = next_range(session, arguments, SIZE, DEFAULT_BYTES / SIZE)?;
    let (columns, elements) = (LINE / SIZE, range.count(SIZE));
    for first in (0..elements).step_by(columns as usize) {
        let line = AddressRange {
            start: range.start.wrapping_add(first * SIZE),
            bytes: columns.min(elements - first) * SIZE,
        };
        let (mut text, mut characters) = (String::new(), String::new());
        let values = session.elements(Space::Physical, line, SIZE);
        for (number, (_, value)) in values.enumerate() {
            text.push(if SIZE == 1 && number == 8 { '-' } else { ' ' });
            text.push_str(&element_text(SIZE, value));
            for byte in 0..SIZE {
                characters.push(match value.map(|value| (value >> (8 * byte)) as u8) {
                    None => '?',
                    Some(byte @ 0x20..0x7f) => char::from(byte),
                    Some(_) => '.',
                });
            }
        }
        write!(out, "#{:>8x}", line.start.0)?;
        match CHARACTERS {
            true => {
                let width = (columns * (SIZE * 2 + 1)) as usize;
                writeln!(out, "{text:width$} {characters}")?;
            }
            false => writeln!(out, "{text}")?,
        }
    }
    session.state.next_physical = range.start.wrapping_add(elements * SIZE);
    Ok(Flow::Stay)
}

fn run_string<const WIDE: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let size = match WIDE {
        true => CharacterSize::Wide,
        false => CharacterSize::Byte,
    };
    let range = next_range(session, arguments, size.bytes(), DEFAULT_CHARACTERS)?;
    let string = StringRange {
        start: range.start,
        limit: range.count(size.bytes()),
        size,
        ends_at_zero: true,
        columns: COLUMNS,
        space: Space::Physical,
    };
    let mut characters = 0;
    for line in session.string_lines(string) {
        writeln!(out, "#{:>8x} \"{}\"", line.address.0, line.text)?;
        characters += line.text.chars().count() as u64;
    }
    let bytes = (characters + 1) * size.bytes();
    session.state.next_physical = range.start.wrapping_add(bytes);
    Ok(Flow::Stay)
}

fn run_enter<const SIZE: usize>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    skip_caching(arguments);
    let address = Va(arguments.next_expression(session)?);
    separated(arguments)?;
    values_follow(arguments)?;
    let mut bytes = Vec::new();
    while !arguments.at_end() {
        let value = arguments.next_expression(session)?;
        if !fits::<SIZE>(value) {
            return Err(arguments.error(CommandErrorKind::Overflow).into());
        }
        bytes.extend_from_slice(&value.to_le_bytes()[..SIZE]);
        match arguments.rest().starts_with(',') {
            true => arguments.advance(1),
            false => separated(arguments)?,
        }
    }
    let machine = session.lab_mut().machine_mut();
    machine
        .write_physical(Pa(address.0), &bytes)
        .map_err(|_| ExecuteError::NoPhysicalWrite(Pa(address.0)))?;
    Ok(Flow::Stay)
}
