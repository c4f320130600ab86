//! What the debugger says when the guest stops.

use super::location::write_location;
use crate::debugger::{Session, Stop, StopReason};
use crate::guest::UnprovidedUse;
use crate::machine::Fault;
use std::fmt::{self, Write};

/// Published with every break-in of a kernel debugger; see for example "Getting Started with
/// WinDbg (Kernel-Mode)" in Microsoft's documentation.
const BREAK_IN_BANNER: &str = "\
*******************************************************************************
*                                                                             *
*   You are seeing this message because you pressed either                    *
*       CTRL+C (if you run console kernel debugger) or,                       *
*       CTRL+BREAK (if you run GUI kernel debugger),                          *
*   on your debugger machine's keyboard.                                      *
*                                                                             *
*                   THIS IS NOT A BUG OR A SYSTEM CRASH                       *
*                                                                             *
* If you did not intend to break into the debugger, press the \"g\" key, then   *
* press the \"Enter\" key now.  This message might immediately reappear.  If it *
* does, press \"g\" and \"Enter\" again.                                          *
*                                                                             *
*******************************************************************************
";

/// Writes the message for a stop, and where the guest is.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::stop::write_stop};
/// let mut session = Session::new(Lab::builder().build()?);
/// let stop = session.go()?;
/// let mut text = String::new();
/// write_stop(&mut text, &session, &stop)?;
/// assert!(text.starts_with("The guest is idle"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_stop(out: &mut dyn Write, session: &Session, stop: &Stop) -> fmt::Result {
    const BREAK: &str = "Break instruction exception - code 80000003 (first chance)";
    match &stop.reason {
        StopReason::BreakInstruction => writeln!(out, "{BREAK}")?,
        StopReason::Breakpoint { number } => writeln!(out, "Breakpoint {number} hit")?,
        StopReason::Step => {}
        StopReason::BreakIn => writeln!(out, "{BREAK}\n{BREAK_IN_BANNER}")?,
        StopReason::BugCheck(check) => writeln!(
            out,
            "\n*** Fatal System Error: {check}\n{BREAK}\n\nA fatal system error has occurred."
        )?,
        StopReason::Fault(fault) => writeln!(out, "{}", fault_text(fault))?,
        StopReason::UnprovidedFunction(used) => write_unprovided(out, session, used)?,
        StopReason::Idle { exit_status } => {
            write!(out, "The guest is idle: ")?;
            match exit_status {
                Some(status) => writeln!(
                    out,
                    "the program has ended with status {status:#x}, and nothing is left to run."
                )?,
                None => writeln!(
                    out,
                    "nothing is left to run, and nothing tells that the program has ended."
                )?,
            }
        }
        StopReason::Budget { work } => writeln!(
            out,
            "The guest has run {work} bytes of code without a stop (the budget of one run)."
        )?,
        StopReason::Engine(reason) => writeln!(out, "The processor emulator stopped: {reason}")?,
    }
    write_location(out, session, stop.address)
}

/// Which import is missing, and who used it.
fn write_unprovided(out: &mut dyn Write, session: &Session, used: &UnprovidedUse) -> fmt::Result {
    writeln!(out, "Unprovided import: {used}")?;
    let Some(caller) = used.caller else {
        return Ok(());
    };
    write!(out, "Used at {caller}")?;
    match session.modules().nearest(caller) {
        Some(near) => writeln!(out, " ({near})"),
        None => writeln!(out),
    }
}

/// A fault as the exception that Windows makes of it, with the debugger's words.
fn fault_text(fault: &Fault) -> String {
    let (name, code) = match fault.vector {
        0 => ("Integer divide-by-zero", 0xc000_0094_u32),
        1 => ("Single step exception", 0x8000_0004),
        4 => ("Integer overflow", 0xc000_0095),
        6 => ("Illegal instruction", 0xc000_001d),
        12..=14 => ("Access violation", 0xc000_0005),
        16 | 19 => ("Floating-point exception", 0xc000_008e),
        17 => ("Data misaligned", 0x8000_0002),
        _ => {
            return format!(
                "Unknown exception: interrupt {:#x} ({})",
                fault.vector,
                fault.name()
            );
        }
    };
    let accessed = fault
        .accessed
        .map(|at| format!(" on {at}"))
        .unwrap_or_default();
    format!(
        "{name} - code {code:08x} (!!! second chance !!!)\nProcessor: {}{accessed}",
        fault.name()
    )
}
