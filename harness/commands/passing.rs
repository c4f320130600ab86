//! Breakpoints whose commands only look at the guest and go on (`bp ADDRESS "k;g"`): they are executed
//! inside the run, which costs a fraction of a stop.
//!
//! What they print is byte for byte what it would be otherwise, and it takes as much of the budget.

use super::STOP_WORK;
use crate::address::Va;
use crate::debugger::command_line::commands;
use crate::debugger::printed::Printed;
use crate::debugger::probes::PassingCommands;
use crate::debugger::{Breakpoint, CallStack, Session};
use crate::hits::{STACK_LIMIT, StackSource};
use crate::machine::probe::Observed;
use crate::report::stack::StackText;
use std::fmt::{self, Write};

/// How much is printed before the guest is stopped for it to be taken away, in bytes.
const OUTPUT: usize = 1 << 18;

/// The most text that is kept of stacks, in bytes; with more of it, it starts again.
const TEXTS: usize = 64 << 20;

/// What is executed without a stop.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct PassingPoints {
    /// Each breakpoint with the number of frames to show.
    points: Vec<(Va, usize)>,
    /// Whether source lines are shown.
    lines: bool,
}

/// `k` at breakpoints.
struct PassingStacks {
    at: PassingPoints,
    source: StackSource,
    /// What `texts` are right for: the source's changes.
    changes: u32,
    /// The listings of the source's stacks.
    texts: Vec<Option<StackText>>,
    /// The bytes of all of them.
    text_bytes: usize,
    out: Vec<u8>,
    /// Where in `out` a listing starts before which the guest had printed more than before the one in
    /// front of it, and up to which of its bytes.
    marks: Vec<(usize, u64)>,
}

impl Session {
    /// The breakpoints whose commands can be executed without a stop.
    pub(super) fn passing_points(&self) -> PassingPoints {
        let breakpoints = self.breakpoints().iter();
        PassingPoints {
            points: breakpoints
                .filter(|one| one.is_plain() && self.aliases().keep(&one.command))
                .filter_map(|one| Some((one.address, frames_shown(one, self.state.frames)?)))
                .collect(),
            lines: self.shows_source_lines(),
        }
    }

    /// Has these breakpoints' commands executed without a stop, and no others'.
    pub(super) fn pass_at(&mut self, at: PassingPoints) {
        if at.points.is_empty() {
            self.set_passing(None);
            return;
        }
        let passing = PassingStacks {
            at,
            source: StackSource::new(self.lab().module_reader(), STACK_LIMIT),
            changes: 0,
            texts: Vec::new(),
            text_bytes: 0,
            out: Vec::with_capacity(OUTPUT),
            marks: Vec::new(),
        };
        self.set_passing(Some(Box::new(passing)));
    }
}

/// The number of frames shown by a breakpoint whose commands are `k` and `g`.
fn frames_shown(breakpoint: &Breakpoint, default: u64) -> Option<usize> {
    let mut commands = commands(&breakpoint.command).ok()?;
    let (stack, go) = (commands.next()?, commands.next()?);
    // From a breakpoint that is come to freely, `gc` goes on as `g` does.
    let goes = ["g", "gc"]
        .iter()
        .any(|one| go.trim().eq_ignore_ascii_case(one));
    let plain = goes && commands.next().is_none();
    plain
        .then(|| super::stack::constant_count(stack, default))
        .flatten()
}

impl PassingCommands for PassingStacks {
    fn points(&self) -> Vec<Va> {
        self.at.points.iter().map(|point| point.0).collect()
    }

    fn pass(&mut self, guest: &Observed<'_>, address: Va) -> Option<u64> {
        if self.out.len() >= OUTPUT {
            return None;
        }
        let (_, limit) = *self.at.points.iter().find(|point| point.0 == address)?;
        let stack = self.source.capture(guest, limit);
        let number = stack.index()?;
        if self.changes != self.source.changes() || self.text_bytes > TEXTS {
            self.changes = self.source.changes();
            self.texts.clear();
            self.text_bytes = 0;
        }
        if number >= self.texts.len() {
            self.texts.resize(number + 1, None);
        }
        if self.texts[number].is_none() {
            let kept = self.source.stacks().stack(stack)?;
            let modules = self.source.modules();
            let mut named = CallStack::of_capture(kept.at, kept.frames, kept.end, modules);
            if self.at.lines {
                named = named.with_lines(modules);
            }
            let text = StackText::new(&named);
            self.text_bytes += text.size();
            self.texts[number] = Some(text);
        }
        let text = self.texts[number].as_mut()?;
        let frames = self.source.frames().iter();
        let text = text.with(frames.map(|frame| frame.child_sp));
        let printed = guest.sent_bytes();
        if self.marks.last().map_or(0, |mark| mark.1) != printed {
            self.marks.push((self.out.len(), printed));
        }
        self.out.extend_from_slice(text);
        Some(STOP_WORK)
    }

    fn write_output(&mut self, guest: &mut Printed, out: &mut dyn Write) -> fmt::Result {
        // Listings are text, and the digits put into them are too.
        let listings = std::str::from_utf8(&self.out).map_err(|_| fmt::Error)?;
        let mut written = 0;
        for (at, printed) in self.marks.drain(..) {
            out.write_str(&listings[written..at])?;
            out.write_str(&guest.show(printed))?;
            written = at;
        }
        out.write_str(&listings[written..])?;
        self.out.clear();
        Ok(())
    }
}
