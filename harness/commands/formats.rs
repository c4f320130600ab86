//! `.formats EXPRESSION`: the value of an expression as hexadecimal, decimal, octal and binary number, as
//! characters, as a time, and as floating-point numbers.
//!
//! A value of at most 32 bits is taken for seconds since 1970, another for a FILETIME; both are shown in UTC.
//!
//! ".formats (Show Number Formats)" in the debugger's manual. The rows with 64 bits are those of published
//! kernel sessions on x64.
//!
//! ```text
//! kd> .formats nt!PoolHitTag
//! kd> .formats '2aeL'
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::report::formats::write_formats;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let value = arguments.next_expression(session)?;
    arguments.finish()?;
    session.state.last_value = value;
    write_formats(out, value)?;
    Ok(Flow::Stay)
}
