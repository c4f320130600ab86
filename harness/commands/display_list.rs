//! `dl`, `dlb ADDRESS [COUNT [SIZE]]`: a linked list's entries from an address on, forwards or
//! backwards, with the first words of each: four, or `SIZE`. Without a count 20 (hexadecimal) are
//! shown.
//!
//! "dl (Display Linked List)"; the form is that of "Debugger command (dl) that makes my life easier"
//! (Doron Holan's blog): the address, two spaces, and the words. A list that comes back to an entry
//! ends there, and one with a link that cannot be read says so, in the project's own words. A line on x64 has two
//! words, as `dq`'s lines have.
//!
//! ```text
//! kd> dl nt!PsActiveProcessHead 2
//! fffff800`0166b560  fffffa80`0003c7f8 fffffa80`0005ba88
//! fffff800`0166b570  fffffa80`0003c670 00000000`00000000
//! fffffa80`0003c7f8  fffffa80`0005ba88 fffff800`0166b560
//! fffffa80`0003c808  00000000`00000000 00000000`00000000
//! ```

use super::display::write_line;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::elements::Space;
use crate::debugger::range::AddressRange;
use crate::guest::objects::ListEnd;
use crate::report::memory::Shape;
use crate::report::objects::write_damage;
use std::fmt::Write;

/// Entries and words shown if nothing is said.
const DEFAULT_ENTRIES: u64 = 0x20;
const DEFAULT_WORDS: u64 = 4;
/// Entries and words of each shown at most. The project's own limits.
const MAXIMUM_ENTRIES: u64 = 0x1_0000;
const MAXIMUM_WORDS: u64 = 0x100;

pub(super) fn run<const BACKWARDS: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let first = Va(arguments.next_expression(session)?);
    let count = arguments.next_expression_or(session, DEFAULT_ENTRIES)?;
    let words = arguments.next_expression_or(session, DEFAULT_WORDS)?;
    arguments.finish()?;
    if count > MAXIMUM_ENTRIES || !(1..=MAXIMUM_WORDS).contains(&words) {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let (entries, unreadable) = session
        .linked_list(first, count as usize, BACKWARDS)
        .map_err(|_| arguments.error(CommandErrorKind::MemoryAccess))?;
    for entry in entries {
        let mut done = 0;
        while done < words {
            let line = AddressRange {
                start: entry.wrapping_add(done * 8),
                bytes: 8 * words.saturating_sub(done).min(2),
            };
            write_line(session, out, Space::Virtual, Shape::new(8, false), line)?;
            done += 2;
        }
    }
    write_damage(out, unreadable.map(ListEnd::Unreadable), "")?;
    session.state.display = if BACKWARDS { "dlb" } else { "dl" };
    Ok(Flow::Stay)
}
