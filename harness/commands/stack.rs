//! `k[OPTIONS] [COUNT]`: the call stack, from the current instruction through the driver and the system
//! call to the user-mode program. With `.lines -e` each function has its source line behind it, if that
//! is known.
//!
//! | option | |
//! |---|---|
//! | `b` | the four words above the return address, where a function may keep its arguments; no stack pointers |
//! | `c` | modules and functions alone |
//! | `f` | how many bytes of stack lie between the frames |
//! | `L` | no source lines |
//! | `M` | the debugger markup language, of which plain text shows nothing |
//! | `n` | the frames' numbers |
//! | `p` | the parameters of functions that the module's PDB describes, with their values |
//! | `P` | the same, each parameter on its line |
//! | `v` | as `b`, with the stack pointers and where trap frames are |
//!
//! Options may be combined: `kbn 5`. `k = STACK COUNT` and `k = STACK INSTRUCTION COUNT` start elsewhere.
//! `kd [WORDS]` shows the words on the stack. "k, kb, kc, kd, kp, kP, kv (Display Stack Backtrace)" in the
//! debugger's manual has the rules. A register context that `.trap`, `.cxr` or `.frame /c` has set is said above the
//! stack, as sessions published by their authors have it.
//!
//! ```text
//! kd> k 3
//! Child-SP          RetAddr           Call Site
//! fffff880`04ec1cc8 fffff800`0162c43d nt!DbgBreakPoint
//! fffff880`04ec1cd0 fffff800`014e10fc nt!PspUserThreadStartup+0xd
//! fffff880`04ec1d00 00000000`00000000 nt!KiStartUserThread+0xc
//! kd> kn 2
//!  # Child-SP          RetAddr           Call Site
//! 00 fffff880`04ec1cc8 fffff800`0162c43d nt!DbgBreakPoint
//! 01 fffff880`04ec1cd0 fffff800`014e10fc nt!PspUserThreadStartup+0xd
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::{Session, StackFrame};
use crate::memory::ReadMemory;
use crate::registers::Gpr;
use crate::report::stack::write_stack;
use crate::report::stack_columns::{StackColumns, write_columns, write_parameters};
use std::fmt::Write;

/// The frames shown at most (the debugger's own limit on `k`'s count).
const MAXIMUM_FRAMES: u64 = 0xffff;
/// The words that `kd` shows without a count.
const DEFAULT_WORDS: u64 = 20;
/// The options, in the cases that they are told by.
const OPTIONS: &str = "bcdfnpvLMP";
/// Those that are no hexadecimal digits, so that a space may be in front of them.
const APART: &str = "npvLMP";

/// The command that a name with options means.
pub(super) fn without_options(name: &str) -> Option<&str> {
    let (k, options) = name.split_at_checked(1)?;
    let known = options.chars().all(|c| OPTIONS.contains(c));
    (k.eq_ignore_ascii_case("k") && known).then_some(k)
}

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = next_options(arguments);
    if options == "d" {
        return show_words(session, arguments, out);
    }
    if options.contains('d') || options.contains('b') && options.contains('v') {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let mut registers = session.registers();
    let mut count = None;
    let starts_elsewhere = arguments.eat("=");
    if starts_elsewhere {
        registers.set(Gpr::Rsp, arguments.next_expression(session)?);
        let second = arguments.next_expression(session)?;
        if arguments.at_end() {
            count = Some(second);
        } else {
            registers.rip = second;
        }
    }
    let count = match count {
        Some(count) => count,
        None => arguments.next_expression_or(session, session.state.frames)?,
    };
    arguments.finish()?;
    let limit = count.min(MAXIMUM_FRAMES) as usize;
    if session.control.context_is_set && !starts_elsewhere {
        writeln!(
            out,
            "  *** Stack trace for last set context - .thread/.cxr resets it"
        )?;
    }
    let lines = session.shows_source_lines() && !options.contains('L');
    if options.is_empty() && !starts_elsewhere {
        let mut stack = session.stack(limit);
        if lines {
            stack = stack.with_lines(session.modules());
        }
        write_stack(out, &stack)?;
        return Ok(Flow::Stay);
    }
    let mut frames = session.stack_frames(&registers, limit);
    if lines {
        add_lines(session, &mut frames);
    }
    let columns = StackColumns {
        numbers: options.contains('n'),
        distance: options.contains('f'),
        home: options.contains(['b', 'v']),
        without_stack: options.contains('b'),
        clean: options.contains('c'),
        trap_frames: options.contains('v'),
    };
    if options.contains(['p', 'P']) {
        write_parameters(out, session, &frames, &columns, options.contains('P'))?;
    } else {
        write_columns(out, &frames, &columns)?;
    }
    Ok(Flow::Stay)
}

/// Reads the letters behind the `k`, and such as stand apart.
fn next_options(arguments: &mut Cursor<'_>) -> String {
    let rest = arguments.rest();
    let letters = rest.find(|c: char| !OPTIONS.contains(c));
    let mut options = rest[..letters.unwrap_or(rest.len())].to_string();
    arguments.eat(&options.clone());
    loop {
        let mut ahead = arguments.clone();
        match ahead.next_word() {
            Some(word) if word.chars().all(|c| APART.contains(c)) => options.push_str(word),
            _ => return options,
        }
        *arguments = ahead;
    }
}

fn add_lines(session: &Session, frames: &mut [StackFrame]) {
    for frame in frames {
        frame.site.source = session.source_line(frame.site.code());
    }
}

/// `kd`: the words from the stack pointer on, with the symbols that they are near to.
fn show_words(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let count = arguments.next_expression_or(session, DEFAULT_WORDS)?;
    arguments.finish()?;
    let stack = session.registers().rsp();
    for word in 0..count.min(MAXIMUM_FRAMES) {
        let at = stack.wrapping_add(word * 8);
        let Ok(value) = session.lab().machine().read_u64(at) else {
            writeln!(out, "{at}  ????????`????????")?;
            continue;
        };
        let value = Va(value);
        match session.modules().nearest(value) {
            Some(near) => writeln!(out, "{at}  {value} {near}")?,
            None => writeln!(out, "{at}  {value}")?,
        }
    }
    Ok(Flow::Stay)
}

/// The number of frames that a `k` shows which needs nothing of the guest to know it: without a
/// count, or with a number for one.
pub(super) fn constant_count(command: &str, default: u64) -> Option<usize> {
    let arguments = command.trim().strip_prefix(['k', 'K'])?;
    if arguments.is_empty() {
        return Some(default.min(MAXIMUM_FRAMES) as usize);
    }
    let digits = arguments.strip_prefix(' ')?.trim();
    let is_number = digits.len() <= 4 && digits.starts_with(|c: char| c.is_ascii_digit());
    let count = u64::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
    Some(count.min(MAXIMUM_FRAMES) as usize)
}
