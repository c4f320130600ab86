//! Doing what a scenario says.

use super::devices::{is_idle, opens, wants_handle};
use super::error::RunError;
use super::held::{Held, Kind};
use super::outcome::{Outcome, Place};
use super::perform::{Answer, File, Progress};
use super::step::{Expected, Step, path_error};
use super::{MOST_HANDLES, Scenario};
use crate::guest::{
    BusDevice, DeviceAction, DriverCallError, FileHandle, Lab, NtStatus, READ_WRITE, REQUEST_WORK,
    Request,
};

/// A scenario under way.
pub(super) struct Run<'a> {
    pub lab: &'a mut Lab,
    pub outcome: &'a mut Outcome,
    /// The most work of a request.
    pub work: u64,
    pub handles: Held<File>,
    pub requests: Held<Progress>,
    pub devices: Held<BusDevice>,
    /// The path that the scenario gives.
    device: Option<&'a str>,
    /// The handles that no step has opened.
    own: Vec<FileHandle>,
}

impl Scenario {
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
    pub fn run(&self, lab: &mut Lab, progress: impl FnMut(u32)) -> Result<Outcome, RunError> {
        let mut outcome = Outcome::default();
        self.run_noting(lab, &mut outcome, progress)?;
        Ok(outcome)
    }

    /// The same, with what came of it until then if it ends in an error.
    ///
    /// # Errors
    /// As for [`run`](Scenario::run).
    ///
    /// ```
    /// use poolhit::{Lab, scenario::{Action, Outcome, Scenario, Step}};
    /// let scenario = Scenario {
    ///     steps: vec!["0x222004".parse()?, Step::new(Action::AddDevice)],
    ///     ..Scenario::default()
    /// };
    /// let mut lab = Lab::builder().requester().build()?;
    /// let mut outcome = Outcome::default();
    /// let error = scenario.run_noting(&mut lab, &mut outcome, |_| ()).unwrap_err();
    /// assert!(error.to_string().contains("add-device gave status 0xc0000010"), "{error}");
    /// assert_eq!(outcome.failures[0].status.0, 0xc000000d); // no length was given
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_noting(
        &self,
        lab: &mut Lab,
        outcome: &mut Outcome,
        mut progress: impl FnMut(u32),
    ) -> Result<(), RunError> {
        let mut run = Run {
            lab,
            outcome,
            work: self.budget.unwrap_or(REQUEST_WORK),
            handles: Held::new(Kind::Handle),
            requests: Held::new(Kind::Request),
            devices: Held::new(Kind::Device),
            device: self.device.as_deref(),
            own: Vec::new(),
        };
        run.all(self, &mut progress)
    }
}

impl Run<'_> {
    fn all(&mut self, scenario: &Scenario, progress: &mut dyn FnMut(u32)) -> Result<(), RunError> {
        self.list(&scenario.setup, Place::Setup)?;
        let tracks = self.lab.leak_tracker().is_ok();
        for repetition in 0..scenario.repeat {
            let around = Place::Device { repetition };
            if is_idle(&scenario.steps) && self.handles.is_untouched() {
                for path in self.device_paths() {
                    self.open_own(&path, around)?;
                }
            }
            self.list(&scenario.steps, |index| Place::Step { repetition, index })?;
            let is_last = repetition + 1 == scenario.repeat;
            self.settle(if is_last {
                scenario.last_settle()
            } else {
                scenario.settle
            })?;
            if tracks {
                self.lab.mark_repeat()?;
            }
            progress(repetition + 1);
        }
        if !scenario.teardown.is_empty() {
            self.list(&scenario.teardown, Place::Teardown)?;
            self.settle(scenario.last_settle())?;
        }
        if scenario.unload {
            self.unload()?;
            self.settle(scenario.last_settle())?;
        }
        Ok(())
    }

    /// What the driver has put off has so much time.
    fn settle(&mut self, milliseconds: u32) -> Result<(), RunError> {
        if milliseconds == 0 {
            return Ok(());
        }
        let request = Request::Sleep { milliseconds };
        let settled = self.lab.request_within(&request, self.work);
        settled.map_err(RunError::Settle)?;
        Ok(())
    }

    /// Does the steps of a list, with the driver's device open for those that want it.
    fn list(&mut self, steps: &[Step], place: impl Fn(usize) -> Place) -> Result<(), RunError> {
        let opens = opens(steps);
        for (index, step) in steps.iter().enumerate() {
            let place = place(index);
            if step.action.takes_away() {
                self.close_own(place)?;
            }
            if wants_handle(step) && !opens && self.handles.is_untouched() {
                let mut paths = self.device_paths();
                match (paths.pop(), paths.is_empty()) {
                    (Some(path), true) => self.open_own(&path, place)?,
                    (last, _) => {
                        paths.extend(last);
                        return Err(RunError::WhichDevice {
                            place,
                            links: paths,
                        });
                    }
                }
            }
            let answer = self.perform(step, place)?;
            self.judge(step, place, answer)?;
        }
        self.close_own(place(steps.len().saturating_sub(1)))
    }

    /// Whether that is what was to come of it.
    fn judge(&mut self, step: &Step, place: Place, answer: Answer) -> Result<(), RunError> {
        let Answer { error, status, .. } = answer;
        let is_expected = match step.expected {
            Expected::Anything => {
                if !answer.is_success && !answer.is_known {
                    self.outcome.note_failure(step, place, error, status);
                }
                true
            }
            Expected::Success => answer.is_success,
            Expected::Status(expected) => answer.has_status(NtStatus(expected)),
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

    /// The paths of what may be opened: the scenario's device, or what the driver's links name now.
    fn device_paths(&self) -> Vec<String> {
        match self.device {
            Some(path) => vec![path.to_owned()],
            None => self.lab.driver_links(),
        }
    }

    fn open_own(&mut self, path: &str, place: Place) -> Result<(), RunError> {
        if let Some(reason) = path_error(path) {
            return Err(RunError::Path { place, reason });
        }
        if self.handles.len() == MOST_HANDLES {
            return Err(RunError::TooManyHandles { place });
        }
        let request = Request::Open {
            name: path,
            access: READ_WRITE,
            overlapped: false,
        };
        let refused = |source| RunError::Device { place, source };
        let response = self.lab.request_within(&request, self.work);
        let response = response.map_err(|error| refused(error.into()))?;
        self.outcome.requests += 1;
        let handle = response.handle.ok_or_else(|| {
            refused(DriverCallError::Refused {
                what: "opening a device",
                error: response.error,
                status: response.status,
            })
        })?;
        let overlapped = false;
        self.handles.add(None, File { handle, overlapped });
        self.own.push(handle);
        Ok(())
    }

    /// Closes what no step has opened, and none has closed.
    fn close_own(&mut self, place: Place) -> Result<(), RunError> {
        for handle in std::mem::take(&mut self.own) {
            if self.handles.has(|file| file.handle == handle) {
                self.handles.forget(|_, file| file.handle == handle);
                self.close(handle, place)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, handle: FileHandle, place: Place) -> Result<(), RunError> {
        let response = self
            .lab
            .request_within(&Request::Close { handle }, self.work);
        response.map_err(|error| RunError::Device {
            place,
            source: error.into(),
        })?;
        self.outcome.requests += 1;
        Ok(())
    }

    /// Whether the driver's image is in the list of modules.
    fn is_driver_loaded(&self) -> bool {
        let base = self.lab.bases().driver;
        self.lab
            .modules()
            .iter()
            .any(|module| module.base() == base)
    }

    /// What is open would keep the driver loaded, and so would its devices.
    fn unload(&mut self) -> Result<(), RunError> {
        while let Some(file) = self.handles.pop() {
            self.close(file.handle, Place::Unload)?;
        }
        while let Some(device) = self.devices.pop() {
            let removed = self.lab.device(device, DeviceAction::Remove);
            removed.map_err(RunError::Unload)?;
        }
        // It went with the last of its devices, or in a step.
        if !self.is_driver_loaded() {
            return Ok(());
        }
        let routines = self.lab.driver_routines();
        if routines.is_some_and(|routines| !routines.unload) {
            return Err(RunError::NoUnload);
        }
        self.lab.unload_driver().map_err(RunError::Unload)
    }
}
