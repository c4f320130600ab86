//! How far a run is, for whoever waits for it.

use super::session::Session;
use std::fmt;

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// What the guest has executed since it was let go on, in bytes of code retired.
    pub work: u64,
    /// How many stops its breakpoints' commands have gone on from.
    pub stops: u64,
}

/// Who is told.
type Report = Box<dyn FnMut(Progress) + Send>;

/// The slices of a run between two reports. Some tenth of a second.
const SLICES: u32 = 8;

/// What is told of the run under way, and to whom.
#[derive(Default)]
pub(super) struct Progressing {
    report: Option<Report>,
    /// The work at the run's start.
    start: u64,
    stops: u64,
    slices: u32,
}

impl fmt::Debug for Progressing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progressing")
            .field("report", &self.report.is_some())
            .field("stops", &self.stops)
            .finish_non_exhaustive()
    }
}

impl Progressing {
    /// A run starts at this work.
    pub fn start(&mut self, work: u64) {
        (self.start, self.stops, self.slices) = (work, 0, 0);
    }

    /// A stop was gone on from.
    pub fn pass_stop(&mut self) {
        self.stops += 1;
    }

    /// A slice of the run is over.
    pub fn pass_slice(&mut self, work: u64) {
        self.slices += 1;
        let Some(report) = self
            .report
            .as_mut()
            .filter(|_| self.slices.is_multiple_of(SLICES))
        else {
            return;
        };
        report(Progress {
            work: work.saturating_sub(self.start),
            stops: self.stops,
        });
    }
}

impl Session {
    /// Has a run that takes longer tell now and then how far it is. What is done with it does not reach the
    /// guest, nor what is printed.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// use std::sync::{Arc, Mutex};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let last = Arc::new(Mutex::new(0));
    /// let seen = last.clone();
    /// session.show_progress(move |progress| *seen.lock().unwrap() = progress.work);
    /// session.execute("g; eb @rip eb fe")?; // an endless loop
    /// session.set_budget(1 << 26);
    /// assert!(session.execute("g").is_err());
    /// assert!(*last.lock().unwrap() > 1 << 24);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn show_progress(&mut self, report: impl FnMut(Progress) + Send + 'static) {
        self.progress.report = Some(Box::new(report));
    }
}
