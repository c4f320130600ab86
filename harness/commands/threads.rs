//! `!thread [-p] [-t] [THREAD [FLAGS]]`: a thread, by its address or with `-t` by its number; -1 or nothing
//! for the one that runs. `-p` shows its process first.
//!
//! | bit | shows |
//! |---|---|
//! | 2 | what it waits for |
//! | 4 | with 2, all there is, and its stack |
//! | 8 | no arguments in the stack |
//!
//! Without flags they are 6. "!thread" in the debugger's manual has the rules and the form. Its lines about
//! times, the device map and priorities of I/O and pages are left out, since this kernel's structures do
//! not hold them. A thread that does not run is where `nt!KiSwapContext` has left it.
//!
//! ```text
//! kd> !thread
//! THREAD fffffa800005c040  Cid 0024.0028  Teb: 000007fffffdd000 Win32Thread: 0000000000000000 RUNNING on processor 1
//! Not impersonating
//! Owning Process            fffffa800005b900       Image:         NotMyfault.exe
//! Attached Process          N/A            Image:         N/A
//! Wait Start TickCount      0              Ticks: 0
//! Context Switch Count      0              IdealProcessor: 1
//! Win32 Start Address NotMyfault+0x2300 (0x00000000ff222300)
//! Stack Init fffff88004ec1db0 Current fffff88004ec1c20
//! Base fffff88004ec2000 Limit fffff88004ebc000 Call 0000000000000000
//! Priority 8 BasePriority 8 PriorityDecrement 0
//! Child-SP          RetAddr           : Args to Child                                                           : Call Site
//! fffff880`04ec1cc8 fffff800`0162c43d : 00000000`00000000 00000000`00000000 00000000`00000000 00000000`00000000 : nt!DbgBreakPoint
//! fffff880`04ec1cd0 fffff800`014e10fc : 00000000`00000000 00000000`00000000 fffff800`008004b0 fffff800`014e10f0 : nt!PspUserThreadStartup+0xd
//! fffff880`04ec1d00 00000000`00000000 : 00000000`00000000 00000000`00000000 00000000`00000000 00000000`00000000 : nt!KiStartUserThread+0xc
//!
//! ```

use super::processes::next_value;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::objects::{ObjectError, Thread};
use crate::report::processes::{write_process, write_thread};
use std::fmt::Write;

const DEFAULT: u64 = 6;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (mut with_process, mut by_number) = (false, false);
    while arguments.peek() == Some('-') {
        match arguments.rest().get(..2) {
            Some("-p") => with_process = true,
            Some("-t") => by_number = true,
            Some("-1") => break,
            _ => {
                arguments.eat("-");
                return Err(arguments.error(CommandErrorKind::Syntax).into());
            }
        }
        arguments.next_word();
    }
    let which = next_value(session, arguments)?;
    let flags = next_value(session, arguments)?.unwrap_or(DEFAULT);
    arguments.finish()?;
    let lab = session.lab();
    let thread = match which {
        None | Some(u64::MAX) => lab.thread(session.current_thread().unwrap_or_default())?,
        Some(number) if by_number => with_number(session, number)?,
        Some(address) => lab.thread(Va(address))?,
    };
    if with_process {
        write_process(out, &lab.process(thread.process)?)?;
        writeln!(out)?;
    }
    write_thread(out, session, &thread, flags, "")?;
    Ok(Flow::Stay)
}

/// The thread with this number, of all processes'.
fn with_number(session: &Session, number: u64) -> Result<Thread, ObjectError> {
    let lab = session.lab();
    let processes = lab.processes()?;
    let threads = processes.iter().flat_map(|process| &process.threads);
    let mut threads = threads.filter_map(|at| lab.thread(*at).ok());
    let found = threads.find(|thread| thread.client_id[1] == number);
    found.ok_or(ObjectError::NotThread(Va(number)))
}
