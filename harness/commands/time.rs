//! `.time`: for how long the guest has run, by its own clock.
//!
//! ".time (Display System Time)" in the debugger's manual, without the time of day: the guest's is that of no
//! calendar, and the host's is none of its business. So there is no `-h` either.
//!
//! ```text
//! kd> .time
//! System Uptime: 0 days 0:00:00.001
//! ```

use super::{ExecuteError, Flow, version};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    version::write_uptime(out, session)?;
    Ok(Flow::Stay)
}
