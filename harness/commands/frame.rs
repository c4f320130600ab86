//! `.frame [/c] [/r] [NUMBER]`: which frame of the stack is looked at: its row of the stack listing; with
//! `/r` the registers there, of which the non-volatile ones are right. With `/c` the debugger looks from
//! that frame: `r`, `k` and expressions are about it until the guest goes on, and it is frame 0 then, as it is
//! the first row of `k`. Without a number it is the frame that was chosen last. `gu` goes up from the frame.
//!
//! ".frame (Set Local Context)" in the debugger's manual has the rules, sessions published by their
//! authors the row, and what is said of a frame that the stack does not have ("Cannot find frame 0x5, previous scope
//! unchanged" and the row that stays, in the samples of a tool that reads WinDbg's output).
//! The forms with `=` are not there.
//!
//! ```text
//! kd> .frame 1
//! 01 fffff880`04ec1cd0 fffff800`014e10fc nt!PspUserThreadStartup+0xd
//! ```

use super::{ExecuteError, Flow, registers};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::{Session, StackFrame};
use std::fmt::Write;

/// The highest number of a frame.
const LAST: u64 = 0xfffe;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (mut sets, mut shows) = (false, false);
    while arguments.peek() == Some('/') {
        if arguments.rest().starts_with("/c") {
            sets = arguments.eat("/c");
        } else if arguments.rest().starts_with("/r") {
            shows = arguments.eat("/r");
        } else {
            arguments.eat("/");
            return Err(arguments.error(CommandErrorKind::Syntax).into());
        }
    }
    let current = session.control.frame as u64;
    let number = arguments.next_expression_or(session, current)?;
    arguments.finish()?;
    if number > LAST {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let number = number as usize;
    let mut frames = session.stack_frames(&session.registers(), number + 1);
    let Some(frame) = (frames.len() > number).then(|| frames.pop()).flatten() else {
        writeln!(
            out,
            "Cannot find frame {number:#x}, previous scope unchanged"
        )?;
        let current = session.control.frame;
        if let Some(frame) = frames.get(current) {
            write_row(session, out, current, frame)?;
        }
        return Ok(Flow::Stay);
    };
    write_row(session, out, number, &frame)?;
    let before = session.control.context.replace(frame.registers);
    let was_set = std::mem::take(&mut session.control.context_is_set);
    if shows {
        registers::run(session, &mut Cursor::new(""), out)?;
    }
    if sets {
        // The stack is listed, and counted, from here on.
        session.control.context_is_set = true;
        session.control.context_is_partial |= number > 0;
        session.control.frame = 0;
    } else {
        session.control.context = before;
        session.control.context_is_set = was_set;
        session.control.frame = number;
    }
    Ok(Flow::Stay)
}

/// As `kn` has it, with the source line if lines are on: so in the lab "Debug Drivers - Step by Step Lab (Sysvad)".
fn write_row(
    session: &Session,
    out: &mut dyn Write,
    number: usize,
    frame: &StackFrame,
) -> std::fmt::Result {
    let site = &frame.site;
    let (stack, return_address) = (site.child_sp, site.return_address);
    write!(out, "{number:02x} {stack} {return_address} {site}")?;
    let line = session
        .source_line(site.code())
        .filter(|_| session.shows_source_lines());
    match line {
        Some(line) => writeln!(out, " [{line}]"),
        None => writeln!(out),
    }
}
