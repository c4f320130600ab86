//! `.trap [ADDRESS]`, `.cxr [ADDRESS]`: the registers in a trap frame (`_KTRAP_FRAME`) or a context record
//! (`CONTEXT`). From then on `r`, `k` and expressions are about them, until the guest goes on, or the
//! command comes without an address (`.cxr 0` is as good).
//!
//! ".trap (Display Trap Frame)" and ".cxr (Display Context Record)" in the debugger's manual have the
//! rules. The note about missing registers is in many analyses of x64 crashes, so is `Resetting default
//! scope`. `.cxr /f` and `/w` are not there.

use super::{ExecuteError, Flow, registers};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::registers::Registers;
use std::fmt::Write;

pub(super) const NOTE: &str = "\
NOTE: The trap frame does not contain all registers.
Some register values may be zeroed or incorrect.
";

/// `.trap`.
pub(super) fn run_trap_frame(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    run(session, arguments, out, NOTE, Session::trap_frame_registers)
}

/// `.cxr`.
pub(super) fn run_record(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    run(session, arguments, out, "", Session::context_registers)
}

fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
    note: &str,
    read: impl Fn(&Session, Va) -> Option<Registers>,
) -> Result<Flow, ExecuteError> {
    let address = arguments.next_expression_or(session, 0)?;
    arguments.finish()?;
    if address == 0 {
        session.look_from(None);
        writeln!(out, "Resetting default scope")?;
        return Ok(Flow::Stay);
    }
    let Some(found) = read(session, Va(address)) else {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    };
    session.look_from(Some(found));
    session.control.context_is_set = true;
    out.write_str(note)?;
    registers::run(session, &mut Cursor::new(""), out)
}
