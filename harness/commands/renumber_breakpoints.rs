//! `br OLD NEW [OLD NEW …]`: gives breakpoints other numbers. What the debugger says where the new number
//! is taken ("the command fails and an error message is displayed", "br (Breakpoint Renumber)" in the
//! manual) was not found; the words here are the project's own.
//!
//! ```text
//! kd> bp nt!NtClose; br 0 7; bl
//!  7 e fffff800`01625910     0001 (0001) nt!NtClose
//! ```

use super::breakpoint_numbers::parse_number;
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut pairs = Vec::new();
    while !arguments.at_end() || pairs.is_empty() {
        let pair = [arguments.next_word(), arguments.next_word()];
        let [Some(old), Some(new)] = pair.map(|word| word.and_then(parse_number)) else {
            return Err(arguments.error(CommandErrorKind::Syntax).into());
        };
        pairs.push((old, new));
    }
    for (old, new) in pairs {
        if session.breakpoints().get(old).is_none() {
            writeln!(out, "breakpoint {old} does not exist")?;
        } else if !session.renumber_breakpoint(old, new)? {
            writeln!(out, "breakpoint {new} already exists")?;
        }
    }
    Ok(Flow::Stay)
}
