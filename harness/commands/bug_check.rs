//! `.bugcheck`: the bug check's code and its four parameters; zeros if there was none.
//!
//! ".bugcheck (Display Bug Check Data)" in the debugger's manual says what it shows, its page "Bug Check
//! 0x1E" in which form.
//!
//! ```text
//! kd> .bugcheck
//! Bugcheck code 00000000
//! Arguments 00000000`00000000 00000000`00000000 00000000`00000000 00000000`00000000
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    let check = session.lab().bug_check();
    let (code, parameters) = check.map_or((0, [0; 4]), |one| (one.code, one.parameters));
    let [one, two, three, four] = parameters.map(Va);
    writeln!(out, "Bugcheck code {code:08X}")?;
    writeln!(out, "Arguments {one} {two} {three} {four}")?;
    Ok(Flow::Stay)
}
