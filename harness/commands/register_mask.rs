//! `rm [MASK | ?]`: which registers `r` shows; without a mask says it, with `?` all that there are.
//! Bits that this target has not are left out.
//!
//! "rm (Register Mask)" has the form, and the words for 2, 8 and for bits that are not there; for the
//! others' words no source was found.
//!
//! ```text
//! kd> rm
//! Register output mask is a:
//!        2 - Integer state (64-bit)
//!        8 - Segment registers
//! ```

use super::registers::next_mask;
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::debugger::state::register_mask as mask;
use std::fmt::{self, Write};

const NAMES: [(u32, &str); 6] = [
    (mask::INTEGER, "Integer state (64-bit)"),
    (mask::SEGMENTS, "Segment registers"),
    (mask::DEBUG, "Debug registers and, in kernel, CR4"),
    (mask::VECTORS, "SSE XMM registers"),
    (mask::CONTROL, "Control registers"),
    (mask::DESCRIPTORS, "Descriptor and task state"),
];

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if arguments.at_end() {
        let mask = session.state.register_mask;
        writeln!(out, "Register output mask is {mask:x}:")?;
        write_names(out, mask)?;
    } else if arguments.eat("?") {
        arguments.finish()?;
        write_names(out, mask::ALL)?;
    } else {
        let wanted = next_mask(session, arguments)?;
        arguments.finish()?;
        let ignored = wanted & !mask::ALL;
        if ignored != 0 {
            writeln!(out, "Ignored invalid bits {ignored:x}")?;
        }
        let mut mask = wanted & mask::ALL;
        if mask & mask::INTEGER_32 != 0 {
            // "Setting one or both of these bits has the same effect"
            mask = mask & !mask::INTEGER_32 | mask::INTEGER;
        }
        session.state.register_mask = mask;
    }
    Ok(Flow::Stay)
}

fn write_names(out: &mut dyn Write, mask: u32) -> fmt::Result {
    for (bit, name) in NAMES {
        if mask & bit != 0 {
            writeln!(out, "{bit:>8x} - {name}")?;
        }
    }
    Ok(())
}
