//! `db`, `dw`, `dW`, `dc`, `dd`, `dq`, `dp [OPTIONS] [RANGE]`: memory as bytes, words, doublewords,
//! quadwords or pointers, with the characters beside them for `db`, `dW` and `dc`. Without a range the
//! display goes on where the last one ended. `d [RANGE]` repeats the last display command.
//!
//! | option | |
//! |---|---|
//! | `/cWIDTH` | so many in a line |
//! | `/p`, `/p[c]`, `/p[uc]`, `/p[wc]` | physical memory |
//!
//! One display is 1 MiB at most, `L?` or not: the text would be some ten times that.
//!
//! The forms are those of "d, da, db, dc, dd, dD, df, dp, dq, du, dw (Display Memory)".
//!
//! ```text
//! kd> dc nt!PoolHitTag l1
//! fffff800`016530fc  ffffff0f                             ....
//! kd> db nt l10
//! fffff800`01450000  4d 5a 78 00 01 00 00 00-04 00 00 00 00 00 00 00  MZx.............
//! kd> dq @rsp l2
//! fffff880`04ec1cc8  fffff800`0162c43d 00000000`00000000
//! ```

use super::{ExecuteError, Flow, run_named};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::elements::Space;
use crate::debugger::range::{AddressRange, RangeSyntax};
use crate::report::memory::{Shape, write_row};
use std::fmt::Write;

/// Bytes shown without a range.
const DEFAULT_BYTES: u64 = 128;
/// Bytes shown at most.
pub(super) const MAXIMUM_BYTES: u64 = 1 << 20;
/// The most elements in a line. The project's own limit.
const MAXIMUM_COLUMNS: u64 = 0x100;

/// The options that displays have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DisplayOptions {
    /// Elements in a line, if that is said.
    pub columns: Option<u64>,
    pub space: Space,
}

impl DisplayOptions {
    /// Reads `/cWIDTH` and `/p`.
    pub(super) fn read(
        session: &Session,
        arguments: &mut Cursor<'_>,
    ) -> Result<DisplayOptions, ExecuteError> {
        let mut options = DisplayOptions::default();
        while arguments.eat("/") {
            if arguments.eat("c") {
                let columns = arguments.next_expression(session)?;
                if columns == 0 || columns > MAXIMUM_COLUMNS {
                    return Err(arguments.error(CommandErrorKind::Range).into());
                }
                options.columns = Some(columns);
            } else if arguments.eat("p") {
                options.space = Space::Physical;
                let _ = arguments.eat("[c]") || arguments.eat("[uc]") || arguments.eat("[wc]");
            } else {
                return Err(arguments.error(CommandErrorKind::Syntax).into());
            }
        }
        Ok(options)
    }
}

/// Reads a display's range to the arguments' end; `default` elements without a length.
pub(super) fn range(
    session: &Session,
    arguments: &mut Cursor<'_>,
    element_size: u64,
    default: u64,
) -> Result<AddressRange, ExecuteError> {
    let syntax = RangeSyntax {
        element_size,
        default_count: Some(default),
        default_start: Some(session.next_display.unwrap_or(session.registers().rip())),
    };
    let range = arguments.next_range(session, syntax)?;
    arguments.finish()?;
    if range.bytes > MAXIMUM_BYTES {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    Ok(range)
}

/// Shows elements of `SIZE` bytes, with their characters if `CHARACTERS`.
pub(super) fn run<const SIZE: u64, const CHARACTERS: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = DisplayOptions::read(session, arguments)?;
    let mut shape = Shape::new(SIZE, CHARACTERS);
    shape.columns = options.columns.unwrap_or(shape.columns);
    let range = range(session, arguments, SIZE, DEFAULT_BYTES / SIZE)?;
    let elements = range.count(SIZE);
    let mut done = 0;
    while done < elements {
        let line = AddressRange {
            start: range.start.wrapping_add(done * SIZE),
            bytes: shape.columns.min(elements - done) * SIZE,
        };
        let last = write_line(session, out, options.space, shape, line)?;
        session.state.last_shown = last.unwrap_or(session.state.last_shown);
        done += shape.columns;
    }
    session.state.display = match (SIZE, CHARACTERS) {
        (1, _) => "db",
        (2, false) => "dw",
        (2, true) => "dW",
        (4, true) => "dc",
        (4, false) => "dd",
        _ => "dq",
    };
    session.next_display = Some(range.start.wrapping_add(elements * SIZE));
    Ok(Flow::Stay)
}

/// `d`: the last display command again.
pub(super) fn run_again(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    run_named(session.state.display, session, arguments, out)
}

/// Writes one line of elements; bytes that are not in memory are `??`. Gives the last value.
pub(super) fn write_line(
    session: &Session,
    out: &mut dyn Write,
    space: Space,
    shape: Shape,
    line: AddressRange,
) -> Result<Option<u64>, ExecuteError> {
    let elements = session.elements(space, line, shape.size);
    let values: Vec<Option<u64>> = elements.map(|(_, value)| value).collect();
    write_row(out, line.start, shape, &values)?;
    Ok(values.into_iter().flatten().next_back())
}
