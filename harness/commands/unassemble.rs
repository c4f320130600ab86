//! `u [[ADDRESS] [l COUNT] | ADDRESS END]`: instructions, with the symbol above the first and above
//! every other that has one of its own. Without an address the listing goes on where the last one
//! ended, at first at the current instruction. One listing is 65,536 instructions at most.
//!
//! `ub [ADDRESS] [l COUNT]`: the instructions in front of an address, eight without a count, 256 at most.
//!
//! "u, ub, uu (Unassemble)" in the debugger's manual has the rules. While `.lines` has source lines
//! shown, the symbol has its line behind it, in brackets; a listing of `u` that a driver's author published (of
//! `HookedNtQuerySystemInformation`, over several lines of the source) has no others.
//!
//! ```text
//! kd> u nt!NtClose l3
//! nt!NtClose:
//! fffff800`01625910 56              push    rsi
//! fffff800`01625911 53              push    rbx
//! fffff800`01625912 4883ec28        sub     rsp,28h
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::listing::BACKWARD_LIMIT;
use crate::report::location::{write_head, write_instruction};
use std::fmt::Write;

/// Instructions shown without a range.
const DEFAULT_COUNT: u64 = 8;
/// Instructions, or bytes of them, shown at most.
const MAXIMUM_COUNT: u64 = 0x1_0000;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let next = session.next_listing.unwrap_or(session.registers().rip());
    let start = arguments.next_start_or(session, next)?;
    // `l` counts instructions; an end address is the last byte.
    let (mut count, mut end) = (u64::MAX, None);
    if arguments.eat("l") {
        arguments.eat("?");
        count = arguments.next_expression(session)?;
    } else if arguments.at_end() {
        count = DEFAULT_COUNT;
    } else {
        end = Some(Va(arguments.next_expression(session)?));
    }
    arguments.finish()?;
    let bytes = end.map_or(count, |end: Va| end - start);
    if bytes > MAXIMUM_COUNT || count == 0 {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let mut at = start;
    let mut shown = 0;
    while end.map_or(shown < count, |end| at <= end) {
        if shown == 0 || starts_symbol(session, at) {
            write_head(out, session, at)?;
        }
        let instruction = session.instruction(at);
        write_instruction(out, session, at)?;
        if instruction.bytes().is_empty() {
            return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
        }
        at = instruction.next_address();
        shown += 1;
        if at < start {
            break;
        }
    }
    session.next_listing = Some(at);
    Ok(Flow::Stay)
}

/// `ub`.
pub(super) fn run_backwards(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let end = arguments.next_start_or(session, session.registers().rip())?;
    let mut count = DEFAULT_COUNT;
    if arguments.eat("l") {
        arguments.eat("?");
        count = arguments.next_expression(session)?;
    }
    arguments.finish()?;
    if count == 0 || count > BACKWARD_LIMIT {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let found = session.instructions_before(end, count);
    if found.is_empty() {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    }
    for (number, instruction) in found.iter().enumerate() {
        if number == 0 || starts_symbol(session, instruction.address) {
            write_head(out, session, instruction.address)?;
        }
        writeln!(out, "{instruction}")?;
    }
    Ok(Flow::Stay)
}

pub(super) fn starts_symbol(session: &Session, address: Va) -> bool {
    let near = session.modules().nearest(address);
    near.is_some_and(|near| near.offset == 0 && near.symbol.is_some())
}
