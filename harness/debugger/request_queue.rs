//! Requests that the program makes one after the other while the session lets the guest run: each time the
//! program comes to its prompt, it is told the next one.

use super::session::{Session, SessionError};
use crate::guest::{FileHandle, READ_WRITE, Request, RequestError, Response};
use crate::machine::Exit;
use std::collections::VecDeque;
use std::fmt;

/// A request that the program is to make. All but `Open` and `UnloadDriver` are to what was opened last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueuedRequest {
    /// Opens this path for reading and writing; `None` for the driver's first symbolic link.
    Open(Option<String>),
    /// `DeviceIoControl`.
    Ioctl {
        /// The control code.
        code: u32,
        /// What is put in.
        input: Vec<u8>,
        /// The room for the output, in bytes.
        output_length: usize,
    },
    /// Closes the handle.
    Close,
    /// Unloads a driver, by the registry path of its service.
    UnloadDriver(String),
}

impl fmt::Display for QueuedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueuedRequest::Open(Some(path)) => write!(f, "open {path}"),
            QueuedRequest::Open(None) => f.write_str("open the driver's device"),
            QueuedRequest::Ioctl {
                code,
                input,
                output_length,
            } => {
                let length = input.len();
                write!(
                    f,
                    "ioctl {code:#010x} ({length} bytes in, room for {output_length})"
                )
            }
            QueuedRequest::Close => f.write_str("close"),
            QueuedRequest::UnloadDriver(_) => f.write_str("unload"),
        }
    }
}

impl QueuedRequest {
    fn request(&self, handle: FileHandle) -> Request<'_> {
        match self {
            QueuedRequest::Open(path) => Request::Open {
                name: path.as_deref().unwrap_or_default(),
                access: READ_WRITE,
                overlapped: false,
            },
            QueuedRequest::Ioctl {
                code,
                input,
                output_length,
            } => Request::ioctl(handle, *code, input, *output_length),
            QueuedRequest::Close => Request::Close { handle },
            QueuedRequest::UnloadDriver(service) => Request::UnloadDriver { service },
        }
    }
}

/// The requests that are still to be made.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestQueue {
    left: VecDeque<QueuedRequest>,
    /// The one that the program has been told, and has not answered.
    asked: Option<QueuedRequest>,
    handle: FileHandle,
}

impl Session {
    /// Has the program make these requests, behind those that are still to be made, as the guest runs
    /// ([`go`](Session::go), the command `g`, steps): breakpoints on the way stop it as always, and
    /// what came of each is told with what the guest prints. When the last one is done, the program's
    /// prompt, a break instruction, stops the guest. If nothing can be opened, the rest is given up.
    ///
    /// Only the requester ([`LabBuilder::requester`](crate::guest::LabBuilder::requester)) takes requests.
    ///
    /// ```
    /// use poolhit::{Lab, QueuedRequest, Session};
    /// let mut session = Session::new(Lab::builder().requester().build()?);
    /// session.queue_requests([
    ///     QueuedRequest::Open(None),
    ///     QueuedRequest::Ioctl { code: 0x222004, input: vec![0x40, 0, 0, 0], output_length: 0 },
    /// ]);
    /// session.execute("bp nt!NtDeviceIoControlFile")?;
    /// let stop = session.execute("g")?;
    /// assert!(stop.starts_with("open \\\\.\\Myfault: success\nBreakpoint 0 hit\n"), "{stop}");
    /// assert!(session.execute("k")?.contains("kernel32!DeviceIoControlImplementation"));
    /// let end = session.execute("g")?;
    /// assert!(end.starts_with("ioctl 0x00222004 (4 bytes in, room for 0): success, 0 bytes\n"), "{end}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn queue_requests(&mut self, requests: impl IntoIterator<Item = QueuedRequest>) {
        self.requests.left.extend(requests);
    }

    /// Whether that is the program's prompt, with a request to be made: the program has been told it, and
    /// the guest can go on.
    pub(super) fn passes_prompt(&mut self, exit: &Exit) -> Result<bool, SessionError> {
        let is_break = matches!(exit, Exit::HardcodedBreakpoint { .. });
        let queue = &mut self.requests;
        if !is_break
            || queue.left.is_empty() && queue.asked.is_none()
            || !self.lab.is_at_request_prompt()
        {
            return Ok(false);
        }
        if let Some(asked) = self.requests.asked.take() {
            let answer = self.lab.end_request(&asked.request(FileHandle::default()));
            let note = match &answer {
                Ok(response) => outcome(response),
                Err(error) => error.to_string(),
            };
            self.tell(&format!("{asked}: {note}\n"));
            if matches!(asked, QueuedRequest::Open(_)) {
                match answer.ok().and_then(|response| response.handle) {
                    Some(handle) => self.requests.handle = handle,
                    None => self.requests.left.clear(),
                }
            }
        }
        let Some(mut next) = self.requests.left.pop_front() else {
            return Ok(false);
        };
        if next == QueuedRequest::Open(None) {
            let Some(link) = self.lab.driver_links().into_iter().next() else {
                self.requests.left.clear();
                self.tell(&format!("{next}: the driver has made no symbolic link\n"));
                return Ok(false);
            };
            next = QueuedRequest::Open(Some(link));
        }
        match self.lab.begin_request(&next.request(self.requests.handle)) {
            Ok(()) => {
                self.requests.asked = Some(next);
                Ok(true)
            }
            Err(RequestError::Engine(error)) => Err(error.into()),
            Err(error) => {
                self.tell(&format!("{next}: {error}\n"));
                Ok(false)
            }
        }
    }
}

fn outcome(response: &Response) -> String {
    match (response.is_success(), response.handle) {
        (false, _) => response.error.with_status(response.status),
        (true, Some(_)) => "success".to_owned(),
        (true, None) => format!("success, {} bytes", response.information),
    }
}
