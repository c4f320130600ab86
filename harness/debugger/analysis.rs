//! What can be said of a bug check: where it happened, and who is to be looked at.

use super::session::Session;
use super::stack_frame::StackFrame;
use crate::address::Va;
use crate::guest::BugCheck;
use crate::memory::ReadMemory;
use crate::registers::Registers;

/// The frames that are looked at.
const FRAMES: usize = 0x100;
/// `_EPROCESS.ImageFileName`, of 15 characters.
const IMAGE_FILE_NAME: u64 = 0x2e0;

/// Where the registers are from that a stack was walked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StackSource {
    /// The processor.
    Processor,
    /// A trap frame: the code that was interrupted by an exception.
    TrapFrame(Va),
    /// A context record: the code that has raised an exception.
    Context(Va),
}

/// An analysis, as `!analyze -v` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Analysis {
    /// The bug check; `None` if there was none.
    pub check: Option<BugCheck>,
    /// The instruction that faulted, if a fault or an exception was the reason.
    pub fault: Option<Va>,
    /// The exception record, if the bug check's parameters say where it is.
    pub exception: Option<Va>,
    /// Where the registers are from.
    pub source: StackSource,
    /// The registers there.
    pub registers: Registers,
    /// The stack: the one that a context record leads to, or else the processor's, with the trap frame on it.
    pub stack: Vec<StackFrame>,
    /// Which frame of it is to be looked at: the first in a driver, or the one that made the bug check.
    pub culprit: Option<usize>,
    /// The name of the process that ran (`_EPROCESS.ImageFileName`).
    pub process: Option<String>,
}

impl Session {
    /// Looks what a bug check is about, or, without one, where the guest stands.
    ///
    /// The frame to look at is the first below the bug check itself whose code is in kernel space and not
    /// the kernel's: the nearest driver. If there is none it is the code that the kernel's own exception
    /// handling was entered from, or the caller of `nt!KeBugCheckEx`. Where the bug check has a context record
    /// the stack is the one there, of the code that raised the exception.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("ed nt!PoolHitTag 3261654c; g")?;
    /// let analysis = session.analyze();
    /// assert_eq!(analysis.check, None);
    /// let frame = &analysis.stack[analysis.culprit.unwrap()];
    /// assert_eq!(frame.site.to_string(), "myfault+0x1634");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn analyze(&self) -> Analysis {
        let check = self.lab.bug_check();
        let here = self.lab.machine().registers();
        let stack = self.stack_frames(&here, FRAMES);
        let trap = stack.iter().position(|frame| frame.trap_frame.is_some());
        let (context, exception) = match check {
            Some(BugCheck {
                code: 0x3b,
                parameters,
            }) => (Some(Va(parameters[2])), None),
            Some(BugCheck {
                code: 0x7e,
                parameters,
            }) => (Some(Va(parameters[3])), Some(Va(parameters[2]))),
            _ => (None, None),
        };
        let context = context.and_then(|at| Some((at, self.context_registers(at)?)));
        // The trap frame of a system call is the way in, and no exception.
        let faulted = trap.filter(|at| {
            stack
                .get(at + 1)
                .is_some_and(|next| is_kernel(next.site.address))
        });
        let trapped = faulted.and_then(|at| {
            let place = stack.get(at)?.trap_frame?;
            Some((place, self.trap_frame_registers(place)?))
        });
        let (source, registers) = match (context, trapped) {
            (Some((at, registers)), _) => (StackSource::Context(at), registers),
            (None, Some((at, registers))) if check.is_some() => {
                (StackSource::TrapFrame(at), registers)
            }
            _ => (StackSource::Processor, here),
        };
        let fault = (source != StackSource::Processor).then(|| registers.rip());
        // The exception's own code is what a context record leads to; a trap frame is on the stack that
        // the bug check was made on.
        let (stack, faulted) = match source {
            StackSource::Context(_) => (self.stack_frames(&registers, FRAMES), None),
            _ => (stack, faulted),
        };
        let driver = stack.iter().position(|frame| self.is_driver_s(frame));
        let maker = stack.iter().position(|frame| {
            let symbol = frame.site.symbol.as_deref().unwrap_or_default();
            symbol.starts_with("KeBugCheck")
        });
        let behind = |at: usize| (at + 1 < stack.len()).then_some(at + 1);
        let culprit = driver
            .or_else(|| faulted.and_then(behind))
            .or_else(|| maker.and_then(behind))
            .or_else(|| matches!(source, StackSource::Context(_)).then_some(0));
        Analysis {
            check,
            fault,
            exception,
            source,
            registers,
            culprit,
            process: self.process_name(),
            stack,
        }
    }

    /// Whether a frame's code is a driver's.
    fn is_driver_s(&self, frame: &StackFrame) -> bool {
        let module = frame.site.module.as_deref();
        is_kernel(frame.site.address) && module.is_some_and(|name| name != "nt")
    }

    fn process_name(&self) -> Option<String> {
        let at = self.current_process()?.wrapping_add(IMAGE_FILE_NAME);
        let mut name = [0; 15];
        self.lab.machine().read(at, &mut name).ok()?;
        let end = name.iter().position(|&byte| byte == 0);
        let name = &name[..end.unwrap_or(name.len())];
        let plain = |byte: &u8| match byte {
            0x20..0x7f => char::from(*byte),
            _ => '.',
        };
        Some(name.iter().map(plain).collect())
    }
}

/// Whether an address is in the kernel's half of the address space.
fn is_kernel(address: Va) -> bool {
    address.0 >> 63 == 1
}
