//! `c RANGE ADDRESS`: compares two ranges of memory, and shows the bytes that differ: the address in
//! the first range and its byte, the address in the second and its byte. Nothing is shown if the
//! ranges are the same. At most 65,536 differences are shown.
//!
//! "c (Compare Memory)" says what is shown; no published session was found for its form.
//!
//! ```text
//! kd> c nt l8 nt+2
//! fffff800`01450000  4d - fffff800`01450002  78
//! fffff800`01450001  5a - fffff800`01450003  00
//! fffff800`01450002  78 - fffff800`01450004  01
//! fffff800`01450004  01 - fffff800`01450006  00
//! fffff800`01450006  00 - fffff800`01450008  04
//! ```

use super::fill::next_bytes;
use super::search::HIT_LIMIT;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let range = next_bytes(session, arguments)?;
    let other = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let differences = session
        .compare_memory(range, other, HIT_LIMIT + 1)
        .map_err(|_| arguments.error(CommandErrorKind::MemoryAccess))?;
    for one in differences.iter().take(HIT_LIMIT) {
        writeln!(
            out,
            "{}  {:02x} - {}  {:02x}",
            one.first, one.bytes[0], one.second, one.bytes[1]
        )?;
    }
    match differences.get(HIT_LIMIT) {
        Some(next) => Err(ExecuteError::TooManyHits { at: next.first }),
        None => Ok(Flow::Stay),
    }
}
