//! `gu`: the guest goes on until the current function has returned: this very call of it, and not one
//! that it makes of itself, as the debugger's manual says, "gu (Go Up)". After `.frame` it is the frame's
//! function.
//!
//! ```text
//! kd> gu
//! nt!PspUserThreadStartup+0xd:
//! fffff800`0162c43d 4c8b4e48        mov     r9,qword ptr [rsi+48h] ds:002b:fffff800`008004f8=000007fffffdd000
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::control::Motion;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    let caller = session.caller().ok_or(ExecuteError::NoCaller)?;
    session.control.next = Some(Motion::to(vec![caller]));
    Ok(Flow::Go)
}
