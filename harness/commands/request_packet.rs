//! `!irp ADDRESS [DETAIL]`: a request packet, and each driver's part of it.
//!
//! "!irp" in the debugger's manual has the rules; the form is that of "Bug Check 0x9F:
//! DRIVER_POWER_STATE_FAILURE". With DETAIL, its flags, status and owner come first: the manual has no
//! output of it, so their form is the project's own.
//!
//! ```text
//! kd> bp nt!IofCallDriver "r $t0 = @rdx"; g
//! nt!IofCallDriver:
//! fffff800`0161aa00 0fb64243        movzx   eax,byte ptr [rdx+43h] ds:002b:fffffa80`0005ce03=02
//! kd> !irp @$t0
//! Irp is active with 1 stacks 2 is current (= 0xfffffa800005ced8)
//!  No Mdl: No System Buffer: Thread fffffa800005c040:  Irp is completed.
//!      cmd  flg cl Device   File     Completion-Context
//!  [N/A(0), N/A(0)]
//!             0  0 00000000 fffffa800005cf20 00000000-00000000
//!
//!             Args: fffff88004ec1978 01000060 00000000 00000000
//! ```

use super::processes::next_value;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::report::objects::write_irp;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = Va(arguments.next_expression(session)?);
    let detail = next_value(session, arguments)?;
    arguments.finish()?;
    let irp = session.lab().irp(at)?;
    write_irp(out, session, &irp)?;
    if detail.is_some() {
        let (status, information) = irp.status;
        writeln!(out, "Flags = {:08x}", irp.flags)?;
        writeln!(
            out,
            "IoStatus.Status = {status:08x} IoStatus.Information = {information:x}"
        )?;
        writeln!(out, "Cancel = {}", u8::from(irp.cancelled))?;
        writeln!(out, "Tail.Overlay.Thread = {:016x}", irp.thread.0)?;
    }
    Ok(Flow::Stay)
}
