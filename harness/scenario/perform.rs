//! A step of a scenario: what is asked of the lab, and what came of it.

use super::MOST_HANDLES;
use super::error::RunError;
use super::held::Missing;
use super::outcome::Place;
use super::run::Run;
use super::step::{Action, Step, path_error};
use crate::guest::{
    DeviceAction, DriverCallError, FileHandle, NtStatus, READ_WRITE, Request, RequestError,
    Response, SeekFrom, Ticket, Win32Error,
};

/// An open handle.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub handle: FileHandle,
    pub overlapped: bool,
}

/// A request that may be on its way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress {
    OnItsWay(Ticket),
    /// It had ended when its call returned.
    Ended(Answer),
}

/// What came of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub error: Win32Error,
    pub status: NtStatus,
    pub is_success: bool,
    /// An earlier step has had the same answer.
    pub is_known: bool,
}

impl Answer {
    fn of(response: &Response) -> Answer {
        Answer {
            error: response.error,
            status: response.status,
            is_success: response.is_success(),
            is_known: false,
        }
    }

    fn success() -> Answer {
        Answer {
            error: Win32Error(0),
            status: NtStatus(0),
            is_success: true,
            is_known: false,
        }
    }

    /// Whether it is this failure, or the status of a request that is on its way.
    pub fn has_status(&self, status: NtStatus) -> bool {
        let is_pending = self.error == Win32Error::IO_PENDING;
        (!self.is_success || is_pending) && self.status == status
    }
}

impl Run<'_> {
    /// Makes a request.
    fn ask(
        &mut self,
        step: &Step,
        place: Place,
        request: &Request<'_>,
    ) -> Result<Response, RunError> {
        let response = self.lab.request_within(request, self.work);
        let response = response.map_err(|source| stopped(step, place, source))?;
        self.outcome.requests += 1;
        Ok(response)
    }

    /// Does a step.
    pub fn perform(&mut self, step: &Step, place: Place) -> Result<Answer, RunError> {
        let target = step.target.as_deref();
        let missing = |missing: Missing| RunError::Missing { place, missing };
        match &step.action {
            Action::Open { path, overlapped } => self.open(step, place, path, *overlapped),
            Action::Close => {
                let File { handle, .. } = self.handles.take(target).map_err(missing)?;
                let response = self.ask(step, place, &Request::Close { handle })?;
                Ok(Answer::of(&response))
            }
            Action::Ioctl { .. } | Action::Read { .. } | Action::Write { .. } => {
                self.transfer(step, place)
            }
            Action::Sleep { milliseconds } => {
                let milliseconds = *milliseconds;
                let response = self.ask(step, place, &Request::Sleep { milliseconds })?;
                Ok(Answer::of(&response))
            }
            Action::Wait { milliseconds } => self.wait(step, place, *milliseconds),
            Action::Cancel => self.cancel(step, place),
            Action::AddDevice => {
                if self.devices.len() == MOST_HANDLES {
                    return Err(RunError::TooManyHandles { place });
                }
                match self.lab.add_device() {
                    Ok(device) => {
                        self.devices.add(step.name.as_deref(), device);
                        Ok(Answer::success())
                    }
                    Err(error) => {
                        self.devices.fail(step.name.as_deref());
                        called(step, place, Err(error))
                    }
                }
            }
            Action::Device(action) => {
                let device = self.devices.get(target).map_err(missing)?;
                let answer = called(step, place, self.lab.device(device, *action))?;
                let takes = [DeviceAction::Remove, DeviceAction::SurpriseRemove];
                if answer.is_success && takes.contains(action) {
                    self.devices.forget(|_, known| *known == device);
                }
                Ok(answer)
            }
            Action::DevicePower(state) => {
                let device = self.devices.get(target).map_err(missing)?;
                called(step, place, self.lab.set_device_power(device, *state))
            }
            Action::SystemPower(state) => called(step, place, self.lab.set_system_power(*state)),
            Action::Shutdown => called(step, place, self.lab.shutdown()),
            Action::Unload => match self.lab.unload_driver() {
                // It goes with the last handle.
                Err(DriverCallError::StillLoaded(_)) => Ok(Answer::success()),
                result => called(step, place, result),
            },
            Action::Load => called(step, place, self.lab.load_driver()),
        }
    }

    fn open(
        &mut self,
        step: &Step,
        place: Place,
        path: &str,
        overlapped: bool,
    ) -> Result<Answer, RunError> {
        if let Some(reason) = path_error(path) {
            return Err(RunError::Path { place, reason });
        }
        if self.handles.len() == MOST_HANDLES {
            return Err(RunError::TooManyHandles { place });
        }
        let request = Request::Open {
            name: path,
            access: READ_WRITE,
            overlapped,
        };
        let response = self.ask(step, place, &request)?;
        let name = step.name.as_deref();
        match response.handle {
            Some(handle) => self.handles.add(name, File { handle, overlapped }),
            None => self.handles.fail(name),
        }
        Ok(Answer::of(&response))
    }

    /// A request to a handle.
    fn transfer(&mut self, step: &Step, place: Place) -> Result<Answer, RunError> {
        let file = self.handles.get(step.target.as_deref());
        let file = file.map_err(|missing| RunError::Missing { place, missing })?;
        let handle = file.handle;
        let (request, offset) = match &step.action {
            Action::Read { length, offset } => (
                Request::Read {
                    handle,
                    offset: offset.unwrap_or(0),
                    length: *length as usize,
                },
                *offset,
            ),
            Action::Write { data, offset } => (
                Request::Write {
                    handle,
                    offset: offset.unwrap_or(0),
                    data,
                },
                *offset,
            ),
            Action::Ioctl {
                code,
                input,
                output,
            } => (Request::ioctl(handle, *code, input, *output as usize), None),
            _ => return Ok(Answer::success()),
        };
        // Without OVERLAPPED, a file has a position of its own.
        if let Some(offset) = offset.filter(|_| !file.overlapped) {
            let seek = Request::Seek {
                handle,
                distance: offset.cast_signed(),
                from: SeekFrom::Begin,
            };
            let response = self.ask(step, place, &seek)?;
            if !response.is_success() {
                return Ok(Answer::of(&response));
            }
        }
        let response = self.ask(step, place, &request)?;
        let mut answer = Answer::of(&response);
        let progress = match response.ticket {
            Some(ticket) => {
                answer.is_success = true;
                Progress::OnItsWay(ticket)
            }
            None => Progress::Ended(Answer {
                is_known: true,
                ..answer
            }),
        };
        if file.overlapped || step.name.is_some() {
            let name = step.name.as_deref();
            // Those that have ended are not many: one of a name.
            self.requests
                .forget(|known, old| known == name && matches!(old, Progress::Ended(_)));
            self.requests.add(name, progress);
        }
        Ok(answer)
    }

    fn wait(&mut self, step: &Step, place: Place, milliseconds: u32) -> Result<Answer, RunError> {
        let target = step.target.as_deref();
        let progress = self.requests.get(target);
        let progress = progress.map_err(|missing| RunError::Missing { place, missing })?;
        let answer = match progress {
            Progress::Ended(answer) => answer,
            Progress::OnItsWay(ticket) => {
                let request = Request::Result {
                    ticket,
                    milliseconds,
                };
                let response = self.ask(step, place, &request)?;
                if response.ticket.is_some() {
                    return Ok(Answer::of(&response));
                }
                Answer::of(&response)
            }
        };
        // It was there a moment ago.
        let _ = self.requests.take(target);
        Ok(answer)
    }

    /// Of a request by its name, or of all to a handle with the name.
    fn cancel(&mut self, step: &Step, place: Place) -> Result<Answer, RunError> {
        let target = step.target.as_deref();
        let request = match self.requests.get(target) {
            // There is nothing left to cancel.
            Ok(Progress::Ended(_)) => return Ok(Answer::success()),
            Ok(Progress::OnItsWay(ticket)) => Request::CancelOne { ticket },
            Err(missing) => match self.handles.get(target) {
                Ok(File { handle, .. }) if target.is_some() => Request::Cancel { handle },
                _ => return Err(RunError::Missing { place, missing }),
            },
        };
        let response = self.ask(step, place, &request)?;
        Ok(Answer::of(&response))
    }
}

fn stopped(step: &Step, place: Place, source: RequestError) -> RunError {
    RunError::Request {
        place,
        step: step.to_string(),
        source,
    }
}

/// The answer of a call of the kernel's.
fn called(
    step: &Step,
    place: Place,
    result: Result<(), DriverCallError>,
) -> Result<Answer, RunError> {
    match result {
        Ok(()) => Ok(Answer::success()),
        Err(DriverCallError::Failed { status, .. }) => Ok(Answer {
            status,
            is_success: false,
            ..Answer::success()
        }),
        Err(DriverCallError::Refused { error, status, .. }) => Ok(Answer {
            error,
            status,
            is_success: false,
            is_known: false,
        }),
        Err(error @ DriverCallError::StillLoaded(_)) => Err(RunError::Unload(error)),
        Err(DriverCallError::Request(source)) => Err(stopped(step, place, source)),
    }
}
