//! `t`, `p` and their kin: the guest goes on instruction by instruction.
//!
//! | command | goes on |
//! |---|---|
//! | `t [r] [= START] [COUNT] ["COMMANDS"]` | one instruction, or COUNT of them |
//! | `p …` | the same, but over calls, system calls, interrupts and repeated string instructions |
//! | `ta [r] [= START] STOP`, `pa …` | to an address |
//! | `tc [r] [= START] [COUNT]`, `pc …` | to a call |
//! | `tt …`, `pt …` | to a return |
//! | `tct …`, `pct …` | to a call or return |
//! | `th …`, `ph …` | to any instruction that may go elsewhere |
//! | `tb …` | behind one that has gone elsewhere |
//!
//! The rules are those of the debugger's manual, on the pages of these commands ("t (Trace)", "pa (Step
//! to Address)", "tc (Trace to Next Call)" …). Each step is shown: the symbol, and the instruction that is
//! next; for `tc`, `tt`, `tct` and `th` and those with `p` the last alone, for `tb` those that went elsewhere. The commands are executed at
//! the end of all steps, before the last is shown. `r` right behind the name has registers shown, or no
//! more; at first they are not, as in WinDbg's window.
//!
//! A breakpoint on the way stops the guest; at the end of a step it does so without its commands, and its
//! passes are not counted. `p` over a call in which the guest stops ends there. What `tb` shows of the
//! branch, with an arrow, is left out: no output of it was found to go by.
//!
//! ```text
//! kd> t
//! nt!DbgBreakPoint+0x1:
//! fffff800`014d0181 c3              ret
//! kd> p 2
//! nt!PspUserThreadStartup+0xd:
//! fffff800`0162c43d 4c8b4e48        mov     r9,qword ptr [rsi+48h] ds:002b:fffff800`008004f8=000007fffffdd000
//! nt!PspUserThreadStartup+0x11:
//! fffff800`0162c441 65488b042518000000 mov   rax,qword ptr gs:[18h] gs:002b:00000000`00000018=00909e0080f8ffff
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::control::Motion;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::{Session, StepEnd, Steps, Stop};
use crate::report::location::write_location;
use std::fmt::Write;

pub(super) const COUNT: u8 = 0;
pub(super) const CALL: u8 = 1;
pub(super) const RETURN: u8 = 2;
pub(super) const CALL_OR_RETURN: u8 = 3;
pub(super) const BRANCH: u8 = 4;
pub(super) const TAKEN_BRANCH: u8 = 5;

/// The most steps that one command takes, by the width of a count in WinDbg's interfaces (`ULONG`).
const MOST: u64 = u32::MAX as u64;

/// The command that a name with the option `r` means.
pub(super) fn without_option(name: &str) -> Option<&str> {
    const NAMES: [&str; 13] = [
        "t", "p", "ta", "pa", "tb", "tc", "pc", "tt", "pt", "th", "ph", "tct", "pct",
    ];
    let name = name.strip_suffix(['r', 'R'])?;
    let known = NAMES.iter().any(|one| one.eq_ignore_ascii_case(name));
    known.then_some(name)
}

/// `t`, `tc` and the like.
pub(super) fn run<const OVER: bool, const END: u8>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let toggles = eat_option(arguments);
    let start = next_start(session, arguments)?;
    let count = match arguments.peek() {
        None | Some('"') => 1,
        _ => arguments.next_expression(session)?,
    };
    if count == 0 || count > MOST {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let steps = Steps {
        over: OVER,
        end: match END {
            CALL => StepEnd::Call,
            RETURN => StepEnd::Return,
            CALL_OR_RETURN => StepEnd::CallOrReturn,
            BRANCH => StepEnd::Branch,
            TAKEN_BRANCH => StepEnd::TakenBranch,
            _ => StepEnd::Count,
        },
        count,
    };
    begin(session, arguments, toggles, start, steps)
}

/// `ta`, `pa`.
pub(super) fn run_to<const OVER: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let toggles = eat_option(arguments);
    let start = next_start(session, arguments)?;
    let end = Va(arguments.next_expression(session)?);
    let steps = Steps {
        over: OVER,
        end: StepEnd::Address(end),
        count: 1,
    };
    begin(session, arguments, toggles, start, steps)
}

/// Reads the `r` that is part of the name.
fn eat_option(arguments: &mut Cursor<'_>) -> bool {
    arguments.rest().starts_with(['r', 'R']) && arguments.eat("r")
}

/// Reads `= START`.
pub(super) fn next_start(
    session: &Session,
    arguments: &mut Cursor<'_>,
) -> Result<Option<Va>, ExecuteError> {
    if !arguments.eat("=") {
        return Ok(None);
    }
    Ok(Some(Va(arguments.next_expression(session)?)))
}

/// Puts the guest to another instruction.
pub(super) fn go_from(session: &mut Session, start: Option<Va>) -> Result<(), ExecuteError> {
    if let Some(start) = start {
        session.set_instruction_pointer(start)?;
    }
    Ok(())
}

fn begin(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    toggles: bool,
    start: Option<Va>,
    steps: Steps,
) -> Result<Flow, ExecuteError> {
    let command = arguments.next_quoted()?.unwrap_or_default();
    arguments.finish()?;
    go_from(session, start)?;
    session.control.shows_registers ^= toggles;
    session.control.next = Some(Motion::Step {
        steps,
        left: steps.count.max(1),
        command,
        counted: false,
        under_way: None,
    });
    Ok(Flow::Go)
}

/// Shows a step that is not the last.
pub(super) fn show(
    session: &mut Session,
    motion: &Motion,
    stop: &Stop,
    out: &mut dyn Write,
) -> Result<(), ExecuteError> {
    let Motion::Step { steps, counted, .. } = motion else {
        return Ok(());
    };
    let branches = steps.end == StepEnd::TakenBranch && *counted;
    if !steps.shows_each() && !branches {
        return Ok(());
    }
    // Text takes more of the host than the step does.
    session.charge_stop();
    if session.control.shows_registers {
        super::registers::run(session, &mut Cursor::new(""), out)?;
    } else {
        write_location(out, session, stop.address)?;
    }
    Ok(())
}
