//! A session and its lab: letting go of it, and bringing it back to what it was.

use super::session::Session;
use super::stop::Stop;
use crate::guest::{Lab, SavedLab};
use crate::machine::EngineError;

impl Session {
    /// Detaches: the lab as it stands. Breakpoints stay the machine's, and what records hits goes on
    /// to.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("bp nt!NtClose; g")?;
    /// let mut lab = session.into_lab();
    /// let saved = lab.save()?;
    /// let mut session = Session::new(lab);
    /// assert_eq!(session.breakpoints().iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_lab(self) -> Lab {
        self.lab
    }

    /// Keeps the lab's state; see [`Lab::save`].
    ///
    /// # Errors
    /// The engine refuses.
    pub fn save(&mut self) -> Result<SavedLab, EngineError> {
        self.lab.save()
    }

    /// Brings a lab's state back; see [`Lab::restore`]. The session's own things stay: breakpoints,
    /// the budget, and the hits recorded so far.
    ///
    /// # Errors
    /// The engine refuses, or the state is that of a lab of another size.
    ///
    /// ```
    /// use poolhit::{Lab, Session, hits::Keep};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("ed nt!PoolHitTag 6b61654c")?;
    /// let saved = session.save()?;
    /// for case in 1..4 {
    ///     session.restore(&saved)?;
    ///     session.record_hits(Keep::Counts);
    ///     session.set_budget(case * 50_000);
    ///     session.go()?;
    ///     println!("{} hits", session.recorded_hits().unwrap().count());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restore(&mut self, saved: &SavedLab) -> Result<(), EngineError> {
        self.lab.restore(saved)?;
        self.control.forget_stop();
        self.modules = self.lab.modules();
        self.stopped_at = Some(self.lab.machine().registers().rip());
        self.forced_break = false;
        self.last_stop = None::<Stop>;
        self.next_listing = None;
        self.next_display = None;
        Ok(())
    }
}
