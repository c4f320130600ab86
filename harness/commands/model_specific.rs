//! `rdmsr NUMBER`, `wrmsr NUMBER VALUE`: reads and writes a model-specific register. Those can be written
//! that the guest's state is made of: EFER, STAR, LSTAR, FMASK, the bases of FS and GS, and TSC_AUX.
//!
//! "rdmsr (Read MSR)"; the form, `msr[c0000082] = fffff800'03e7bec0`, is that of many published sessions on
//! Windows 7 x64. The words for a register that there is not are the debugger's as remembered; no
//! published session was found.
//!
//! ```text
//! kd> rdmsr c0000082
//! msr[c0000082] = fffff800`014e0cc0
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

pub(super) fn run_read(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let number = next_number(session, arguments)?;
    arguments.finish()?;
    match session.lab().machine().read_msr(number) {
        Some(value) => writeln!(out, "msr[{number:x}] = {}", Va(value))?,
        None => return Err(ExecuteError::NoSuchMsr),
    }
    Ok(Flow::Stay)
}

pub(super) fn run_write(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let number = next_number(session, arguments)?;
    let value = arguments.next_expression(session)?;
    arguments.finish()?;
    session.lab_mut().machine_mut().write_msr(number, value)?;
    Ok(Flow::Stay)
}

fn next_number(session: &Session, arguments: &mut Cursor<'_>) -> Result<u32, ExecuteError> {
    let number = arguments.next_expression(session)?;
    u32::try_from(number).map_err(|_| arguments.error(CommandErrorKind::Range).into())
}
