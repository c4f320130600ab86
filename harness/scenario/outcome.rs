//! What came of a scenario, and where in it.

use super::step::Step;
use crate::guest::{NtStatus, Win32Error};

/// The most failures that are kept.
const MOST_FAILURES: usize = 1000;

/// Where in a scenario something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A step of [`Scenario::setup`](super::Scenario::setup), by its index.
    Setup(usize),
    /// A step of [`Scenario::steps`](super::Scenario::steps).
    Step {
        /// The repetition, from 0.
        repetition: u32,
        /// The step's index.
        index: usize,
    },
    /// The device is opened or closed around a repetition.
    Device {
        /// The repetition, from 0.
        repetition: u32,
    },
    /// A step of [`Scenario::teardown`](super::Scenario::teardown).
    Teardown(usize),
    /// The driver is unloaded.
    Unload,
}

/// As in `step 2 of repetition 3`.
///
/// ```
/// use poolhit::scenario::Place;
/// let place = Place::Step { repetition: 2, index: 1 };
/// assert_eq!(place.to_string(), "step 2 of repetition 3");
/// ```
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Setup(index) => write!(f, "setup step {}", index + 1),
            Place::Step { repetition, index } => {
                write!(f, "step {} of repetition {}", index + 1, repetition + 1)
            }
            Place::Device { repetition } => write!(f, "repetition {}", repetition + 1),
            Place::Teardown(index) => write!(f, "teardown step {}", index + 1),
            Place::Unload => f.write_str("unload"),
        }
    }
}

/// A request that failed, and may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Where it was first.
    pub place: Place,
    /// The step, in words.
    pub step: String,
    /// What `GetLastError` gave the first time.
    pub error: Win32Error,
    /// The status behind it.
    pub status: NtStatus,
    /// How often it failed.
    pub times: u64,
}

/// What came of a scenario, as far as it was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The number of requests made.
    pub requests: u64,
    /// Those that failed although nothing was expected of them, each step once.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// Notes that a request failed.
    pub(super) fn note_failure(
        &mut self,
        step: &Step,
        place: Place,
        error: Win32Error,
        status: NtStatus,
    ) {
        let same = |known: &&mut Failure| match (known.place, place) {
            (Place::Step { index, .. }, Place::Step { index: other, .. }) => {
                index == other && known.status == status
            }
            _ => false,
        };
        let is_full = self.failures.len() == MOST_FAILURES;
        match self.failures.iter_mut().find(same) {
            Some(known) => known.times += 1,
            None if is_full => {}
            None => self.failures.push(Failure {
                place,
                step: step.to_string(),
                error,
                status,
                times: 1,
            }),
        }
    }
}
