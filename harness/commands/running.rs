//! `!running [-i] [-t]`: the processors that run a thread, each with the thread, its priority, the next one and the idle
//! one; with `-i` the idle processors, too, with `-t` the stacks. `!ready`: the threads that wait for a processor, by
//! priority.
//!
//! "!running" and "!ready" in the debugger's manual. The form of `!running` is that of a test's sample of `!running -ti` on
//! Windows 10; the points stand for queued spin locks, which this kernel does not keep. That of `!ready` is the one of
//! "Viewing Ready Threads" in "Windows Internals"; for what is said where there is none no source was found.
//!
//! ```text
//! kd> !running
//!
//! System Processors:  (0000000000000003)
//!   Idle Processors:  (0000000000000001)
//!
//!        Prcbs             Current         (pri) Next            (pri) Idle
//!   1    fffff880009e9180  fffffa800005c040 ( 8)                       fffffa800003d040  ................
//!
//! kd> !ready
//! Processor 1: Ready Threads at priority 16
//!     THREAD fffffa800004c640  Cid 0004.0020  Teb: 0000000000000000 Win32Thread: 0000000000000000 READY
//! Processor 1: Ready Threads at priority 15
//!     THREAD fffffa800004cb40  Cid 0004.001c  Teb: 0000000000000000 Win32Thread: 0000000000000000 READY
//! Processor 1: Ready Threads at priority 13
//!     THREAD fffffa800003da20  Cid 0004.0014  Teb: 0000000000000000 Win32Thread: 0000000000000000 READY
//! Processor 1: Ready Threads at priority 12
//!     THREAD fffffa800004c040  Cid 0004.0018  Teb: 0000000000000000 Win32Thread: 0000000000000000 READY
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::objects::{Thread, ThreadState};
use crate::report::processes::write_thread;
use crate::report::running::{RunningProcessor, write_processors_title, write_running};
use crate::report::stack_columns::{StackColumns, write_columns};
use std::fmt::Write;

/// The most frames of a stack.
const FRAMES: usize = 0x40;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (mut idle, mut stacks) = (false, false);
    while let Some(word) = arguments.next_word() {
        let letters = word.strip_prefix('-').unwrap_or_default();
        if letters.is_empty() || !letters.chars().all(|one| matches!(one, 'i' | 't')) {
            return Err(arguments.error(CommandErrorKind::Syntax).into());
        }
        idle |= letters.contains('i');
        stacks |= letters.contains('t');
    }
    let lab = session.lab();
    let processors = lab.processors();
    let mask = |idle: bool| {
        let which = processors
            .iter()
            .filter(|one| !idle || one.current_thread == one.idle_thread);
        which.fold(0_u64, |mask, one| mask | 1 << (one.number & 63))
    };
    write_processors_title(out, mask(false), mask(true))?;
    for one in &processors {
        if one.current_thread == one.idle_thread && !idle {
            continue;
        }
        let thread = |at| lab.thread(at).ok().map(|thread| (at, thread.priority[0]));
        let row = RunningProcessor {
            number: one.number,
            control_block: one.prcb,
            current: thread(one.current_thread),
            next: thread(one.next_thread),
            idle_thread: one.idle_thread,
        };
        write_running(out, &row)?;
        if !stacks {
            continue;
        }
        let registers = match session.processor_number() == one.number {
            true => Some(session.lab().machine().registers()),
            false => lab
                .thread(one.current_thread)
                .ok()
                .and_then(|thread| lab.switched_registers(&thread)),
        };
        if let Some(registers) = registers {
            let columns = StackColumns {
                numbers: true,
                ..StackColumns::default()
            };
            write_columns(out, &session.stack_frames(&registers, FRAMES), &columns)?;
            writeln!(out)?;
        }
    }
    Ok(Flow::Stay)
}

/// `!ready`.
pub(super) fn run_ready(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    let lab = session.lab();
    let mut ready: Vec<Thread> = Vec::new();
    for process in lab.processes()? {
        let threads = process.threads.iter().filter_map(|at| lab.thread(*at).ok());
        ready.extend(threads.filter(|thread| thread.state == ThreadState::Ready));
    }
    ready.sort_by_key(|thread| -i32::from(thread.priority[0]));
    let number = session.processor_number();
    if ready.is_empty() {
        writeln!(out, "Processor {number}: No threads in READY state")?;
    }
    let mut last = None;
    for thread in &ready {
        if last.replace(thread.priority[0]) != Some(thread.priority[0]) {
            let priority = thread.priority[0];
            writeln!(
                out,
                "Processor {number}: Ready Threads at priority {priority}"
            )?;
        }
        write_thread(out, session, thread, 0, "    ")?;
    }
    Ok(Flow::Stay)
}
