//! `g [= START] [ADDRESS …]`: the guest goes on until something stops it, or it comes to one of up to ten
//! addresses.
//!
//! From a break instruction (`int 3` in the guest's own code) it goes on behind the instruction,
//! unless that has been patched; a breakpoint at the current instruction does not stop it again.
//!
//! `ga` is the same: it asks for breakpoints of the processor's. `gh` is the same, but that the addresses
//! stop the current thread alone, and that an exception which has stopped the guest at its first chance
//! (`sxe`) is taken for handled: its instruction is executed again.
//! `gn` does not take it so. `gc`, among a breakpoint's
//! commands, goes on as the guest did before: if `p` led over the breakpoint, with that `p`.
//!
//! The rules are those of the debugger's manual, "g (Go)", "gh (Go with Exception Handled)", "gc (Go from
//! Conditional Breakpoint)". What is behind a semicolon is executed next, as any command. Among a breakpoint's
//! commands it is executed if the guest comes to one of the addresses (see `bp`): `bp A "g B; r"`, and nothing
//! is behind a `g` without.
//!
//! ```text
//! kd> g nt!NtClose
//! nt!NtClose:
//! fffff800`01625910 56              push    rsi
//! ```

use super::step::{go_from, next_start};
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::control::{Motion, Place};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

/// The most addresses.
const PLACES: usize = 10;

pub(super) fn run<const THREAD: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let start = next_start(session, arguments)?;
    let mut places = Vec::new();
    while !arguments.at_end() {
        let address = Va(arguments.next_expression(session)?);
        if places.len() == PLACES {
            return Err(arguments.error(CommandErrorKind::Range).into());
        }
        places.push(Place {
            thread: session.current_thread().filter(|_| THREAD),
            ..Place::anywhere(address)
        });
    }
    if THREAD && start.is_none() {
        session.handle_exception()?;
    }
    go_from(session, start)?;
    session.control.next = Some(Motion::to(places));
    Ok(Flow::Go)
}

/// `gc`.
pub(super) fn run_as_before(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    session.control.next = Some(Motion::Same);
    Ok(Flow::Go)
}
