//! Requests of the program's, made in a session: what stops one is the session's last stop.

use super::context::LabContext;
use super::event::{Event, event_at, is_watched, leave_search, modules_change};
use super::expression::evaluate;
use super::session::{Session, SessionError};
use crate::address::Va;
use crate::guest::passing::Passing;
use crate::guest::{DriverCallError, Lab, Request, RequestError, Response};
use crate::machine::Exit;
use std::sync::{Arc, Mutex, PoisonError};

impl Session {
    /// Has the program make a request, as [`Lab::request`] does. What stops it (a break instruction, a
    /// breakpoint, a bug check) is the session's last stop: look at it, and go on with
    /// [`resume_request`](Session::resume_request). So is an exception or a module that a filter stops at
    /// (`sxe`); those that are only told of are passed. Commands of breakpoints and filters are not executed.
    /// A breakpoint that follows a symbol (`bu`) is set when its module comes.
    ///
    /// # Errors
    /// As for [`Lab::request`].
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason, guest::Request};
    /// let mut session = Session::new(Lab::builder().requester().build()?);
    /// let open = Request::Open { name: r"\\.\Myfault", access: 0xc000_0000, overlapped: false };
    /// let device = session.request(&open)?.handle.unwrap();
    /// session.execute("ed nt!PoolHitTag 6b61654c")?;
    /// let size = 64_u32.to_le_bytes();
    /// session.request(&Request::ioctl(device, 0x222004, &size, 0)).unwrap_err();
    /// assert_eq!(session.last_stop().unwrap().reason, StopReason::BreakInstruction);
    /// assert!(session.stack(64).frames.iter().any(|frame| frame.module.as_deref() == Some("Requester")));
    /// assert!(session.resume_request()?.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request(&mut self, request: &Request<'_>) -> Result<Response, RequestError> {
        let stopped = |error: &RequestError| error.stopped().map(|stopped| stopped.exit);
        self.with_events(|lab| lab.request(request), stopped)
    }

    /// Goes on with a request that something has stopped, as [`Lab::resume_request`] does.
    ///
    /// # Errors
    /// As for [`Lab::resume_request`].
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().requester().build()?);
    /// assert!(session.resume_request().is_err());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn resume_request(&mut self) -> Result<Response, RequestError> {
        let stopped = |error: &RequestError| error.stopped().map(|stopped| stopped.exit);
        self.with_events(Lab::resume_request, stopped)
    }

    /// Does something to the driver or its devices, such as [`Lab::unload_driver`].
    ///
    /// # Errors
    /// As for what is done.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().requester().build()?);
    /// session.with_driver(|lab| lab.unload_driver())?;
    /// assert!(session.resolve("myfault").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_driver<T>(
        &mut self,
        act: impl FnOnce(&mut Lab) -> Result<T, DriverCallError>,
    ) -> Result<T, DriverCallError> {
        self.with_events(act, |error| match error {
            DriverCallError::Request(error) => error.stopped().map(|stopped| stopped.exit),
            _ => None,
        })
    }

    /// Does something that the guest runs for, with a look at its exceptions and modules as the filters say.
    /// `stopped` is what has stopped it.
    fn with_events<T, E: From<RequestError>>(
        &mut self,
        act: impl FnOnce(&mut Lab) -> Result<T, E>,
        stopped: impl FnOnce(&E) -> Option<Exit>,
    ) -> Result<T, E> {
        if self.control.event.take().is_some_and(|event| event.handled) {
            match leave_search(&mut self.lab) {
                Err(SessionError::Engine(error)) => return Err(RequestError::from(error).into()),
                Err(SessionError::Memory(fault)) => return Err(RequestError::from(fault).into()),
                Err(SessionError::TooManyBreakpoints) | Ok(_) => {}
            }
        }
        let watched = self.watch_events().map_err(RequestError::from)?;
        let found = Arc::new(Mutex::new(None));
        if self.control.filters.are_set() || !watched.is_empty() {
            let passing = self.passing(found.clone());
            self.lab.set_passing(Some(passing));
        }
        let answer = act(&mut self.lab);
        self.lab.set_passing(None);
        self.unwatch_events(watched).map_err(RequestError::from)?;
        self.control.forget_stop();
        self.control.event = found.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.modules = self.lab().modules();
        let resolved = self.resolve_breakpoints();
        if let Err(SessionError::Engine(error)) = resolved {
            return Err(RequestError::from(error).into());
        }
        match answer.as_ref().err().and_then(stopped) {
            Some(exit) => {
                self.note_stop(exit);
            }
            // It stands at the program's break instruction.
            None => self.stopped_at = Some(self.lab.machine().registers().rip()),
        }
        answer
    }

    /// Who has the guest go on behind events that do not stop it; the one that does is put in `found`.
    fn passing(&self, found: Arc<Mutex<Option<Event>>>) -> Passing {
        let filters = self.control.filters.clone();
        let set = self.breakpoints.iter().filter(|one| one.is_set());
        let mut breakpoints: Vec<Va> = set.map(|one| one.address).collect();
        let following = self.breakpoints.iter().filter(|one| one.enabled);
        let following: Vec<String> = following.filter_map(|one| one.symbol.clone()).collect();
        let radix = self.state.radix;
        Passing(Box::new(move |lab, exit| {
            let hit = matches!(exit, Exit::HardcodedBreakpoint { .. });
            let here = lab.machine().registers().rip();
            // the program's prompt, and the end of what a kernel's thread does for the lab
            let own = lab.machine().privilege_level() == 3
                || lab.kernel_symbol("ExpDebuggerWorkDone") == Some(here);
            if hit && own {
                return Ok(false);
            }
            let Some(event) = event_at(lab, &filters, exit) else {
                let at_place = matches!(exit, Exit::Breakpoint { .. }) && is_watched(lab, here);
                let passes = at_place && !breakpoints.contains(&here);
                if passes && modules_change(lab, here) {
                    for address in addresses(lab, &following, radix) {
                        lab.machine_mut().set_breakpoint(address)?;
                        breakpoints.push(address);
                    }
                }
                return Ok(passes);
            };
            if event.breaks {
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
                return Ok(false);
            }
            if hit {
                let mut registers = lab.machine().registers();
                registers.rip = registers.rip.wrapping_add(1);
                lab.machine_mut().set_registers(&registers)?;
            } else if event.handled {
                match leave_search(lab) {
                    Err(SessionError::Engine(error)) => return Err(error),
                    Err(_) => return Ok(false),
                    Ok(_) => {}
                }
            }
            Ok(!breakpoints.contains(&here) || hit)
        }))
    }
}

/// Where expressions lead to now.
fn addresses(lab: &Lab, expressions: &[String], radix: u32) -> Vec<Va> {
    let modules = lab.modules();
    let context = LabContext {
        lab,
        modules: &modules,
        radix,
    };
    let found = expressions.iter();
    found
        .filter_map(|one| evaluate(one, &context).ok().map(Va))
        .collect()
}
