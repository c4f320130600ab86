//! `.exr ADDRESS`: an exception record (`EXCEPTION_RECORD` for x64): address, code, flags and parameters.
//!
//! ".exr (Display Exception Record)" in the debugger's manual names the parts; the lines are those that
//! analyses of x64 crashes show, such as the manual's own in "Bug Check 0x1E". `.exr -1`, the last
//! exception that the debugger has seen, is not there.

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::memory::ReadMemory;
use crate::report::exception;
use std::fmt::Write;

/// The parameters that a record has room for (`EXCEPTION_MAXIMUM_PARAMETERS`).
const PARAMETERS: u32 = 15;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let denied = arguments.error(CommandErrorKind::MemoryAccess);
    let machine = session.lab().machine();
    let word = |offset: u64| {
        let word = machine.read_u64(at.wrapping_add(offset));
        word.map_err(|_| denied.clone())
    };
    let codes = word(0)?;
    let (code, flags) = (codes as u32, (codes >> 32) as u32);
    let address = Va(word(0x10)?);
    let count = (word(0x18)? as u32).min(PARAMETERS);
    let parameters: Result<Vec<u64>, _> =
        (0..u64::from(count)).map(|n| word(0x20 + n * 8)).collect();
    let parameters = parameters?;
    write!(out, "ExceptionAddress: {:016x}", address.0)?;
    match session.modules().nearest(address) {
        Some(near) => writeln!(out, " ({near})")?,
        None => writeln!(out)?,
    }
    write!(out, "   ExceptionCode: {code:08x}")?;
    match exception::name(code) {
        Some(name) => writeln!(out, " ({name})")?,
        None => writeln!(out)?,
    }
    writeln!(out, "  ExceptionFlags: {flags:08x}")?;
    writeln!(out, "NumberParameters: {count}")?;
    for (number, parameter) in parameters.iter().enumerate() {
        writeln!(out, "   Parameter[{number}]: {parameter:016x}")?;
    }
    if let Some(attempt) = exception::attempt(code, &parameters) {
        writeln!(out, "{attempt}")?;
    }
    Ok(Flow::Stay)
}
