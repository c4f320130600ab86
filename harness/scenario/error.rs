//! Why a scenario was not done to its end.

use super::MOST_HANDLES;
use super::held::Missing;
use super::outcome::Place;
use super::step::shown;
use crate::guest::{DriverCallError, Lab, NtStatus, RequestError, Stopped, Win32Error};
use crate::leaks::{LeakError, RunEnd};

/// Why a scenario was not done to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A device cannot be opened or closed.
    #[error("{place}: {source}")]
    Device {
        /// Where.
        place: Place,
        /// Why not.
        source: DriverCallError,
    },
    /// It is not known which device the driver's is.
    #[error("{place}: which device? {}", match links.is_empty() {
        true => "the driver has made no symbolic link; name a path as the device".to_owned(),
        false => format!("choose one of {} as the device", shown(&links.join(", "))),
    })]
    WhichDevice {
        /// Where.
        place: Place,
        /// The paths of those that it may be.
        links: Vec<String>,
    },
    /// No program can open such a path.
    #[error("{place}: {reason}")]
    Path {
        /// Where.
        place: Place,
        /// Why not.
        reason: String,
    },
    /// No handle, request or device has this name, or there is none.
    #[error("{place}: {missing}")]
    Missing {
        /// Where.
        place: Place,
        /// What is missing.
        missing: Missing,
    },
    /// Too many handles are open, or too many devices are there.
    #[error("{place}: more than {MOST_HANDLES} handles are open, or devices added")]
    TooManyHandles {
        /// Where.
        place: Place,
    },
    /// Something else came of a step than the scenario says.
    #[error("{place}: {step} gave {}, and not {expected}", error.with_status(*status))]
    Unexpected {
        /// Where.
        place: Place,
        /// The step, in words.
        step: String,
        /// What `GetLastError` gave; 0 for a success, and for what is no request of the program's.
        error: Win32Error,
        /// The status behind it.
        status: NtStatus,
        /// What was expected, in words.
        expected: String,
    },
    /// A step had no answer: something stopped the guest.
    #[error("{place}: {step}: {source}")]
    Request {
        /// Where.
        place: Place,
        /// The step, in words.
        step: String,
        /// Why.
        source: RequestError,
    },
    /// Something that the driver had put off stopped the guest.
    #[error("behind the requests, in what the driver has put off: {0}")]
    Settle(#[source] RequestError),
    /// The driver was not unloaded.
    #[error("unload: {0}")]
    Unload(DriverCallError),
    /// The driver cannot be unloaded.
    #[error("unload: the driver has no DriverUnload")]
    NoUnload,
    /// The lab does not track leaks.
    #[error(transparent)]
    Leaks(#[from] LeakError),
}

impl RunError {
    /// What stopped the guest, if something did.
    ///
    /// ```
    /// assert!(poolhit::scenario::RunError::NoUnload.stopped().is_none());
    /// ```
    pub fn stopped(&self) -> Option<&Stopped> {
        match self {
            RunError::Request { source, .. } => source.stopped(),
            RunError::Device { source, .. } | RunError::Unload(source) => source.stopped(),
            _ => None,
        }
    }

    /// How the run ended, for the [report](crate::leaks::LeakReport::end): with where the guest stands and
    /// the stack, if something stopped it. The lab is as the run left it.
    ///
    /// ```
    /// use poolhit::{Lab, scenario::Scenario};
    /// let scenario = Scenario { steps: vec!["0x222004".parse()?], budget: Some(4000), ..Scenario::default() };
    /// let mut lab = Lab::builder().requester().track_leaks().build()?;
    /// let error = scenario.run(&mut lab, |_| ()).unwrap_err();
    /// let mut report = lab.leaks()?;
    /// report.end = error.end(&lab);
    /// let text = report.to_string();
    /// assert!(text.contains(": stopped: no end after 4000 bytes of code at "), "{text}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end(&self, lab: &Lab) -> RunEnd {
        let Some(stopped) = self.stopped() else {
            return RunEnd::stopped(&self.to_string());
        };
        let end = lab.stopped_by(stopped);
        match self {
            RunError::Request { place, step, .. } => end.in_step(&format!("{place}: {step}")),
            RunError::Device { place, .. } => end.in_step(&format!("{place}: opening or closing")),
            RunError::Unload(_) => end.in_step("unload"),
            _ => end,
        }
    }
}
