//! `!process [PROCESS [FLAGS [NAME]]]`: processes, by address or number; 0 for all, -1 or nothing for the
//! one that runs. With a name behind `0 FLAGS`, those of that name.
//!
//! | bit | shows |
//! |---|---|
//! | 1 | token, quota, pages |
//! | 2 | the threads, and what they wait for |
//! | 4 | with 2 their stacks too, else a line each |
//! | 8 | no arguments in the stacks |
//!
//! Without flags they are 3, and 0xf for a process that is named. "!process" in the debugger's manual has
//! the rules. Its lines about times, working sets and address ranges are left out, since this kernel's
//! structures do not hold them; `/s` and `/m` are not there, and bit 10 means nothing: there is one address
//! space.
//!
//! ```text
//! kd> !process 0 0
//! **** NT ACTIVE PROCESS DUMP ****
//! PROCESS fffffa800003c670
//!     SessionId: none  Cid: 0004    Peb: 00000000  ParentCid: 0000
//!     DirBase: 00001000  ObjectTable: fffff8a000001430  HandleCount:   0.
//!     Image: System
//!
//! PROCESS fffffa800005b900
//!     SessionId: none  Cid: 0024    Peb: 7fffffdf000  ParentCid: 0000
//!     DirBase: 00001000  ObjectTable: fffff8a0000038d0  HandleCount:   0.
//!     Image: NotMyfault.exe
//!
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::debugger::expression::evaluate;
use crate::guest::objects::{ObjectError, Process};
use crate::report::objects::write_damage;
use crate::report::processes::{write_process, write_statistics, write_thread};
use std::fmt::Write;

const STATISTICS: u64 = 1;
const THREADS: u64 = 6;
/// What is shown without flags: of the process that runs or of all, and of another.
const DEFAULT: u64 = 3;
const DEFAULT_NAMED: u64 = 0xf;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let which = next_value(session, arguments)?;
    let flags = next_value(session, arguments)?;
    let name = arguments.next_word();
    arguments.finish()?;
    let lab = session.lab();
    let mut damage = None;
    let shown: Vec<Result<Process, ObjectError>> = match which {
        Some(0) => {
            writeln!(out, "**** NT ACTIVE PROCESS DUMP ****")?;
            let list = lab.process_list()?;
            let end = list.damage();
            let all = list.into_iter().map(|at| lab.process(at));
            let is_wanted = |one: &Result<Process, _>| match (one, name) {
                (Ok(one), Some(name)) => one.image.eq_ignore_ascii_case(name),
                _ => true,
            };
            damage = end;
            all.filter(is_wanted).collect()
        }
        None | Some(u64::MAX) => {
            let current = session.current_process().unwrap_or_default();
            vec![Ok(lab.process(current)?)]
        }
        Some(which) => vec![Ok(find(session, which)?)],
    };
    let flags = flags.unwrap_or(match which {
        None | Some(0 | u64::MAX) => DEFAULT,
        _ => DEFAULT_NAMED,
    });
    for process in &shown {
        let process = match process {
            Ok(process) => process,
            Err(error) => {
                writeln!(out, "{error}\n")?;
                continue;
            }
        };
        write_process(out, process)?;
        if flags & STATISTICS != 0 {
            write_statistics(out, process)?;
        }
        if flags & THREADS != 0 {
            write_threads(out, session, process, flags)?;
        }
        writeln!(out)?;
    }
    write_damage(out, damage, "")?;
    Ok(Flow::Stay)
}

fn write_threads(
    out: &mut dyn Write,
    session: &Session,
    process: &Process,
    flags: u64,
) -> Result<(), ExecuteError> {
    writeln!(out)?;
    for at in &process.threads {
        match session.lab().thread(*at) {
            Ok(thread) => write_thread(out, session, &thread, flags, "        ")?,
            Err(error) => writeln!(out, "        {error}")?,
        }
    }
    write_damage(out, process.threads.damage(), "        ")?;
    Ok(())
}

/// A process by its address or number.
pub(super) fn find(session: &Session, which: u64) -> Result<Process, ObjectError> {
    let lab = session.lab();
    match Va(which).is_kernel() {
        true => lab.process(Va(which)),
        false => {
            let all = lab.processes()?;
            let found = all.into_iter().find(|one| one.id == which);
            found.ok_or(ObjectError::NotProcess(Va(which)))
        }
    }
}

/// The next word as a value: `0 -1` are two.
pub(super) fn next_value(
    session: &Session,
    arguments: &mut Cursor<'_>,
) -> Result<Option<u64>, ExecuteError> {
    match arguments.next_word() {
        Some(word) => Ok(Some(evaluate(word, session)?)),
        None => Ok(None),
    }
}
