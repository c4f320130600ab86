//! `.lastevent`: what has stopped the guest. `.cls` clears the screen of a debugger's window: here it does nothing.
//!
//! ".lastevent (Display Last Event)" and ".cls (Clear Screen)" in the debugger's manual have the rules, ".eventlog
//! (Display Recent Events)" and ".jdinfo (Use JIT_DEBUG_INFO)" the line; below it the latter has another with the
//! time of day, which is none of the guest's. Of kernels no published line was found: the manual's have a process'
//! and thread's numbers in front, those of `.eventlog` none. The first prompt is at the kernel's own break
//! instruction. `Load module my.sys at …` is in sessions of `sxe ld` that were published (KMDF Hello World, HEVD).
//!
//! ```text
//! kd> .lastevent
//! Last event: Break instruction exception - code 80000003 (first chance)
//! kd> bp nt!NtClose; g; .lastevent
//! Breakpoint 0 hit
//! nt!NtClose:
//! fffff800`01625910 56              push    rsi
//! Last event: Hit breakpoint 0
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::cursor::Cursor;
use crate::debugger::{Session, StopReason};
use crate::report::stop::{fault_text, write_event};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    write!(out, "Last event: ")?;
    match session.last_stop().map(|stop| &stop.reason) {
        Some(StopReason::Breakpoint { number }) => writeln!(out, "Hit breakpoint {number}")?,
        Some(StopReason::Step) => {
            writeln!(out, "Single step exception - code 80000004 (first chance)")?
        }
        Some(StopReason::Idle { .. }) => writeln!(out, "The guest is idle")?,
        Some(StopReason::Fault(fault)) => writeln!(out, "{}", fault_text(fault))?,
        Some(StopReason::UnprovidedFunction(_)) => writeln!(out, "Unprovided import")?,
        Some(StopReason::Budget { .. }) => writeln!(out, "The budget of a run is used up")?,
        Some(StopReason::Engine(text)) => writeln!(out, "{text}")?,
        Some(StopReason::BreakIn | StopReason::BugCheck(_)) | None => {
            write_event(out, &StopReason::BreakInstruction)?;
        }
        Some(StopReason::ModuleLoad(module)) => {
            writeln!(out, "Load module {} at {}", module.name, module.base)?
        }
        Some(reason) => write_event(out, reason)?,
    }
    Ok(Flow::Stay)
}

/// `.cls`.
pub(super) fn run_clear(
    _session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    Ok(Flow::Stay)
}
