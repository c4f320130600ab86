//! `m RANGE ADDRESS`: copies memory, to a range that may overlap the first. If a byte cannot be read or
//! written, none is written.
//!
//! "m (Move Memory)".
//!
//! ```text
//! kd> m nt l4 nt!PoolHitTag; dc nt!PoolHitTag l1
//! fffff800`016530fc  00785a4d                             MZx.
//! ```

use super::fill::next_bytes;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::elements::Space;
use crate::debugger::range::AddressRange;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let from = next_bytes(session, arguments)?;
    let start = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let to = AddressRange {
        start,
        bytes: from.bytes,
    };
    let is_there = |range| session.is_there(Space::Virtual, range);
    if !is_there(from) || !is_there(to) {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    }
    let mut bytes = vec![0; from.bytes as usize];
    let done = session.read_space(Space::Virtual, from.start, &mut bytes)
        && session.write(to.start, &bytes).is_ok();
    match done {
        true => Ok(Flow::Stay),
        false => Err(arguments.error(CommandErrorKind::MemoryAccess).into()),
    }
}
