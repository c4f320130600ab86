//! `.kframes [COUNT]`: how many frames `k` shows without a count, and how many words `kd` shows; without COUNT what
//! it is. At first `k` shows 256 frames.
//!
//! ".kframes (Set Stack Length)" in the debugger's manual has the rules and the form.
//!
//! ```text
//! kd> .kframes 2
//! Default stack trace depth is 0n2 frames
//! kd> k
//! Child-SP          RetAddr           Call Site
//! fffff880`04ec1cc8 fffff800`0162c43d nt!DbgBreakPoint
//! fffff880`04ec1cd0 fffff800`014e10fc nt!PspUserThreadStartup+0xd
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

/// The most frames (the debugger's own limit on `k`'s count).
const MAXIMUM: u64 = 0xffff;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let frames = arguments.next_expression_or(session, session.state.frames)?;
    arguments.finish()?;
    if !(1..=MAXIMUM).contains(&frames) {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    session.state.frames = frames;
    writeln!(out, "Default stack trace depth is 0n{frames} frames")?;
    Ok(Flow::Stay)
}
