//! Doing what a scenario says.

use super::step::{Action, Expected, Step};
use super::{MOST_HANDLES, Scenario};
use crate::guest::{
    DriverCallError, FileHandle, Lab, NtStatus, READ_WRITE, Request, RequestError, Win32Error,
};
use crate::leaks::LeakError;

/// Where in a scenario something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A step of [`Scenario::setup`], by its index.
    Setup(usize),
    /// A step of [`Scenario::steps`].
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
    /// A step of [`Scenario::teardown`].
    Teardown(usize),
    /// The driver is unloaded.
    Unload,
}

/// As in `[[step]] 2 of repetition 3`.
///
/// ```
/// use poolhit::scenario::Place;
/// let place = Place::Step { repetition: 2, index: 1 };
/// assert_eq!(place.to_string(), "[[step]] 2 of repetition 3");
/// ```
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Setup(index) => write!(f, "[[setup]] {}", index + 1),
            Place::Step { repetition, index } => {
                write!(f, "[[step]] {} of repetition {}", index + 1, repetition + 1)
            }
            Place::Device { repetition } => write!(f, "repetition {}", repetition + 1),
            Place::Teardown(index) => write!(f, "[[teardown]] {}", index + 1),
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

/// What came of a scenario that was done to its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The number of requests made.
    pub requests: u64,
    /// Those that failed although nothing was expected of them, each step once.
    pub failures: Vec<Failure>,
}

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
    /// No handle has this name, or none is open.
    #[error("{place}: {}", match name {
        Some(name) => format!("no open handle is called {name:?}"),
        None => "no handle is open".to_owned(),
    })]
    NoHandle {
        /// Where.
        place: Place,
        /// The name, if the step gives one.
        name: Option<String>,
    },
    /// Too many handles are open.
    #[error("{place}: more than {MOST_HANDLES} handles are open")]
    TooManyHandles {
        /// Where.
        place: Place,
    },
    /// Something else came of a request than the scenario says.
    #[error("{place}: {step} gave error {} (status {status}), and not {expected}", error.0)]
    Unexpected {
        /// Where.
        place: Place,
        /// The step, in words.
        step: String,
        /// What `GetLastError` gave; 0 for a success.
        error: Win32Error,
        /// The status behind it.
        status: NtStatus,
        /// What was expected, in words.
        expected: String,
    },
    /// A request had no answer: something stopped the guest.
    #[error("{place}: {step}: {source}")]
    Request {
        /// Where.
        place: Place,
        /// The step, in words.
        step: String,
        /// Why.
        source: RequestError,
    },
    /// The driver was not unloaded.
    #[error("unload: {0}")]
    Unload(DriverCallError),
    /// The lab does not track leaks.
    #[error(transparent)]
    Leaks(#[from] LeakError),
}

/// The most failures that are kept.
const MOST_FAILURES: usize = 1000;

/// The open handles, with their names.
#[derive(Default)]
struct Handles(Vec<(Option<String>, FileHandle)>);

impl Handles {
    fn find(&self, name: Option<&str>, place: Place) -> Result<usize, RunError> {
        let fits = |(own, _): &(Option<String>, FileHandle)| match name {
            Some(name) => own.as_deref() == Some(name),
            None => true,
        };
        self.0.iter().rposition(fits).ok_or(RunError::NoHandle {
            place,
            name: name.map(str::to_owned),
        })
    }

    fn get(&self, name: Option<&str>, place: Place) -> Result<FileHandle, RunError> {
        Ok(self.0[self.find(name, place)?].1)
    }
}

/// A scenario under way.
struct Run<'a> {
    lab: &'a mut Lab,
    handles: Handles,
    outcome: Outcome,
}

impl Scenario {
    /// Whether its steps open what they need themselves.
    ///
    /// ```
    /// use poolhit::scenario::{Action, Scenario, Step};
    /// let open = Step::new(Action::Open { path: r"\\.\My".into() });
    /// let scenario = Scenario { steps: vec![open], ..Scenario::default() };
    /// assert!(scenario.opens() && !Scenario::default().opens());
    /// ```
    pub fn opens(&self) -> bool {
        let mut steps = self.setup.iter().chain(&self.steps);
        steps.any(|step| matches!(step.action, Action::Open { .. }))
    }

    /// Does all of it in a lab with the [requester](crate::guest::LabBuilder::requester), and marks the
    /// repetitions for the lab's [leaks](Lab::mark_repeat) if it tracks them. `progress` is told of each
    /// repetition that is done.
    ///
    /// # Errors
    /// A device cannot be opened, something else comes of a step than it says, or something stops the
    /// guest: a bug check, say. The lab is then at the stop.
    ///
    /// ```
    /// use poolhit::{Lab, scenario::Scenario};
    /// let scenario = Scenario {
    ///     device: Some(r"\\.\Myfault".into()),
    ///     // leaks 10h bytes
    ///     steps: vec!["0x222004:10000000".parse()?],
    ///     repeat: 5,
    ///     ..Scenario::default()
    /// };
    /// let mut lab = Lab::builder().requester().track_leaks().build()?;
    /// let outcome = scenario.run(&mut lab, |_| ())?;
    /// assert_eq!(outcome.requests, 5 * 3); // opened and closed each time
    /// assert_eq!(lab.leaks()?.leaked.blocks, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(&self, lab: &mut Lab, mut progress: impl FnMut(u32)) -> Result<Outcome, RunError> {
        let mut run = Run {
            lab,
            handles: Handles::default(),
            outcome: Outcome::default(),
        };
        for (index, step) in self.setup.iter().enumerate() {
            run.step(step, Place::Setup(index))?;
        }
        let device = match self.opens() {
            true => None,
            false => self.device.as_deref(),
        };
        let tracks = run.lab.leak_tracker().is_ok();
        for repetition in 0..self.repeat {
            let place = Place::Device { repetition };
            if let Some(device) = device {
                run.open_device(device, place)?;
            }
            for (index, step) in self.steps.iter().enumerate() {
                run.step(step, Place::Step { repetition, index })?;
            }
            if device.is_some() {
                run.step(&Step::new(Action::Close), place)?;
            }
            if tracks {
                run.lab.mark_repeat()?;
            }
            progress(repetition + 1);
        }
        for (index, step) in self.teardown.iter().enumerate() {
            run.step(step, Place::Teardown(index))?;
        }
        if self.unload {
            run.unload(tracks)?;
        }
        Ok(run.outcome)
    }
}

impl Run<'_> {
    fn open_device(&mut self, path: &str, place: Place) -> Result<(), RunError> {
        let opened = self.lab.open_device(path);
        let handle = opened.map_err(|source| RunError::Device { place, source })?;
        self.outcome.requests += 1;
        self.handles.0.push((None, handle));
        Ok(())
    }

    /// What is open would keep the driver loaded.
    fn unload(&mut self, tracks: bool) -> Result<(), RunError> {
        while !self.handles.0.is_empty() {
            self.step(&Step::new(Action::Close), Place::Unload)?;
        }
        let driver = self.lab.images().driver.name().to_owned();
        self.lab.unload_driver().map_err(RunError::Unload)?;
        if tracks {
            self.lab.mark_unloaded(&driver)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, place: Place) -> Result<(), RunError> {
        let name = step.handle.as_deref();
        let handle = match &step.action {
            Action::Open { .. } | Action::Sleep { .. } => FileHandle(0),
            _ => self.handles.get(name, place)?,
        };
        let request = match &step.action {
            Action::Open { path } => {
                if self.handles.0.len() == MOST_HANDLES {
                    return Err(RunError::TooManyHandles { place });
                }
                Request::Open {
                    name: path,
                    access: READ_WRITE,
                    overlapped: false,
                }
            }
            Action::Close => Request::Close { handle },
            Action::Ioctl {
                code,
                input,
                output,
            } => Request::ioctl(handle, *code, input, *output as usize),
            Action::Read { length, offset } => Request::Read {
                handle,
                offset: *offset,
                length: *length as usize,
            },
            Action::Write { data, offset } => Request::Write {
                handle,
                offset: *offset,
                data,
            },
            Action::Sleep { milliseconds } => Request::Sleep {
                milliseconds: *milliseconds,
            },
        };
        let response = self.lab.request(&request);
        let response = response.map_err(|source| RunError::Request {
            place,
            step: step.to_string(),
            source,
        })?;
        self.outcome.requests += 1;
        if let Some(handle) = response.handle {
            self.handles.0.push((step.handle.clone(), handle));
        }
        if matches!(step.action, Action::Close) {
            let index = self.handles.find(name, place)?;
            self.handles.0.remove(index);
        }
        let (error, status) = (response.error, response.status);
        let is_expected = match step.expected {
            Expected::Anything => {
                if !response.is_success() {
                    self.note_failure(step, place, error, status);
                }
                true
            }
            Expected::Success => response.is_success(),
            Expected::Status(expected) => !response.is_success() && status.0 == expected,
        };
        if is_expected {
            return Ok(());
        }
        Err(RunError::Unexpected {
            place,
            step: step.to_string(),
            error,
            status,
            expected: match step.expected {
                Expected::Status(status) => NtStatus(status).to_string(),
                _ => "success".to_owned(),
            },
        })
    }

    fn note_failure(&mut self, step: &Step, place: Place, error: Win32Error, status: NtStatus) {
        let same = |known: &&mut Failure| match (known.place, place) {
            (Place::Step { index, .. }, Place::Step { index: other, .. }) => {
                index == other && known.status == status
            }
            _ => false,
        };
        let is_full = self.outcome.failures.len() == MOST_FAILURES;
        match self.outcome.failures.iter_mut().find(same) {
            Some(known) => known.times += 1,
            None if is_full => {}
            None => self.outcome.failures.push(Failure {
                place,
                step: step.to_string(),
                error,
                status,
                times: 1,
            }),
        }
    }
}
