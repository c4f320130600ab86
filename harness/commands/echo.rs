//! `.echo TEXT`, `.echo "TEXT"`: shows a text. Without quotes it ends at a semicolon; in quotes it may have
//! some.
//!
//! The page ".echo (Echo Comment)" of the debugger's manual.
//!
//! ```text
//! kd> .echo The pool's tags: "Lea1"; .echo "and; so on"
//! The pool's tags: "Lea1"
//! and; so on
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    _session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let text = arguments.rest().trim();
    let inside = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    writeln!(out, "{}", inside.unwrap_or(text))?;
    Ok(Flow::Stay)
}
