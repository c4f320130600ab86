//! Requests of the program's, made in a session: what stops one is the session's last stop.

use super::session::Session;
use crate::guest::{DriverCallError, Lab, Request, RequestError, Response};

impl Session {
    /// Has the program make a request, as [`Lab::request`] does. What stops it (a break instruction, a
    /// breakpoint, a bug check) is the session's last stop: look at it, and go on with
    /// [`resume_request`](Session::resume_request). A breakpoint's commands are not executed.
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
        let answer = self.lab_mut().request(request);
        self.note_request(&answer, |error| error.stopped().map(|stopped| stopped.exit));
        answer
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
        let answer = self.lab_mut().resume_request();
        self.note_request(&answer, |error| error.stopped().map(|stopped| stopped.exit));
        answer
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
        let answer = act(self.lab_mut());
        self.note_request(&answer, |error| match error {
            DriverCallError::Request(error) => error.stopped().map(|stopped| stopped.exit),
            _ => None,
        });
        answer
    }

    fn note_request<T, E>(
        &mut self,
        answer: &Result<T, E>,
        exit: impl FnOnce(&E) -> Option<crate::machine::Exit>,
    ) {
        self.control.forget_stop();
        self.modules = self.lab().modules();
        match answer.as_ref().err().and_then(exit) {
            Some(exit) => {
                self.note_stop(exit);
            }
            // It stands at the program's break instruction.
            None => self.stopped_at = Some(self.lab.machine().registers().rip()),
        }
    }
}
