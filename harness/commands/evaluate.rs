//! `? EXPRESSION`: the value of an expression, in decimal and hexadecimal.
//!
//! ```text
//! kd> ? nt!PoolHitTag + 0n16 * 2
//! Evaluate expression: -8796069613284 = fffff800`0165311c
//! kd> ? dwo(nt!PoolHitTag) & ff
//! Evaluate expression: 15 = 00000000`0000000f
//! ```

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
    if arguments.rest().contains("@@")
        && let Some(sentence) = super::absent_command("??")
    {
        return Err(ExecuteError::Absent(sentence));
    }
    let value = arguments.next_expression(session)?;
    arguments.finish()?;
    session.state.last_value = value;
    writeln!(out, "Evaluate expression: {} = {}", value as i64, Va(value))?;
    Ok(Flow::Stay)
}
