//! Why a scenario was not done to its end.

use super::MOST_HANDLES;
use super::held::Missing;
use super::outcome::Place;
use super::step::shown;
use crate::guest::{DriverCallError, NtStatus, RequestError, Win32Error};
use crate::leaks::LeakError;

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
    #[error("{place}: {step} gave {}, and not {expected}", match error.0 {
        0 => format!("status {status}"),
        code => format!("error {code} (status {status})"),
    })]
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
    /// The driver was asked to unload, and is still there.
    #[error("unload: the driver is still loaded: somebody uses its devices")]
    StillLoaded,
    /// The lab does not track leaks.
    #[error(transparent)]
    Leaks(#[from] LeakError),
}
