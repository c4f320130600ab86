//! `q`: ends the session.
//!
//! ```text
//! kd> q
//! ```

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
    Ok(Flow::Quit)
}
