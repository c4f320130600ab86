//! `!poolused [FLAGS [TAG]]`: what each tag has allocated, from `nt!PoolTrackTable`.
//!
//! Flags are bits: 1 shows allocations and frees too, 2 sorts by nonpaged pool, 4 by paged pool;
//! without 2 or 4 the lines are sorted by tag. 2 and 4 exclude each other, and 8, the session pool,
//! is not there. `TAG` is a pattern as `TagPattern` reads it: four
//! characters, or some with `*` and `?`, or a number that starts with `0x`.
//!
//! ```
//! let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
//! let text = session.execute("!poolused 0 Thr?")?;
//! assert_eq!(text.lines().nth(4).unwrap(), " Tag    Allocs     Used    Allocs     Used");
//! assert!(text.lines().nth(5).unwrap().starts_with(" Thre "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! kd> !poolused 1 Proc
//!    Sorting by  Tag
//!
//!   Pool Used:
//!             NonPaged                              Paged
//!  Tag    Allocs    Frees     Diff     Used    Allocs    Frees     Diff     Used
//!  Proc        2        0        2     2592         0        0        0        0    UNKNOWN pooltag 'Proc', please update pooltag.txt
//!  TOTAL           2        0        2     2592         0        0        0        0
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::debugger::expression::evaluate;
use crate::report::pool_used::{SortBy, write_pool_used};
use crate::tag::TagPattern;
use std::fmt::Write;

const DETAILED: u64 = 1;
const BY_NONPAGED: u64 = 2;
const BY_PAGED: u64 = 4;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    // A word, since in `4 *2` the pattern would be read as an operator and its operand.
    let flags = match arguments.next_word() {
        None => 0,
        // Later debuggers have options, which the manual does not know.
        Some(word) if word.starts_with('/') => return Err(unknown_flags(word)),
        Some(word) => evaluate(word, session)?,
    };
    let sort_by = match flags & !DETAILED {
        0 => SortBy::Tag,
        BY_NONPAGED => SortBy::NonPaged,
        BY_PAGED => SortBy::Paged,
        _ => return Err(unknown_flags(&format!("{flags:x}"))),
    };
    let pattern = match arguments.at_end() {
        true => TagPattern::any(),
        false => arguments.next_tag_pattern()?,
    };
    arguments.finish()?;
    let mut trackers = session.lab().pool()?.trackers()?;
    trackers.retain(|one| pattern.matches(one.tag));
    write_pool_used(out, trackers, sort_by, flags & DETAILED != 0)?;
    Ok(Flow::Stay)
}

fn unknown_flags(flags: &str) -> ExecuteError {
    ExecuteError::UnknownFlags {
        command: "!poolused",
        flags: flags.to_string(),
        known: "they are 1 (allocations and frees too), and 2 (sorted by nonpaged pool) or 4 (by \
                paged pool)",
    }
}
