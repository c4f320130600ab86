//! `f RANGE VALUE…`: fills memory with bytes, over and over; `fp [MEMORY] RANGE VALUE…` physical memory.
//! Values are bytes, characters in single quotes or strings in double quotes. What is left of the
//! values at the range's end is left out. `[c]`, `[uc]` and `[wc]` in front of a physical range mean
//! nothing here. A range of which a byte cannot be written stays as it is.
//!
//! "f, fp (Fill Memory)"; `Filled 0x40 bytes` is in "Practical Reverse Engineering" (Dang, Gazet,
//! Bachaalany), "Editing Memory Contents".
//!
//! ```text
//! kd> f nt!PoolHitTag l4 4c 65; dc nt!PoolHitTag l1
//! Filled 0x4 bytes
//! fffff800`016530fc  654c654c                             LeLe
//! ```

use super::enter::ascii;
use super::{ExecuteError, Flow};
use crate::address::Pa;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::elements::Space;
use crate::debugger::range::{AddressRange, MAX_BYTES, RangeSyntax};
use std::fmt::Write;

pub(super) fn run<const PHYSICAL: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if PHYSICAL {
        let _ = arguments.eat("[c]") || arguments.eat("[uc]") || arguments.eat("[wc]");
    }
    let range = next_bytes(session, arguments)?;
    let mut pattern = Vec::new();
    while !arguments.at_end() {
        if arguments.peek() == Some('"') {
            pattern.extend(ascii(arguments)?);
            continue;
        }
        match u8::try_from(arguments.next_expression(session)?) {
            Ok(byte) => pattern.push(byte),
            Err(_) => return Err(arguments.error(CommandErrorKind::Overflow).into()),
        }
    }
    if pattern.is_empty() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let space = if PHYSICAL {
        Space::Physical
    } else {
        Space::Virtual
    };
    let fault = || ExecuteError::from(arguments.error(CommandErrorKind::MemoryAccess));
    // The allocation is not sized by the range: what is not there is found first.
    if !session.is_there(space, range) {
        return Err(fault());
    }
    let bytes: Vec<u8> = pattern
        .iter()
        .copied()
        .cycle()
        .take(range.bytes as usize)
        .collect();
    let written = match space {
        Space::Virtual => session.write(range.start, &bytes).is_ok(),
        Space::Physical => {
            let machine = session.lab_mut().machine_mut();
            machine.write_physical(Pa(range.start.0), &bytes).is_ok()
        }
    };
    if !written {
        return Err(fault());
    }
    writeln!(out, "Filled {:#x} bytes", range.bytes)?;
    Ok(Flow::Stay)
}

/// Reads a range of bytes, of 256 MB at most with `L?` too.
pub(super) fn next_bytes(
    session: &Session,
    arguments: &mut Cursor<'_>,
) -> Result<AddressRange, ExecuteError> {
    let range = arguments.next_range(session, RangeSyntax::bytes())?;
    match range.bytes > MAX_BYTES {
        true => Err(arguments.error(CommandErrorKind::Range).into()),
        false => Ok(range),
    }
}
