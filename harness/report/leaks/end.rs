//! What stopped the run, in words.

use super::text::write_frames;
use super::words::{Number, clean, count, source};
use crate::leaks::{BlameKind, BlamedBlock, LeakReport, RunEnd, RunStop};
use std::fmt::{self, Write};

/// The longest reason that is shown, in characters: it may name several requests.
const LONGEST: usize = 1000;

/// `stopped: bug check … at my!Control+0x1c3 [my.c @ 71]`; `None` if nothing stopped it.
pub(super) fn outcome(end: &RunEnd) -> Option<String> {
    end.stop().map(|stop| format!("stopped: {}", why(stop)))
}

/// Why a run stopped, and where.
pub(super) fn why(stop: &RunStop) -> String {
    let reason: String = stop.reason.chars().take(LONGEST).collect();
    let mut text = super::words::text_of(&reason).into_owned();
    if let Some(place) = &stop.place {
        text.push_str(" at ");
        text.push_str(&clean(&place.to_string()));
        if let Some(line) = &place.source {
            // Writing to a String cannot fail.
            let _ = write!(text, " [{}]", source(line));
        }
    }
    text
}

/// The reason, what was being done, and the stack.
pub(super) fn write_end(out: &mut dyn Write, report: &LeakReport) -> fmt::Result {
    let Some(stop) = report.end.stop() else {
        return Ok(());
    };
    writeln!(out, "\nStopped: {}", why(stop))?;
    if let Some(step) = &stop.step {
        writeln!(out, "  in      {}", clean(step))?;
    }
    if stop.stack.is_some() {
        write_frames(out, stop.stack.as_ref())?;
    }
    stop.blocks
        .iter()
        .try_for_each(|block| write_block(out, block))
}

/// A block that the bug check is about.
fn write_block(out: &mut dyn Write, block: &BlamedBlock) -> fmt::Result {
    let what = match block.kind {
        BlameKind::Named => "The block",
        BlameKind::InFront => "In front of it, the block",
    };
    write!(out, "\n{what} {}, tag {}", block.block, block.tag)?;
    if let Some(bytes) = block.bytes {
        write!(out, ", {}", count(bytes, "byte"))?;
    }
    writeln!(out, ": allocated by pool call {}", Number(block.call))?;
    write_frames(out, block.allocated.as_ref())?;
    let Some((call, stack)) = &block.freed else {
        return Ok(());
    };
    writeln!(out, "freed by pool call {}", Number(*call))?;
    write_frames(out, stack.as_ref())
}
