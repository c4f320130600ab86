//! `.process`, `.thread`: the process and the thread that is looked from. They are those that run, and may be
//! named; no others can be looked from here, and `/p`, `/r`, `/i` are not there.
//!
//! `~1s`: the processor that is looked from. This target has two, of which the second, processor 1, runs all there
//! is: it is the one to look from, and the first is not.
//!
//! ".process (Set Process Context)", ".thread (Set Register Context)" and "~s (Change Current Processor)" in the
//! debugger's manual have the rules. The words of `.process` are there and, on x64, in "!ptov"; those of `.thread`
//! in "Debug Universal Drivers - Step by Step Lab (Echo Kernel-Mode)" (its own page has an older debugger's: `Using
//! context of thread`). There `k` says behind it that the context has been set, which it does not here, since none
//! is but the current one.
//!
//! ```text
//! kd> .process
//! Implicit process is now fffffa80`0005b900
//! kd> .thread
//! Implicit thread is now fffffa80`0005c040
//! kd> ~1s
//! ```

use super::{ExecuteError, Flow, Run};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) static COMMANDS: [(&str, Run); 3] = [
    (".process", run_process),
    (".thread", run_thread),
    ("~", run_processor),
];

const OTHER_PROCESS: &str =
    "No other process's context can be set here: !process shows the processes.";
const OTHER_THREAD: &str = "No other thread's context can be set here: !thread shows the threads.";
const OTHER_PROCESSOR: &str =
    "Processor 1 runs all there is here, and is the one to look from (~1s): no other can be.";

/// Shows what is looked from, if nothing else is asked for.
fn show(
    session: &Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
    (current, what, other): (Option<Va>, &str, &'static str),
) -> Result<Flow, ExecuteError> {
    let current = current.unwrap_or_default();
    if arguments.peek() == Some('/') {
        return Err(ExecuteError::Absent(other));
    }
    let wanted = arguments.next_expression_or(session, current.0)?;
    arguments.finish()?;
    // 0 is the one that runs.
    if wanted != current.0 && wanted != 0 {
        return Err(ExecuteError::Absent(other));
    }
    writeln!(out, "Implicit {what} is now {current}")?;
    Ok(Flow::Stay)
}

fn run_process(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let current = session.current_process();
    show(session, arguments, out, (current, "process", OTHER_PROCESS))
}

fn run_thread(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let current = session.current_thread();
    show(session, arguments, out, (current, "thread", OTHER_THREAD))
}

fn run_processor(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let this = format!("{}s", session.processor_number());
    match arguments.eat(&this) {
        true => arguments.finish()?,
        false => return Err(ExecuteError::Absent(OTHER_PROCESSOR)),
    }
    Ok(Flow::Stay)
}
