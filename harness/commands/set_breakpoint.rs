//! `bp ADDRESS ["COMMANDS"]`: stops the guest in front of an instruction; with commands, executes
//! them there. `bp ADDRESS "k;g"` shows the stack each time and goes on.
//!
//! Guest memory does not show the breakpoint. A second one at the same address redefines the first.

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = Va(arguments.next_expression(session)?);
    let command = arguments.next_quoted()?.unwrap_or_default();
    arguments.finish()?;
    let (number, redefined) = session.set_breakpoint(address, &command)?;
    if redefined {
        writeln!(out, "breakpoint {number} redefined")?;
    }
    Ok(Flow::Stay)
}
