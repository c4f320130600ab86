//! Why the guest stopped, as a debugger sees it.

use super::exception::ExceptionRecord;
use crate::address::Va;
use crate::guest::{BugCheck, Lab, UnprovidedUse};
use crate::machine::Fault;
use crate::registers::Gpr;

/// The statuses that a kernel breaks with (`DBG_STATUS_*`, ntddk.h).
const STATUS_CONTROL_C: u64 = 1;
const STATUS_FATAL: u64 = 4;

/// A module that comes or goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleEvent {
    /// The image's file name.
    pub name: String,
    /// Its path, as the guest has it.
    pub path: String,
    /// Its first byte.
    pub base: Va,
    /// The byte behind its last.
    pub end: Va,
}

/// Why the guest stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The guest's own `int 3`: the kernel's pool code found a tag that equals `nt!PoolHitTag`,
    /// say. Going on goes on behind it, unless it has been patched.
    BreakInstruction,
    /// A breakpoint set in this session.
    Breakpoint {
        /// Its number.
        number: usize,
    },
    /// The guest has taken the steps it was to take, or has come to where it was to go.
    Step,
    /// The debugger asked the guest to break in, and the guest's clock interrupt did.
    BreakIn,
    /// The kernel gave up.
    BugCheck(BugCheck),
    /// An exception that nothing in the guest handles.
    Fault(Fault),
    /// A driver used an import that nobody provides: it called a function, or read or wrote a
    /// variable. Nothing of what it did has happened.
    UnprovidedFunction(Box<UnprovidedUse>),
    /// The guest's kernel looks for who handles an exception, or has found nobody. Only where a filter
    /// asks for it ([`event_filter`](super::event_filter)).
    Exception {
        /// What exception.
        record: Box<ExceptionRecord>,
        /// Nobody has been asked yet.
        first_chance: bool,
    },
    /// A module has been loaded, and is about to be started. Only where a filter asks for it.
    ModuleLoad(Box<ModuleEvent>),
    /// A module is about to go. Only where a filter asks for it.
    ModuleUnload(Box<ModuleEvent>),
    /// Every processor is idle, and no interrupt is on its way: nothing will ever run again.
    Idle {
        /// The program's exit status, if it has ended (`_EPROCESS.ExitStatus`).
        exit_status: Option<u32>,
    },
    /// The run's budget of work is used up: the guest may be in an endless loop.
    Budget {
        /// The budget in bytes of code retired.
        work: u64,
    },
    /// The processor emulator gave up; the text is its own.
    Engine(&'static str),
}

impl StopReason {
    /// Why the guest stands at a break instruction of its own.
    pub(super) fn of_break_instruction(lab: &Lab) -> StopReason {
        let registers = lab.machine().registers();
        let status_break = lab.kernel_symbol("RtlpBreakWithStatusInstruction");
        if status_break != Some(registers.rip()) {
            return StopReason::BreakInstruction;
        }
        match registers.get(Gpr::Rcx) & 0xffff_ffff {
            STATUS_CONTROL_C => StopReason::BreakIn,
            STATUS_FATAL => lab
                .bug_check()
                .map_or(StopReason::BreakInstruction, StopReason::BugCheck),
            _ => StopReason::BreakInstruction,
        }
    }
}

/// A stop: why, where and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// Why the guest stopped.
    pub reason: StopReason,
    /// The instruction that the guest is at.
    pub address: Va,
    /// The work done since the machine was made, in bytes of code retired.
    pub work: u64,
    /// What the guest has printed (`DbgPrint`) since it was let go on, up to
    /// [`PRINTED_LIMIT`](super::PRINTED_LIMIT) bytes.
    pub printed: String,
}
