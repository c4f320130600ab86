//! Why the machine stopped running the guest.

use crate::address::Va;
use std::fmt;

/// Why the machine stopped. In each case the instruction pointer is at the instruction named, and
/// running on from there is meaningful.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// An `int 3` of the guest's own code; the instruction pointer is at it, not behind it.
    HardcodedBreakpoint {
        /// Where the instruction is.
        address: Va,
    },
    /// An address that [`Machine::set_breakpoint`](super::Machine::set_breakpoint) named is about
    /// to execute.
    Breakpoint {
        /// The address.
        address: Va,
    },
    /// An instruction has read or written memory that
    /// [`Machine::watch_data`](super::Machine::watch_data) named. The guest is behind the instruction.
    DataBreakpoint {
        /// The number that the watched bytes were given.
        number: usize,
    },
    /// One instruction has been executed, as [`Machine::step`](super::Machine::step) was asked to.
    Step,
    /// `hlt`: the guest waits for an interrupt, and none is on its way.
    Halt,
    /// The work limit is reached.
    Limit,
    /// The guest did something that raises an exception and that nothing in the guest handles.
    Fault(Fault),
    /// The engine gave up, or the machine: what it takes for a system call is gone. The text says which.
    Engine(&'static str),
}

/// What it was, for people, without where the guest is then unless that is not what it stands at.
///
/// ```
/// use poolhit::{address::Va, machine::{Exit, Fault}};
/// let fault = Fault { vector: 14, address: Va(0x1000), accessed: Some(Va(8)) };
/// assert_eq!(Exit::Fault(fault).to_string(), "page fault, accessing 00000000`00000008");
/// assert_eq!(Exit::Limit.to_string(), "the work limit was reached");
/// ```
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::HardcodedBreakpoint { .. } => f.write_str("an int 3"),
            Exit::Breakpoint { .. } => f.write_str("a breakpoint"),
            Exit::DataBreakpoint { .. } => f.write_str("an access to watched memory"),
            Exit::Step => f.write_str("one instruction has been executed"),
            Exit::Halt => f.write_str("the guest waits for an interrupt that does not come"),
            Exit::Limit => f.write_str("the work limit was reached"),
            Exit::Fault(fault) => {
                f.write_str(fault.name())?;
                match fault.accessed {
                    Some(accessed) => write!(f, ", accessing {accessed}"),
                    None => Ok(()),
                }
            }
            Exit::Engine(text) => write!(f, "the engine gave up: {text}"),
        }
    }
}

/// A processor exception that the guest raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The exception's number (Intel SDM volume 3, table 6-1).
    pub vector: u32,
    /// The instruction that raised it.
    pub address: Va,
    /// For a page fault, the address that could not be reached (CR2).
    pub accessed: Option<Va>,
}

impl Fault {
    /// The exception's name in the processor's manual.
    ///
    /// ```
    /// use poolhit::{address::Va, machine::Fault};
    /// let fault = Fault { vector: 14, address: Va(0), accessed: Some(Va(8)) };
    /// assert_eq!(fault.name(), "page fault");
    /// ```
    pub fn name(&self) -> &'static str {
        match self.vector {
            0 => "divide error",
            1 => "debug exception",
            2 => "non-maskable interrupt",
            4 => "overflow",
            5 => "bound range exceeded",
            6 => "invalid opcode",
            7 => "device not available",
            8 => "double fault",
            10 => "invalid TSS",
            11 => "segment not present",
            12 => "stack-segment fault",
            13 => "general protection",
            14 => "page fault",
            16 => "x87 floating-point error",
            17 => "alignment check",
            18 => "machine check",
            19 => "SIMD floating-point exception",
            _ => "interrupt without a handler",
        }
    }
}
