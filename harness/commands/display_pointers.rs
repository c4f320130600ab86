//! `dds`, `dqs`, `dps [OPTIONS] [RANGE]`: doublewords, quadwords or pointers, one in a line, with the
//! symbol that each is in. `ddp`, `dqp`, `dpp`, `dda`, `dqa`, `dpa`, `ddu`, `dqu`, `dpu [OPTIONS] [RANGE]`:
//! what each points to, as a pointer with its symbol, as ASCII characters, or as Unicode.
//!
//! The forms are those of "dds, dps, dqs (Display Words and Symbols)" and "dda, ddp, ddu, … (Display
//! Referenced Memory)", and of published sessions: "Practical Reverse Engineering" (Dang, Gazet,
//! Bachaalany), "Dumping Memory Contents", has `dps`. Where nothing can be read at the other end
//! there is the pointer alone. Of a string 128 characters are shown; no source was found for how many
//! WinDbg shows.
//!
//! ```text
//! kd> dps @rsp l2
//! fffff880`04ec1cc8  fffff800`0162c43d nt!PspUserThreadStartup+0xd
//! fffff880`04ec1cd0  00000000`00000000
//! ```

use super::display::{DisplayOptions, range};
use super::display_number::shown;
use super::{ExecuteError, Flow, Run};
use crate::address::{CodeAddress, Va};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::debugger::elements::Space;
use crate::debugger::range::AddressRange;
use crate::debugger::string::{CharacterSize, StringRange};
use crate::report::memory::{element_text, write_place};
use std::fmt::Write;

/// Bytes shown without a range.
const DEFAULT_BYTES: u64 = 128;
/// Characters shown of a string.
const STRING_LIMIT: u64 = 128;

/// What is shown behind a number.
pub(super) const SYMBOLS: u8 = b's';
pub(super) const POINTERS: u8 = b'p';
pub(super) const ASCII: u8 = b'a';
pub(super) const UNICODE: u8 = b'u';

/// The family's commands.
pub(super) static COMMANDS: [(&str, Run); 12] = [
    ("dda", run::<4, { ASCII }>),
    ("ddp", run::<4, { POINTERS }>),
    ("dds", run::<4, { SYMBOLS }>),
    ("ddu", run::<4, { UNICODE }>),
    ("dpa", run::<8, { ASCII }>),
    ("dpp", run::<8, { POINTERS }>),
    ("dps", run::<8, { SYMBOLS }>),
    ("dpu", run::<8, { UNICODE }>),
    ("dqa", run::<8, { ASCII }>),
    ("dqp", run::<8, { POINTERS }>),
    ("dqs", run::<8, { SYMBOLS }>),
    ("dqu", run::<8, { UNICODE }>),
];

pub(super) fn run<const SIZE: u64, const WHAT: u8>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = DisplayOptions::read(session, arguments)?;
    let range = range(session, arguments, SIZE, DEFAULT_BYTES / SIZE)?;
    let columns = options.columns.unwrap_or(1);
    for (number, (at, value)) in session.elements(options.space, range, SIZE).enumerate() {
        let number = number as u64;
        if number.is_multiple_of(columns) {
            write!(out, "{at} ")?;
        }
        write!(out, " {}", element_text(SIZE, value))?;
        if let Some(value) = value {
            match WHAT {
                SYMBOLS => write_symbol(session, out, Va(value))?,
                POINTERS => write_pointer::<SIZE>(session, out, Va(value))?,
                _ => write_text(session, out, Va(value), WHAT == UNICODE)?,
            }
        }
        if number % columns == columns - 1 || number + 1 == range.count(SIZE) {
            writeln!(out)?;
        }
    }
    let name = match (SIZE, WHAT) {
        (4, SYMBOLS) => "dds",
        (4, POINTERS) => "ddp",
        (4, ASCII) => "dda",
        (4, _) => "ddu",
        (_, SYMBOLS) => "dqs",
        (_, POINTERS) => "dqp",
        (_, ASCII) => "dqa",
        _ => "dqu",
    };
    shown(session, range, SIZE, name);
    Ok(Flow::Stay)
}

/// The symbol that a number is in, if it is in a module, and its source line if those are shown.
fn write_symbol(session: &Session, out: &mut dyn Write, value: Va) -> Result<(), ExecuteError> {
    if let Some(near) = session.modules().nearest(value) {
        let line = session.source_line(CodeAddress::InstructionPointer(value));
        let line = line.filter(|_| session.shows_source_lines());
        write_place(out, &near.to_string(), line.as_ref())?;
    }
    Ok(())
}

/// What is at the other end, as a pointer.
fn write_pointer<const SIZE: u64>(
    session: &Session,
    out: &mut dyn Write,
    to: Va,
) -> Result<(), ExecuteError> {
    let end = AddressRange {
        start: to,
        bytes: SIZE,
    };
    if let Some((_, Some(value))) = session.elements(Space::Virtual, end, SIZE).next() {
        write!(out, " {}", element_text(SIZE, Some(value)))?;
        write_symbol(session, out, Va(value))?;
    }
    Ok(())
}

/// What is at the other end, as characters up to a zero.
fn write_text(
    session: &Session,
    out: &mut dyn Write,
    to: Va,
    wide: bool,
) -> Result<(), ExecuteError> {
    let size = match wide {
        true => CharacterSize::Wide,
        false => CharacterSize::Byte,
    };
    let mut first = [0; 2];
    if !session.read_space(Space::Virtual, to, &mut first[..size.bytes() as usize]) {
        return Ok(());
    }
    let lines = session.string_lines(StringRange {
        start: to,
        limit: STRING_LIMIT,
        size,
        ends_at_zero: true,
        columns: STRING_LIMIT,
        space: Space::Virtual,
    });
    for line in lines {
        write!(out, " \"{}\"", line.text)?;
    }
    Ok(())
}
