//! `!handle [HANDLE [FLAGS [PROCESS [TYPE]]]]`: handles and what they are for. HANDLE 0, -1 or nothing is
//! all of them, PROCESS 0 all processes', -1 or nothing that of the process that runs; TYPE shows those
//! for objects of that type alone.
//!
//! | bit | shows |
//! |---|---|
//! | 1 | the handle |
//! | 2 | its object |
//! | 4 | free handles too |
//! | 10 | the kernel's table: the system process' |
//!
//! Without flags they are 3. "!handle" in the debugger's manual has the rules and the form.
//!
//! ```text
//! kd> !handle 4 1
//!
//! PROCESS fffffa800005b900
//!     SessionId: none  Cid: 0024    Peb: 7fffffdf000  ParentCid: 0000
//!     DirBase: 00001000  ObjectTable: fffff8a0000038d0  HandleCount:   0.
//!     Image: NotMyfault.exe
//!
//! Handle table at fffff8a0000038d0 with 0 entries in use
//!
//! 0004: free handle, Entry address fffff8a000004010, Next Entry 00000008
//! ```

use super::processes::{find, next_value};
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::guest::objects::{Handle, HandleTable, OBJECT_LIMIT, Process};
use crate::report::objects::{write_damage, write_handle, write_object};
use crate::report::processes::write_process;
use std::fmt::Write;

const BASIC: u64 = 1;
const OBJECT: u64 = 2;
const FREE: u64 = 4;
const KERNEL: u64 = 0x10;
/// The bits that tell a handle of the kernel's table.
const KERNEL_HANDLES: u64 = 0xffff_ffff_8000_0000;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let which = next_value(session, arguments)?;
    let which = which.filter(|which| !matches!(*which, 0 | u64::MAX));
    let flags = next_value(session, arguments)?.unwrap_or(BASIC | OBJECT);
    let process = next_value(session, arguments)?;
    let kind = arguments.next_word();
    arguments.finish()?;
    let lab = session.lab();
    let is_kernel = flags & KERNEL != 0 || which.is_some_and(|which| which >= KERNEL_HANDLES);
    let mut damage = None;
    let processes: Vec<Process> = match process {
        // the first one is the system's
        _ if is_kernel => lab.processes()?.into_iter().take(1).collect(),
        None | Some(u64::MAX) => {
            vec![lab.process(session.current_process().unwrap_or_default())?]
        }
        Some(0) => {
            damage = lab.process_list()?.damage();
            lab.processes()?
        }
        Some(process) => vec![find(session, process)?],
    };
    // the low two bits of a handle mean nothing
    let which = which.map(|which| match is_kernel {
        true => which & !KERNEL_HANDLES & !3,
        false => which & !3,
    });
    for process in processes {
        writeln!(out)?;
        write_process(out, &process)?;
        writeln!(out)?;
        let table = lab.handle_table(process.object_table)?;
        let kernel = if is_kernel { "Kernel " } else { "" };
        writeln!(
            out,
            "{kernel}Handle table at {:016x} with {} entries in use\n",
            table.address.0, table.count
        )?;
        write_table(out, session, &table, which, flags, kind)?;
        for range in &table.missing {
            let last = range.end.saturating_sub(4);
            writeln!(out, "{:04x}-{last:04x}: handles not readable", range.start)?;
        }
        if table.is_cut {
            writeln!(out, "only the first {OBJECT_LIMIT} handles are shown")?;
        }
    }
    write_damage(out, damage, "")?;
    Ok(Flow::Stay)
}

fn write_table(
    out: &mut dyn Write,
    session: &Session,
    table: &HandleTable,
    which: Option<u64>,
    flags: u64,
    kind: Option<&str>,
) -> Result<(), ExecuteError> {
    let wanted = |handle: &&Handle| match which {
        Some(which) => handle.value == which,
        None => flags & FREE != 0 || handle.object.0 != 0,
    };
    for handle in table.handles.iter().filter(wanted) {
        if handle.object.0 == 0 {
            write_handle(out, handle)?;
            continue;
        }
        let header = session.lab().object_header(handle.object);
        let name = header.as_ref().map_or("", |header| &header.type_name);
        if kind.is_some_and(|kind| kind != name) {
            continue;
        }
        write_handle(out, handle)?;
        if flags & OBJECT != 0 {
            match header {
                Ok(header) => write_object(out, &header, true, "        ")?,
                Err(error) => writeln!(out, "{error}")?,
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
