//! `? EXPRESSION`: the value of an expression, in decimal and hexadecimal.

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
    let value = arguments.next_expression(session)?;
    arguments.finish()?;
    session.state.last_value = value;
    writeln!(out, "Evaluate expression: {} = {}", value as i64, Va(value))?;
    Ok(Flow::Stay)
}
