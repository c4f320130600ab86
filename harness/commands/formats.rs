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
//! Evaluate expression:
//!   Hex:     fffff800`016530fc
//!   Decimal: -8796069613316
//!   Octal:   1777777600000131230374
//!   Binary:  11111111 11111111 11111000 00000000 00000001 01100101 00110000 11111100
//!   Chars:   .....e0.
//!   Time:    ***** Invalid FILETIME
//!   Float:   low 4.20958e-038 high -1.#QNAN
//!   Double:  -1.#QNAN
//! kd> .formats '2aeL'
//! Evaluate expression:
//!   Hex:     00000000`3261654c
//!   Decimal: 845243724
//!   Octal:   0000000000006230262514
//!   Binary:  00000000 00000000 00000000 00000000 00110010 01100001 01100101 01001100
//!   Chars:   ....2aeL
//!   Time:    Sun Oct 13 21:55:24 1996
//!   Float:   low 1.31198e-008 high 0
//!   Double:  4.17606e-315
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
