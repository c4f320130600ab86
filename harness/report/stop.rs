//! What the debugger says when the guest stops.

use super::exception;
use super::location::write_location;
use crate::debugger::{ModuleEvent, Session, Stop, StopReason};
use crate::guest::UnprovidedUse;
use crate::machine::Fault;
use crate::memory::ReadMemory;
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

/// Published with every bug check under a kernel debugger; see for example "Reverse-engineering tcpip.sys"
/// (doar-e.github.io).
const BUG_CHECK_BANNER: &str = "
A fatal system error has occurred.
Debugger entered on first try; Bugcheck callbacks have not been invoked.

A fatal system error has occurred.
";

/// Published with every first-chance exception; see "Getting Started with WinDbg (User-Mode)".
const FIRST_CHANCE: &str = "\
First chance exceptions are reported before any exception handling.
This exception may be expected and handled.";

fn write_module_load(out: &mut dyn Write, module: &ModuleEvent) -> fmt::Result {
    let (base, end) = (module.base, module.end);
    writeln!(out, "ModLoad: {base} {end}   {}", module.name)
}

/// In the project's own words: no session with it was found.
fn write_module_unload(out: &mut dyn Write, module: &ModuleEvent) -> fmt::Result {
    writeln!(out, "Unload module {} at {}", module.name, module.base)
}

/// Writes the message for an event that the guest goes on from.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{StopReason, address::Va, debugger::ModuleEvent, report::stop::write_event};
/// let module = ModuleEvent {
///     name: "kdnet.dll".into(),
///     path: String::new(),
///     base: Va(0xfffff80018510000),
///     end: Va(0xfffff80018557000),
/// };
/// let mut text = String::new();
/// write_event(&mut text, &StopReason::ModuleLoad(Box::new(module)))?;
/// // as in "Setting Up 2PF Kernel-Mode Debugging using KDNET"
/// assert_eq!(text, "ModLoad: fffff800`18510000 fffff800`18557000   kdnet.dll\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_event(out: &mut dyn Write, reason: &StopReason) -> fmt::Result {
    match reason {
        StopReason::BreakInstruction => {
            writeln!(
                out,
                "Break instruction exception - code 80000003 (first chance)"
            )
        }
        StopReason::Exception { record, .. } => {
            let name = exception::name(record.code).unwrap_or("Unknown exception");
            writeln!(out, "{name} - code {:08x} (first chance)", record.code)
        }
        StopReason::ModuleLoad(module) => write_module_load(out, module),
        StopReason::ModuleUnload(module) => write_module_unload(out, module),
        _ => Ok(()),
    }
}

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
        StopReason::BugCheck(check) => {
            writeln!(out, "\n*** Fatal System Error: {check}\n{BREAK}")?;
            match has_called_drivers(session) {
                false => writeln!(out, "{BUG_CHECK_BANNER}")?,
                true => writeln!(out, "\nA fatal system error has occurred.\n")?,
            }
        }
        StopReason::Fault(fault) => writeln!(out, "{}", fault_text(fault))?,
        StopReason::UnprovidedFunction(used) => write_unprovided(out, session, used)?,
        StopReason::Exception {
            record,
            first_chance,
        } => {
            let name = exception::name(record.code).unwrap_or("Unknown exception");
            write!(out, "{name} - code {:08x} ", record.code)?;
            match first_chance {
                true => writeln!(out, "(first chance)\n{FIRST_CHANCE}")?,
                false => writeln!(out, "(!!! second chance !!!)")?,
            }
        }
        StopReason::ModuleLoad(module) => write_module_load(out, module)?,
        StopReason::ModuleUnload(module) => write_module_unload(out, module)?,
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

/// Whether drivers have been told of a bug check. Windows' kernel breaks before it tells them, this one
/// afterwards: of the debugger's words those are left out then that would not be true.
fn has_called_drivers(session: &Session) -> bool {
    let lab = session.lab();
    let heads = [
        "KeBugCheckCallbackListHead",
        "KeBugCheckReasonCallbackListHead",
    ];
    let mut heads = heads.iter().filter_map(|name| lab.kernel_symbol(name));
    heads.any(|head| {
        lab.machine()
            .read_u64(head)
            .is_ok_and(|next| next != head.0)
    })
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
pub(crate) fn fault_text(fault: &Fault) -> String {
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
