//! Assertions in tests.

use super::words::{clean, count};
use crate::debugger::Session;
use crate::guest::Lab;
use crate::leaks::{LeakError, LeakFilter, LeakReport};

/// What has a report of leaks: a lab, or a session's.
pub trait Leaks {
    /// The report.
    ///
    /// # Errors
    /// As for [`Lab::leaks_of`].
    fn report(&self, filter: &LeakFilter) -> Result<LeakReport, LeakError>;
}

impl Leaks for Lab {
    fn report(&self, filter: &LeakFilter) -> Result<LeakReport, LeakError> {
        self.leaks_of(filter)
    }
}

impl Leaks for Session {
    fn report(&self, filter: &LeakFilter) -> Result<LeakReport, LeakError> {
        self.lab().leaks_of(filter)
    }
}

/// What [`assert_no_leaks!`](crate::assert_no_leaks) does.
///
/// # Panics
/// Something has leaked, the kernel has stopped with a bug check, the ledger was too small to tell, or there is
/// none; or `tags` is no pattern.
///
/// ```
/// use poolhit::{Lab, report::leaks::assert_none};
/// assert_none(&Lab::builder().track_leaks().build()?, Some("Lea*"));
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
#[track_caller]
pub fn assert_none(of: &impl Leaks, tags: Option<&str>) {
    let tags = tags.map(|text| match text.parse() {
        Ok(pattern) => pattern,
        Err(error) => panic!("no pattern of tags: {error}"),
    });
    let filter = LeakFilter {
        tags,
        ..LeakFilter::default()
    };
    match of.report(&filter) {
        Ok(report) if !report.is_clean() => panic!("pool leaks\n{report}"),
        Ok(report) if report.end.stop().is_some() => {
            panic!("whether pool leaks cannot be told: the run did not end\n{report}")
        }
        Ok(report) if report.lost.blocks > 0 => panic!(
            "whether pool leaks cannot be told: {} not kept, since the ledger is full; see \
             LabBuilder::track_leaks_within",
            count(report.lost.blocks, "allocation")
        ),
        Ok(report) if !report.is_complete() => panic!(
            "whether pool leaks cannot be told: {} in progress, or without a known block",
            count(report.unseen, "allocation")
        ),
        Ok(_) => {}
        Err(error) => panic!("{}", clean(&error.to_string())),
    }
}

/// Panics if a driver has leaked pool or requests, or the kernel has stopped with a bug check, with the [report](crate::report::leaks::write_text) as its
/// message: tags, bytes, and each way with its stack. The lab, or the session, has to be built with
/// [`track_leaks`](crate::guest::LabBuilder::track_leaks); a pattern of tags leaves the others out.
///
/// ```should_panic
/// use poolhit::{Lab, Session, assert_no_leaks};
/// let mut session = Session::new(Lab::builder().track_leaks().build().unwrap());
/// assert_no_leaks!(session); // its program has not run yet
/// session.go().unwrap();
/// assert_no_leaks!(session, "Tst*"); // a tag that the driver does not use
/// assert_no_leaks!(session);
/// ```
#[macro_export]
macro_rules! assert_no_leaks {
    ($lab:expr $(,)?) => {
        $crate::report::leaks::assert_none(&$lab, ::core::option::Option::None)
    };
    ($lab:expr, $tags:expr $(,)?) => {
        $crate::report::leaks::assert_none(&$lab, ::core::option::Option::Some($tags))
    };
}
