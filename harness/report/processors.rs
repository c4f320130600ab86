//! Processors, as `!irql`, `!pcr` and `!prcb` show them.
//!
//! The forms are those of the commands' pages in the debugger's manual; of `!pcr` on x64 that in "Bug Check
//! 0x133".

use crate::guest::objects::Processor;
use std::fmt::{self, Write};

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

/// Writes a processor's interrupt request level, with its name if it has one.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let lab = poolhit::Lab::builder().build()?;
/// let mut text = String::new();
/// poolhit::report::processors::write_level(&mut text, &lab.processor(None)?)?;
/// assert_eq!(text, "Debugger saved IRQL for processor 0x1 -- 0 (LOW_LEVEL)\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_level(out: &mut dyn Write, processor: &Processor) -> fmt::Result {
    let (number, level) = (processor.number, processor.irql);
    write!(
        out,
        "Debugger saved IRQL for processor {number:#x} -- {level}"
    )?;
    match LEVELS.iter().find(|(known, _)| *known == level) {
        Some((_, name)) => writeln!(out, " ({name})"),
        None => writeln!(out),
    }
}

/// Writes a processor's control region. The block at its start has the names that it has on x86.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let lab = poolhit::Lab::builder().build()?;
/// let mut text = String::new();
/// poolhit::report::processors::write_region(&mut text, &lab.processor(Some(0))?)?;
/// assert!(text.starts_with("KPCR for Processor 0 at fffff880"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_region(out: &mut dyn Write, processor: &Processor) -> fmt::Result {
    let [gdt, tss, idt] = processor.tables.map(|at| at.0);
    let [user_rsp, own, lock_array, used_self] = processor.words;
    let (number, [major, minor]) = (processor.number, processor.version);
    let (address, prcb) = (processor.address.0, processor.prcb.0);
    writeln!(out, "KPCR for Processor {number:x} at {address:016x}:")?;
    writeln!(out, "    Major {major} Minor {minor}")?;
    let block = [
        ("NtTib.ExceptionList", gdt),
        ("NtTib.StackBase", tss),
        ("NtTib.StackLimit", user_rsp),
        ("NtTib.SubSystemTib", own),
        ("NtTib.Version", prcb & 0xffff_ffff),
        ("NtTib.UserPointer", lock_array),
        ("NtTib.SelfTib", used_self),
    ];
    let region = [
        ("SelfPcr", own),
        ("Prcb", prcb),
        ("Irql", processor.irql.into()),
        ("IRR", 0),
        ("IDR", 0),
        ("InterruptMode", 0),
        ("IDT", idt),
        ("GDT", gdt),
        ("TSS", tss),
    ];
    let threads = [
        ("CurrentThread", processor.current_thread.0),
        ("NextThread", processor.next_thread.0),
        ("IdleThread", processor.idle_thread.0),
    ];
    for lines in [&block[..], &region, &threads] {
        for (name, value) in lines {
            writeln!(out, "\t{name:>19}: {value:016x}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\t{:>19}: ", "DpcQueue")
}

/// Writes a processor's control block.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let lab = poolhit::Lab::builder().build()?;
/// let mut text = String::new();
/// poolhit::report::processors::write_block(&mut text, &lab.processor(Some(1))?)?;
/// assert!(text.ends_with("Number 1 SetMember 00000002\n"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_block(out: &mut dyn Write, processor: &Processor) -> fmt::Result {
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
    writeln!(out, "Number {number:x} SetMember {member:08x}")
}
