//! `bc NUMBER…`, `bd NUMBER…`, `be NUMBER…`: removes breakpoints, disables them, enables them again.
//! Numbers are decimal; `1-3` and `1,3` name several, `*` all.
//!
//! ```text
//! kd> bp nt!NtClose; bp nt!NtOpenFile
//! kd> bd 0; bc 1; bl
//!  0 d fffff800`01625910     0001 (0001) nt!NtClose
//! ```

use super::breakpoint_numbers::next_numbers;
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) const CLEAR: u8 = 0;
pub(super) const DISABLE: u8 = 1;
pub(super) const ENABLE: u8 = 2;

pub(super) fn run<const CHANGE: u8>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    for number in next_numbers(session, arguments)? {
        let found = match CHANGE {
            CLEAR => session.clear_breakpoint(number)?.is_some(),
            change => session.enable_breakpoint(number, change == ENABLE)?,
        };
        if !found {
            writeln!(out, "breakpoint {number} does not exist")?;
        }
    }
    Ok(Flow::Stay)
}
