//! `k [COUNT]`: the call stack, from the current instruction through the driver and the system
//! call to the user-mode program. With `.lines -e` each function has its source line behind it, if that
//! is known.

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
    let count = arguments.next_expression_or(session, DEFAULT_FRAMES)?;
    arguments.finish()?;
    let mut stack = session.stack(count.min(MAXIMUM_FRAMES) as usize);
    if session.shows_source_lines() {
        stack = stack.with_lines(session.modules());
    }
    write_stack(out, &stack)?;
    Ok(Flow::Stay)
}

/// The number of frames that a `k` shows which needs nothing of the guest to know it: without a
/// count, or with a number for one.
pub(super) fn constant_count(command: &str) -> Option<usize> {
    let arguments = command.trim().strip_prefix(['k', 'K'])?;
    if arguments.is_empty() {
        return Some(DEFAULT_FRAMES as usize);
    }
    let digits = arguments.strip_prefix(' ')?.trim();
    let is_number = digits.len() <= 4 && digits.starts_with(|c: char| c.is_ascii_digit());
    let count = u64::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
    Some(count.min(MAXIMUM_FRAMES) as usize)
}
