//! `da`, `du [OPTIONS] [RANGE]`: a string of ASCII or Unicode characters, up to its zero, in quotes and
//! in lines of 32 characters. `ds`, `dS [/cWIDTH] [ADDRESS]`: the string that a `_STRING` or
//! `_UNICODE_STRING` structure describes.
//!
//! The form is that of "d, da, db, … (Display Memory)" and "ds, dS (Display String)" in the manual,
//! and of many published sessions. The manual's 48 characters in a line are 32
//! in those, such as `da LXCORE!ProcFsRootVersionBuffer` and `da /p bf19df98`.
//! Without a range 384 characters are looked at; no source was found for how many WinDbg looks at.
//!
//! ```text
//! kd> da nt+4e
//! fffff800`0145004e  "This program cannot be run in DO"
//! fffff800`0145006e  "S mode.$"
//! ```

use super::display::{DisplayOptions, MAXIMUM_BYTES};
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::range::RangeSyntax;
use crate::debugger::string::{CharacterSize, StringRange};
use crate::memory::ReadMemory;
use std::fmt::Write;

/// Characters in a line.
const COLUMNS: u64 = 32;
/// Characters looked at without a range.
pub(super) const DEFAULT_CHARACTERS: u64 = 384;

const fn size(wide: bool) -> CharacterSize {
    match wide {
        true => CharacterSize::Wide,
        false => CharacterSize::Byte,
    }
}

/// A string that ends at a zero.
pub(super) fn run<const WIDE: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = DisplayOptions::read(session, arguments)?;
    let size = size(WIDE);
    let syntax = RangeSyntax {
        element_size: size.bytes(),
        default_count: Some(DEFAULT_CHARACTERS),
        default_start: Some(session.next_display.unwrap_or(session.registers().rip())),
    };
    let range = arguments.next_range(session, syntax)?;
    arguments.finish()?;
    if range.bytes > MAXIMUM_BYTES {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let string = StringRange {
        start: range.start,
        limit: range.count(size.bytes()),
        size,
        ends_at_zero: true,
        columns: options.columns.unwrap_or(COLUMNS),
        space: options.space,
    };
    let shown = write_string(session, out, string)?;
    session.next_display = Some(range.start.wrapping_add((shown + 1) * size.bytes()));
    session.state.display = if WIDE { "du" } else { "da" };
    Ok(Flow::Stay)
}

/// The string that a structure describes.
pub(super) fn run_counted<const WIDE: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = DisplayOptions::read(session, arguments)?;
    let last = session.next_display.unwrap_or(session.registers().rip());
    let at = Va(arguments.next_expression_or(session, last.0)?);
    arguments.finish()?;
    let machine = session.lab().machine();
    // Length, and behind MaximumLength and four bytes Buffer
    let read = (machine.read_u16(at))
        .and_then(|length| Ok((length, machine.read_va(at.wrapping_add(8))?)));
    let (length, buffer) = read.map_err(|_| arguments.error(CommandErrorKind::MemoryAccess))?;
    let size = size(WIDE);
    let string = StringRange {
        start: buffer,
        limit: u64::from(length) / size.bytes(),
        size,
        ends_at_zero: false,
        columns: options.columns.unwrap_or(COLUMNS),
        space: Default::default(),
    };
    write_string(session, out, string)?;
    session.next_display = Some(at.wrapping_add(16));
    session.state.display = if WIDE { "dS" } else { "ds" };
    Ok(Flow::Stay)
}

/// Writes a string's lines, and gives the number of characters.
fn write_string(
    session: &Session,
    out: &mut dyn Write,
    string: StringRange,
) -> Result<u64, ExecuteError> {
    let mut characters = 0;
    for line in session.string_lines(string) {
        writeln!(out, "{}  \"{}\"", line.address, line.text)?;
        characters += line.text.chars().count() as u64;
    }
    Ok(characters)
}
