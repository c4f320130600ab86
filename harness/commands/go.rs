//! `g`: the guest goes on until something stops it.
//!
//! From a break instruction (`int 3` in the guest's own code) it goes on behind the instruction,
//! unless that has been patched; a breakpoint at the current instruction does not stop it again.

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    _session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    Ok(Flow::Go)
}
