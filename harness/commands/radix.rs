//! `n [8 | 10 | 16]`: the base of numbers without prefix in expressions; without an argument says it.
//! The argument is a decimal number. What commands print does not depend on it.
//!
//! "n (Set Number Base)". No published session was found for the line that says the base.
//!
//! ```text
//! kd> n 10
//! base is 10
//! kd> ? 10
//! Evaluate expression: 10 = 00000000`0000000a
//! kd> n 16
//! base is 16
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if let Some(word) = arguments.next_word() {
        let radix = match word {
            "8" => 8,
            "10" => 10,
            "16" => 16,
            _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        };
        arguments.finish()?;
        session.state.radix = radix;
    }
    writeln!(out, "base is {}", session.state.radix)?;
    Ok(Flow::Stay)
}
