//! `u [ADDRESS [l COUNT] | ADDRESS END]`: instructions, with the symbol above the first and above
//! every other that has one of its own. Without an address the listing goes on where the last one
//! ended, at first at the current instruction. One listing is 65,536 instructions at most.

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::range::RangeSyntax;
use crate::report::location::write_symbol;
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
    let start = session.next_listing.unwrap_or(session.registers().rip());
    // `l` counts instructions, an end address is one: read it as bytes and see which it was.
    let counted = arguments.rest().split_whitespace().skip(1).any(|word| {
        word.starts_with(['l', 'L']) && !word[1..].starts_with(|c: char| c.is_ascii_alphabetic())
    });
    let syntax = RangeSyntax {
        element_size: 1,
        default_count: Some(DEFAULT_COUNT),
        default_start: Some(start),
    };
    let has_end = arguments.rest().split_whitespace().count() > 1;
    let range = arguments.next_range(session, syntax)?;
    arguments.finish()?;
    if range.bytes > MAXIMUM_COUNT {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let end = (has_end && !counted).then(|| range.start.wrapping_add(range.bytes));
    let mut at = range.start;
    let mut shown = 0;
    while end.map_or(shown < range.bytes, |end| at < end) {
        if shown == 0 || starts_symbol(session, at) {
            write_symbol(out, session, at)?;
        }
        let instruction = session.instruction(at);
        writeln!(out, "{instruction}")?;
        if instruction.bytes().is_empty() {
            return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
        }
        at = instruction.next_address();
        shown += 1;
        if at < range.start {
            break;
        }
    }
    session.next_listing = Some(at);
    Ok(Flow::Stay)
}

fn starts_symbol(session: &Session, address: Va) -> bool {
    let near = session.modules().nearest(address);
    near.is_some_and(|near| near.offset == 0 && near.symbol.is_some())
}
