//! `k [COUNT]`: the call stack, from the current instruction through the driver and the system
//! call to the user-mode program.

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::report::stack::write_stack;
use std::fmt::Write;

/// The frames shown without a count.
const DEFAULT_FRAMES: u64 = 0x100;
/// The frames shown at most (the debugger's own limit on `k`'s count).
const MAXIMUM_FRAMES: u64 = 0xffff;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let count = if arguments.at_end() {
        DEFAULT_FRAMES
    } else {
        arguments.next_expression(session)?
    };
    arguments.finish()?;
    write_stack(out, &session.stack(count.min(MAXIMUM_FRAMES) as usize))?;
    Ok(Flow::Stay)
}
