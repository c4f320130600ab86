//! `.effmach [TYPE]`: the mode of the processor that the debugger looks with. This target has one: `amd64`,
//! or `.` and `#`, which mean the target's own; others are refused.
//!
//! ".effmach (Effective Machine)" in the debugger's manual; the line is that of published sessions on x64.
//!
//! ```text
//! kd> .effmach
//! Effective machine: x64 (AMD64)
//! kd> .effmach amd64
//! Effective machine: x64 (AMD64)
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    _session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let machine = arguments.next_word().unwrap_or(".");
    arguments.finish()?;
    if !["amd64", "x64", ".", "#"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(machine))
    {
        return Err(ExecuteError::NoSuchMachine(machine.to_string()));
    }
    writeln!(out, "Effective machine: x64 (AMD64)")?;
    Ok(Flow::Stay)
}
