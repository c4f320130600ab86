//! `uf [/c] [/o] ADDRESS`: all instructions of the function that an address is in: from its entry on, and then those
//! of its other parts, each below an empty line. `/o` is for the parts by address. `/c` shows calls alone, in the form
//! of "x64 Deep Dive" (`uf /c msvcrt!malloc`) and other sessions; of calls through registers and memory none was
//! found, so they are left out.
//!
//! "uf (Unassemble Function)" in the debugger's manual. What belongs to a function is what the image's unwind
//! data says; of a leaf function, which has none, the code up to the return that nothing in it jumps behind.
//! WinDbg follows the jumps instead, and has an empty line in front of each place that is jumped to. Its
//! `/i` and `/m` are not there: no output of them was found to go by. A function has at most 1 MiB.
//!
//! While `.lines` has source lines shown, each instruction has the number of its line in front, and
//! the symbol its line behind it, as listings of `uf` have them that users published.
//!
//! ```text
//! kd> uf nt!ExFreePool
//! nt!ExFreePool:
//! fffff800`01634d80 4883ec28        sub     rsp,28h
//! fffff800`01634d84 31d2            xor     edx,edx
//! fffff800`01634d86 e805a8fdff      call    nt!ExFreePoolWithTag (fffff800`0160f590)
//! fffff800`01634d8b 90              nop
//! fffff800`01634d8c 4883c428        add     rsp,28h
//! fffff800`01634d90 c3              ret
//! ```

use super::unassemble::starts_symbol;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::function::CodeRange;
use crate::disasm::Instruction;
use crate::report::location::{shown_line, write_head, write_instruction};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (mut by_address, mut calls) = (false, false);
    while arguments.peek() == Some('/') {
        match arguments.rest().get(..2) {
            Some("/o") => by_address = arguments.eat("/o"),
            Some("/c") => calls = arguments.eat("/c"),
            _ => {
                arguments.eat("/");
                return Err(arguments.error(CommandErrorKind::Syntax).into());
            }
        }
    }
    let address = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let mut code = session.function_code(address);
    if code.is_empty() {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    }
    if by_address {
        code.sort_by_key(|one| one.start);
    }
    if calls {
        write_calls(session, out, &code)?;
        return Ok(Flow::Stay);
    }
    for (number, part) in code.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        let mut at = part.start;
        while at < part.end {
            if at == part.start || starts_symbol(session, at) {
                write_head(out, session, at)?;
            }
            let instruction = session.instruction(at);
            write_line_number(session, out, at)?;
            write_instruction(out, session, at)?;
            if instruction.bytes().is_empty() {
                return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
            }
            at = instruction.next_address();
            if at < part.start {
                break;
            }
        }
    }
    Ok(Flow::Stay)
}

/// With source lines on, the number of an instruction's line in front of it. No listing was found that shows what
/// stands in front of an instruction without a line: it is left empty.
fn write_line_number(session: &Session, out: &mut dyn Write, at: Va) -> std::fmt::Result {
    match shown_line(session, at) {
        Some(line) => write!(out, "{:5} ", line.line),
        None if session.shows_source_lines() => write!(out, "{:6}", ""),
        None => Ok(()),
    }
}

/// The calls in a function's parts, each with where it is and whom it calls.
fn write_calls(
    session: &Session,
    out: &mut dyn Write,
    code: &[CodeRange],
) -> Result<(), ExecuteError> {
    let name = |at: Va| {
        let near = session.modules().nearest(at);
        near.map_or(format!("{at}"), |near| format!("{near} ({at})"))
    };
    if let Some(first) = code.first() {
        writeln!(out, "{}", name(first.start))?;
    }
    for part in code {
        let mut at = part.start;
        while at < part.end {
            let instruction = session.instruction(at);
            if let Some(target) = call_target(&instruction) {
                writeln!(out, "  {}:\n    call to {}", name(at), name(target))?;
            }
            let next = instruction.next_address();
            if instruction.bytes().is_empty() || next < at {
                break;
            }
            at = next;
        }
    }
    Ok(())
}

/// Whom a call with a distance (E8) calls.
fn call_target(instruction: &Instruction) -> Option<Va> {
    let [0xe8, distance @ ..] = instruction.bytes() else {
        return None;
    };
    let distance = i32::from_le_bytes(distance.try_into().ok()?);
    Some(
        instruction
            .next_address()
            .wrapping_add(i64::from(distance) as u64),
    )
}
