//! A number for all that a session remembers and the guest does not know of.

use super::session::Session;
use xxhash_rust::xxh3::xxh3_64;

impl Session {
    /// A number that is another if anything is that has been set in the session, or that its next commands
    /// depend on: breakpoints, aliases, pseudo-registers, filters, the chosen frame, the log file, where
    /// listings go on and so on. The guest's own state is in
    /// [`Machine::state_hash`](crate::machine::Machine::state_hash).
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let before = session.digest();
    /// session.execute("bp nt!NtClose k 1 2").unwrap_err();
    /// assert_eq!(session.digest(), before);
    /// session.execute("bp nt!NtClose; bc 0; r $t1 = 5")?;
    /// assert_ne!(session.digest(), before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn digest(&self) -> u64 {
        let (state, control) = (&self.state, &self.control);
        let scripting = &state.scripting;
        let kept = (
            (&self.breakpoints, &scripting.aliases, &control.filters),
            (state.user_registers, state.last_value, state.last_shown),
            (state.radix, state.register_mask, state.display, state.enter),
            (&state.saved_hits, &state.symbol_path, scripting.log.path()),
            (scripting.depth, scripting.base, scripting.loops),
            (scripting.catches, scripting.at_breakpoint, scripting.files),
            (
                (&control.context, control.context_is_set),
                (control.context_is_partial, &control.segments),
            ),
            (control.frame, control.shows_registers, &control.going_to),
            (
                (control.stepped_onto, &control.next),
                (&control.behind, control.leaves_loop, &control.effective),
            ),
            (state.next_physical, state.extension_result, state.frames),
            (
                (control.event_at, control.previous_event, &control.event),
                (&control.exception, &control.condition_error),
            ),
            (
                self.next_listing,
                self.next_display,
                (self.source_lines, self.lines_are_off),
                self.stopped_at,
                self.forced_break,
                &self.last_stop,
                &self.requests,
            ),
        );
        xxh3_64(format!("{kept:?}").as_bytes())
    }
}
