//! Why a request, or a call of the kernel, gave no answer.

use super::super::bug_check::BugCheck;
use super::super::outstanding::{OutstandingRequest, UnloadedDriver};
use super::super::unprovided::UnprovidedUse;
use crate::address::Va;
use crate::machine::{EngineError, Exit, Fault};
use crate::memory::MemoryFault;
use std::fmt;

/// Why a request gave no answer.
///
/// ```
/// use poolhit::{Lab, guest::{Request, RequestError}};
/// // NotMyfault does as it pleases
/// let mut lab = Lab::builder().build()?;
/// let error = lab.request(&Request::Sleep { milliseconds: 1 }).unwrap_err();
/// assert!(matches!(error, RequestError::NotRequester));
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The lab runs another program.
    #[error("the program takes no requests: build the lab with LabBuilder::requester")]
    NotRequester,
    /// A buffer or a name is longer than the program has room for.
    #[error("the {what} has {given} {unit}: a request has room for {limit}")]
    TooLong {
        /// Which.
        what: &'static str,
        /// Its length.
        given: usize,
        /// What the length counts.
        unit: &'static str,
        /// The most.
        limit: usize,
    },
    /// The output buffer is to begin with more bytes than it has.
    #[error("{given} bytes for an output buffer of {length}")]
    OutputTooShort {
        /// The bytes given.
        given: usize,
        /// The buffer's length.
        length: usize,
    },
    /// So many requests are on their way that there is no room for another.
    #[error("{0} requests are on their way; ask for the results of some first")]
    TooMany(u32),
    /// No request with this ticket is on its way.
    #[error("no request with ticket {0} is on its way")]
    NoTicket(u32),
    /// Something stopped the guest in the middle of the last request; see
    /// [`Lab::resume_request`](super::super::Lab::resume_request).
    #[error("a request has been stopped before its end; resume it, or restore a saved lab")]
    Unfinished,
    /// There is no request to resume.
    #[error("no request is to be resumed")]
    NothingToResume,
    /// The program has ended.
    #[error("the program has ended, with exit status {0:#x}")]
    Ended(u32),
    /// Something stopped the guest before the request's end.
    #[error("the request stopped before its end: {0}")]
    Stopped(Box<Stopped>),
    /// Memory of the guest's that should be there is not.
    #[error(transparent)]
    Memory(#[from] MemoryFault),
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl RequestError {
    /// What stopped the guest, if something did.
    ///
    /// ```
    /// use poolhit::guest::RequestError;
    /// assert!(RequestError::NotRequester.stopped().is_none());
    /// ```
    pub fn stopped(&self) -> Option<&Stopped> {
        match self {
            RequestError::Stopped(stopped) => Some(stopped),
            _ => None,
        }
    }
}

/// What stopped the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestStop {
    /// The kernel gave up.
    BugCheck(BugCheck),
    /// An `int 3` of the guest's own: the pool has found the tag, say.
    BreakInstruction,
    /// A breakpoint.
    Breakpoint,
    /// An import that nobody provides.
    Unprovided(Box<UnprovidedUse>),
    /// The program waits, and nothing is on its way that could end that.
    WaitsForEver,
    /// The work that the request may take is used up.
    Budget {
        /// In bytes of code retired.
        work: u64,
    },
    /// An exception that nothing in the guest handles.
    Fault(Fault),
    /// The engine gave up; the text is its own.
    Engine(&'static str),
}

/// Where the guest stands, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stopped {
    /// Why.
    pub reason: RequestStop,
    /// The machine's own reason.
    pub exit: Exit,
    /// The instruction.
    pub address: Va,
    /// Where the frames of the stack are, from the innermost on, in the debugger's words: of the
    /// processor, or of the program's thread if it waits. Of a deep stack the middle is left out, and a
    /// line says how many frames that are.
    /// A driver's frames have their source lines, if its PDB has them.
    pub stack: Vec<String>,
    /// If the program waits: its requests that drivers have not completed, the `IRP_MJ_CLEANUP` or
    /// `IRP_MJ_CLOSE` that it waits for in front, and then the newest.
    pub waits_for: Vec<OutstandingRequest>,
    /// If the kernel gave up over an address in a driver that has been unloaded: that one.
    pub unloaded: Option<UnloadedDriver>,
}

/// The most requests that a text names.
const SHOWN: usize = 4;

impl Stopped {
    /// Why, on one line: the reason, and who is to blame for it where that is known.
    ///
    /// ```
    /// use poolhit::{Lab, guest::Request};
    /// let mut lab = Lab::builder().requester().build()?;
    /// let error = lab.request_within(&Request::Sleep { milliseconds: 1 }, 10).unwrap_err();
    /// assert_eq!(error.stopped().unwrap().in_one_line(), "no end after 10 bytes of code");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_one_line(&self) -> String {
        let mut text = self.reason.to_string();
        if let Some(place) = &self.unloaded {
            text.push_str(&format!(", an address in {place}"));
        }
        for (at, request) in self.waits_for.iter().take(SHOWN).enumerate() {
            text.push_str(if at == 0 { ": " } else { ", " });
            text.push_str(&request.to_string());
        }
        if let more @ 1.. = self.waits_for.len().saturating_sub(SHOWN) {
            text.push_str(&format!(", and {more} more"));
        }
        text
    }
}

impl fmt::Display for RequestStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestStop::BugCheck(check) => f.write_str(&check.in_one_line()),
            RequestStop::BreakInstruction => f.write_str("a break instruction"),
            RequestStop::Breakpoint => f.write_str("a breakpoint"),
            RequestStop::Unprovided(used) => used.fmt(f),
            RequestStop::WaitsForEver => f.write_str("the program waits for what never comes"),
            RequestStop::Budget { work } => write!(f, "no end after {work} bytes of code"),
            RequestStop::Fault(fault) => f.write_str(fault.name()),
            RequestStop::Engine(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.in_one_line(), self.address)?;
        self.stack
            .iter()
            .try_for_each(|place| write!(f, "\n    {place}"))
    }
}
