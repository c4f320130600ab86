//! `r`: the registers, and the instruction that is next.

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::registers::Gpr;
use crate::report::location::write_location;
use std::fmt::Write;

/// The order and grouping of WinDbg's `r` on x64.
const ROWS: [&[(&str, Gpr)]; 5] = [
    &[("rax", Gpr::Rax), ("rbx", Gpr::Rbx), ("rcx", Gpr::Rcx)],
    &[("rdx", Gpr::Rdx), ("rsi", Gpr::Rsi), ("rdi", Gpr::Rdi)],
    &[("r8", Gpr::R8), ("r9", Gpr::R9), ("r10", Gpr::R10)],
    &[("r11", Gpr::R11), ("r12", Gpr::R12), ("r13", Gpr::R13)],
    &[("r14", Gpr::R14), ("r15", Gpr::R15)],
];

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    let registers = session.registers();
    let row = |names: &[(&str, Gpr)]| {
        let cells = names
            .iter()
            .map(|(name, gpr)| format!("{name:>3}={:016x}", registers.get(*gpr)));
        cells.collect::<Vec<_>>().join(" ").trim_start().to_string()
    };
    for names in &ROWS[..2] {
        writeln!(out, "{}", row(names))?;
    }
    let (rsp, rbp) = (registers.rsp().0, registers.get(Gpr::Rbp));
    writeln!(
        out,
        "rip={:016x} rsp={rsp:016x} rbp={rbp:016x}",
        registers.rip
    )?;
    for names in &ROWS[2..] {
        let text = row(names);
        // the names of r8 and r9 are padded to three characters, at the start of a line too
        writeln!(
            out,
            "{}{text}",
            if names[0].0.len() == 2 { " " } else { "" }
        )?;
    }
    writeln!(out, "{}", flags(registers.rflags))?;
    write_location(out, session, registers.rip())?;
    Ok(Flow::Stay)
}

/// The flags in WinDbg's two-letter forms: overflow, direction, interrupt, sign, zero, auxiliary
/// carry, parity, carry.
fn flags(rflags: u64) -> String {
    const FLAGS: [(u32, &str, &str); 8] = [
        (11, "ov", "nv"),
        (10, "dn", "up"),
        (9, "ei", "di"),
        (7, "ng", "pl"),
        (6, "zr", "nz"),
        (4, "ac", "na"),
        (2, "pe", "po"),
        (0, "cy", "nc"),
    ];
    let names: Vec<_> = FLAGS
        .iter()
        .map(|&(bit, set, clear)| if rflags >> bit & 1 == 1 { set } else { clear })
        .collect();
    format!("iopl={}         {}", rflags >> 12 & 3, names.join(" "))
}
