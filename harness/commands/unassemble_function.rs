//! `uf [/c] [/i] [/o] ADDRESS`: the instructions of the function that an address is in, block by block. `/o` is for
//! all blocks by address; otherwise those of the entry's part come first. `/c` shows calls alone, `/i` says how many
//! instructions there are. `/D` and `/O` make links of what is shown, and `/m` is for functions that end in several
//! places: nothing is different with them here.
//!
//! "uf (Unassemble Function)" in the debugger's manual. The flow is followed from the entry on, over jumps and, where
//! they are recognized, tables of jumps; what it does not come to, such as padding, is not shown. It ends where the
//! image's unwind data says that the function does, and is not followed into others, as WinDbg does. A block begins
//! where a jump goes to, and behind one; behind a jump to another block stands `Branch`. The form is that of sessions
//! of `nt!SepCopyTokenIntegrity`, `nt!KeIsEmptyAffinityEx` and `storport!RaUnitScsiIrp`, the last of which begins with
//! the line that says that code may be missing; that of `/i` is one of `uf /i ntcreatefile`, and that of `/c` those of
//! `nt!KiRetireDpcList` and, for calls that do not say where they go, of
//! `sqllang!CUDXR_ExternalScript::ConnectToSatellite`. A function has at most 1 MiB.
//!
//! While `.lines` has source lines shown, each instruction has the number of its line in front, and
//! the symbol its line behind it, as listings of `uf` have them that users published.
//!
//! ```text
//! kd> uf nt!ExFreePool
//! nt!ExFreePool:
//! fffff800`01634e40 4883ec28        sub     rsp,28h
//! fffff800`01634e44 31d2            xor     edx,edx
//! fffff800`01634e46 e845a7fdff      call    nt!ExFreePoolWithTag (fffff800`0160f590)
//! fffff800`01634e4b 90              nop
//! fffff800`01634e4c 4883c428        add     rsp,28h
//! fffff800`01634e50 c3              ret
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::function::CodeRange;
use crate::disasm::{ControlFlow, Instruction};
use crate::report::location::{shown_line, write_head, write_instruction};
use std::collections::BTreeSet;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (mut by_address, mut calls, mut count) = (false, false, false);
    while arguments.peek() == Some('/') {
        match arguments.rest().get(..2) {
            Some("/o") => by_address = arguments.eat("/o"),
            Some("/c") => calls = arguments.eat("/c"),
            Some("/i") => count = arguments.eat("/i"),
            Some(option @ ("/D" | "/O" | "/m")) => _ = arguments.eat(option),
            _ => {
                arguments.eat("/");
                return Err(arguments.error(CommandErrorKind::Syntax).into());
            }
        }
    }
    let address = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let mut flow = session.function_flow(address);
    if flow.blocks.is_empty() {
        return Err(ExecuteError::NoCode);
    }
    if by_address {
        flow.blocks.sort_by_key(|one| one.start);
    }
    if !flow.complete {
        writeln!(
            out,
            "Flow analysis was incomplete, some code may be missing"
        )?;
    }
    if count {
        let number = instructions(session, &flow.blocks).count();
        writeln!(out, "{number} instructions scanned\n")?;
    }
    match calls {
        true => write_calls(session, out, &flow.blocks)?,
        false => write_blocks(session, out, &flow.blocks)?,
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

/// All instructions of the blocks.
fn instructions(session: &Session, blocks: &[CodeRange]) -> impl Iterator<Item = Instruction> {
    blocks.iter().flat_map(move |block| {
        let inside = |at: &Va| block.start <= *at && *at < block.end;
        let first = Some(block.start);
        let all = std::iter::successors(first, move |at| {
            Some(session.instruction(*at).next_address()).filter(inside)
        });
        all.map(|at| session.instruction(at))
    })
}

fn write_blocks(
    session: &Session,
    out: &mut dyn Write,
    blocks: &[CodeRange],
) -> Result<(), ExecuteError> {
    let starts: BTreeSet<Va> = blocks.iter().map(|block| block.start).collect();
    for (number, block) in blocks.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        write_head(out, session, block.start)?;
        for one in instructions(session, std::slice::from_ref(block)) {
            let mut line = String::new();
            write_line_number(session, &mut line, one.address)?;
            write_instruction(&mut line, session, one.address)?;
            let target = match session.control_flow(&one) {
                ControlFlow::Jump(target) => target,
                ControlFlow::Branch(target) => Some(target),
                _ => None,
            };
            let shown = target.is_some_and(|at| starts.contains(&at));
            let branch = if shown { "  Branch" } else { "" };
            writeln!(out, "{}{branch}", line.trim_end_matches('\n'))?;
        }
    }
    Ok(())
}

/// The calls in a function's blocks, each with where it is and whom it calls.
fn write_calls(
    session: &Session,
    out: &mut dyn Write,
    blocks: &[CodeRange],
) -> Result<(), ExecuteError> {
    let name = |at: Va| {
        let near = session.modules().nearest(at);
        near.map_or(format!("{at}"), |near| format!("{near} ({at})"))
    };
    if let Some(first) = blocks.first() {
        writeln!(out, "{}", name(first.start))?;
    }
    for one in instructions(session, blocks) {
        let ControlFlow::Call(target) = session.control_flow(&one) else {
            continue;
        };
        writeln!(out, "  {}:", name(one.address))?;
        match target {
            Some(target) => writeln!(out, "    call to {}", name(target))?,
            None => writeln!(
                out,
                "    unresolvable call: {:<7} {}",
                one.mnemonic(),
                one.operands()
            )?,
        }
    }
    Ok(())
}
