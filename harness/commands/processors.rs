//! `!irql [PROCESSOR]`, `!pcr [PROCESSOR]`, `!prcb [PROCESSOR]`: a processor's interrupt request level,
//! control region and control block; of the processor that runs, if no other is named (`!prcb`: of the
//! first).
//!
//! "!irql", "!pcr" and "!prcb" in the debugger's manual have the rules, "Bug Check 0x133" the lines of `!pcr`
//! on x64. Where that shows zero, the region's own values are shown; IRR, IDR and the interrupt mode are an
//! older interrupt controller's, and zero. The level is the one at the stop: a debugger's stop does not
//! raise it here. Counts and times of `!prcb` are left out, since this kernel does not keep them.
//!
//! ```text
//! kd> !irql
//! Debugger saved IRQL for processor 0x1 -- 0 (LOW_LEVEL)
//! kd> !pcr
//! KPCR for Processor 1 at fffff880009e9000:
//!     Major 1 Minor 1
//!     NtTib.ExceptionList: fffff880009f1000
//!         NtTib.StackBase: fffff880009f1100
//!        NtTib.StackLimit: 0000000000000000
//!      NtTib.SubSystemTib: fffff880009e9000
//!           NtTib.Version: 00000000009e9180
//!       NtTib.UserPointer: 0000000000000000
//!           NtTib.SelfTib: fffff880009e9000
//!
//!                 SelfPcr: fffff880009e9000
//!                    Prcb: fffff880009e9180
//!                    Irql: 0000000000000000
//!                     IRR: 0000000000000000
//!                     IDR: 0000000000000000
//!           InterruptMode: 0000000000000000
//!                     IDT: fffff8000165f150
//!                     GDT: fffff880009f1000
//!                     TSS: fffff880009f1100
//!
//!           CurrentThread: fffffa800005c040
//!              NextThread: 0000000000000000
//!              IdleThread: fffffa800003d040
//!
//!                DpcQueue:
//! ```

use super::processes::next_value;
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::guest::objects::Processor;
use crate::report::processors::{write_block, write_level, write_region};
use std::fmt::Write;

fn next_processor(
    session: &Session,
    arguments: &mut Cursor<'_>,
    default: Option<u64>,
) -> Result<Processor, ExecuteError> {
    let number = next_value(session, arguments)?.or(default);
    arguments.finish()?;
    Ok(session.lab().processor(number)?)
}

/// `!irql`.
pub(super) fn run_level(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let processor = next_processor(session, arguments, None)?;
    write_level(out, &processor)?;
    Ok(Flow::Stay)
}

/// `!pcr`.
pub(super) fn run_region(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let processor = next_processor(session, arguments, None)?;
    write_region(out, &processor)?;
    Ok(Flow::Stay)
}

/// `!prcb`.
pub(super) fn run_block(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let processor = next_processor(session, arguments, Some(0))?;
    write_block(out, &processor)?;
    Ok(Flow::Stay)
}
