//! Whether a breakpoint that the guest has come to counts.

use super::breakpoint::{Breakpoint, StackDepth};
use super::cursor::ArgumentError;
use super::expression::evaluate;
use super::session::{Session, SessionError};
use crate::address::Va;
use crate::machine::Exit;

impl Session {
    /// Runs the guest to its next stop; breakpoints that do not count are passed.
    pub(super) fn run_to_hit(&mut self) -> Result<Exit, SessionError> {
        loop {
            let exit = self.run()?;
            if self.counts(&exit)? {
                return Ok(exit);
            }
            self.charge_stop();
        }
    }

    /// Whether a stop is one, or a breakpoint's that is to be passed. It has then been counted.
    pub(super) fn counts(&mut self, exit: &Exit) -> Result<bool, SessionError> {
        let found = match exit {
            _ if self.forced_break || self.control.event.is_some() => return Ok(true),
            Exit::Breakpoint { address } => self.breakpoints.at(*address),
            Exit::DataBreakpoint { number } => self.breakpoints.get(*number),
            _ => return Ok(true),
        };
        let Some(found) = found.cloned() else {
            // The machine's own, which no session has set.
            return Ok(true);
        };
        match self.fits(&found) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => {
                self.control.condition_error = Some(error);
                return Ok(true);
            }
        }
        if let Some(kept) = self.breakpoints.get_mut(found.number)
            && kept.passes_left > 1
        {
            kept.passes_left -= 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether a breakpoint's options hold here.
    ///
    /// # Errors
    /// Its condition has no value here.
    pub(super) fn fits(&self, breakpoint: &Breakpoint) -> Result<bool, ArgumentError> {
        let options = &breakpoint.options;
        let is = |wanted: Option<Va>, here: Option<Va>| wanted.is_none() || wanted == here;
        if !is(options.thread, self.current_thread())
            || !is(options.process, self.current_process())
        {
            return Ok(false);
        }
        let frames = |limit: u64| self.stack(limit as usize).frames.len() as u64;
        let deep_enough = match options.depth {
            None => true,
            Some(StackDepth::Below(limit)) => frames(limit) < limit,
            Some(StackDepth::Above(limit)) => frames(limit.saturating_add(1)) > limit,
        };
        match options.condition.as_deref() {
            Some(text) if deep_enough => Ok(evaluate(text, self)? != 0),
            _ => Ok(deep_enough),
        }
    }
}
