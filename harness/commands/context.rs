//! `.trap [ADDRESS]`, `.cxr [ADDRESS]`: the registers in a trap frame (`_KTRAP_FRAME`) or a context record
//! (`CONTEXT`). From then on `r`, `k` and expressions are about them, until the guest goes on, or the
//! command comes without an address (`.cxr 0` is as good).
//!
//! ".trap (Display Trap Frame)" and ".cxr (Display Context Record)" in the debugger's manual have the
//! rules. The note about missing registers, and that `.trap` shows no segments, is as in "Bug Check 0x1AA:
//! EXCEPTION_ON_INVALID_STACK", which has a `.cxr` too; `Resetting default scope` ends these parts of many
//! analyses of x64 crashes. `.cxr /f` and `/w` are not there. For an address that cannot be read no session was found: the error has the form of
//! the others.
//!
//! ```text
//! kd> bp nt!NtClose; g
//! Breakpoint 0 hit
//! nt!NtClose:
//! fffff800`01625910 56              push    rsi
//! kd> .cxr
//! Resetting default scope
//! kd> .trap
//! Resetting default scope
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::state::register_mask;
use crate::registers::Registers;
use crate::report::registers::write_registers;
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
    let Some(at) = next_address(session, arguments, out)? else {
        return Ok(Flow::Stay);
    };
    let found = session.trap_frame_registers(at);
    let found = found.zip(session.trap_frame_segments(at));
    let mask = register_mask::INTEGER;
    set(session, arguments, found)?;
    out.write_str(NOTE)?;
    write_registers(out, session, mask)?;
    Ok(Flow::Stay)
}

/// `.cxr`.
pub(super) fn run_record(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let Some(at) = next_address(session, arguments, out)? else {
        return Ok(Flow::Stay);
    };
    let found = session.context_registers(at);
    let found = found.zip(session.context_segments(at));
    set(session, arguments, found)?;
    write_registers(out, session, register_mask::DEFAULT)?;
    Ok(Flow::Stay)
}

/// The address, or `None` without one: the processor's registers are looked from again.
fn next_address(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Option<Va>, ExecuteError> {
    let address = arguments.next_expression_or(session, 0)?;
    arguments.finish()?;
    if address == 0 {
        session.look_from(None);
        writeln!(out, "Resetting default scope")?;
        return Ok(None);
    }
    Ok(Some(Va(address)))
}

fn set(
    session: &mut Session,
    arguments: &Cursor<'_>,
    found: Option<(Registers, [u16; 6])>,
) -> Result<(), ExecuteError> {
    let Some((registers, segments)) = found else {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    };
    session.look_from(Some(registers));
    session.control.context_is_set = true;
    session.control.segments = Some(segments);
    Ok(())
}
