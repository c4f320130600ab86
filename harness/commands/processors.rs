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
use std::fmt::Write;

/// The levels that have names on x64 (wdm.h).
const LEVELS: [(u8, &str); 7] = [
    (0, "LOW_LEVEL"),
    (1, "APC_LEVEL"),
    (2, "DISPATCH_LEVEL"),
    (12, "SYNCH_LEVEL"),
    (13, "CLOCK_LEVEL"),
    (14, "IPI_LEVEL"),
    (15, "HIGH_LEVEL"),
];

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
    let (number, level) = (processor.number, processor.irql);
    write!(
        out,
        "Debugger saved IRQL for processor {number:#x} -- {level}"
    )?;
    match LEVELS.iter().find(|(known, _)| *known == level) {
        Some((_, name)) => writeln!(out, " ({name})")?,
        None => writeln!(out)?,
    }
    Ok(Flow::Stay)
}

/// `!pcr`.
pub(super) fn run_region(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let processor = next_processor(session, arguments, None)?;
    let Processor {
        address,
        prcb,
        number,
        version: [major, minor],
        irql,
        tables: [gdt, tss, idt],
        words: [user_rsp, own, lock_array, used_self],
        ..
    } = processor;
    writeln!(out, "KPCR for Processor {number:x} at {:016x}:", address.0)?;
    writeln!(out, "    Major {major} Minor {minor}")?;
    let mut line = |name: &str, value: u64| writeln!(out, "\t{name:>19}: {value:016x}");
    // the block at the region's start, under the names that it has on x86
    line("NtTib.ExceptionList", gdt.0)?;
    line("NtTib.StackBase", tss.0)?;
    line("NtTib.StackLimit", user_rsp)?;
    line("NtTib.SubSystemTib", own)?;
    line("NtTib.Version", prcb.0 & 0xffff_ffff)?;
    line("NtTib.UserPointer", lock_array)?;
    line("NtTib.SelfTib", used_self)?;
    writeln!(out)?;
    let mut line = |name: &str, value: u64| writeln!(out, "\t{name:>19}: {value:016x}");
    line("SelfPcr", own)?;
    line("Prcb", prcb.0)?;
    line("Irql", irql.into())?;
    line("IRR", 0)?;
    line("IDR", 0)?;
    line("InterruptMode", 0)?;
    line("IDT", idt.0)?;
    line("GDT", gdt.0)?;
    line("TSS", tss.0)?;
    writeln!(out)?;
    let mut line = |name: &str, value: u64| writeln!(out, "\t{name:>19}: {value:016x}");
    line("CurrentThread", processor.current_thread.0)?;
    line("NextThread", processor.next_thread.0)?;
    line("IdleThread", processor.idle_thread.0)?;
    writeln!(out, "\n\t{:>19}: ", "DpcQueue")?;
    Ok(Flow::Stay)
}

/// `!prcb`.
pub(super) fn run_block(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let processor = next_processor(session, arguments, Some(0))?;
    let number = processor.number;
    writeln!(
        out,
        "PRCB for Processor {number:x} at {:016x}:",
        processor.prcb.0
    )?;
    writeln!(
        out,
        "Threads--  Current {:016x} Next {:016x} Idle {:016x}",
        processor.current_thread.0, processor.next_thread.0, processor.idle_thread.0
    )?;
    let member = 1_u64.checked_shl(number).unwrap_or(0);
    writeln!(out, "Number {number:x} SetMember {member:08x}")?;
    Ok(Flow::Stay)
}
