//! A debugging session over a lab: going on to the next stop, breakpoints, memory, stacks.

use super::breakpoint::{BREAKPOINT_LIMIT, Breakpoints};
use super::call_site::CallStack;
use super::control::Control;
use super::printed::Printed;
use super::progress::Progressing;
use super::request_queue::RequestQueue;
use super::state::State;
use super::stop::{Stop, StopReason};
use crate::address::Va;
use crate::disasm::{Disassembler, Instruction, MAX_INSTRUCTION_LENGTH};
use crate::guest::{Lab, ModuleImages};
use crate::machine::{EngineError, Exit};
use crate::memory::{MemoryFault, ReadMemory, WriteMemory};
use crate::registers::Registers;
use crate::stack::walk::walk;
use crate::symbols::Modules;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The most work that going on may take by default, in bytes of code retired. Some ten seconds.
pub const DEFAULT_BUDGET: u64 = 1 << 31;
/// What a stop that a breakpoint's commands go on from takes of the budget, on top of the code
/// retired: so their number, and what they print, has an end too.
pub const STOP_WORK: u64 = 1 << 13;

/// A session could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Guest memory cannot be reached.
    #[error(transparent)]
    Memory(#[from] MemoryFault),
    /// There are as many breakpoints as there can be.
    #[error("there are {BREAKPOINT_LIMIT} breakpoints already; clear some with bc")]
    TooManyBreakpoints,
}

/// Asks a running session to break in, from another thread or a signal handler.
#[derive(Clone, Debug, Default)]
pub struct BreakInHandle(Arc<AtomicBool>);

impl BreakInHandle {
    /// Asks. The guest stops within some milliseconds; if it does not run, nothing happens.
    ///
    /// ```
    /// let session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// session.break_in_handle().request();
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A debugger attached to a lab. The guest is always stopped, but while [`Session::go`] runs.
///
/// ```
/// use poolhit::{Lab, Session, StopReason, address::Va};
///
/// let mut session = Session::new(Lab::builder().build()?);
/// let tag = session.resolve("nt!PoolHitTag").unwrap();
/// session.write(tag, b"Lea2")?;
/// let stop = session.go()?;
/// assert_eq!(stop.reason, StopReason::BreakInstruction);
/// assert_eq!(stop.address, Va(0xfffff800_014798f6));
///
/// let stack = session.stack(64);
/// assert_eq!(stack.frames.len(), 11);
/// assert_eq!(stack.frames[2].to_string(), "myfault+0x1634");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    pub(super) lab: Lab,
    pub(super) modules: Modules,
    pub(super) breakpoints: Breakpoints,
    /// How the guest goes on, and what the debugger looks at meanwhile.
    pub(crate) control: Control,
    /// The break instruction that stopped the guest, to be passed when it goes on. One that it has
    /// only come to, by a budget or a breakpoint, is still to be executed.
    pub(super) stopped_at: Option<Va>,
    /// A break-in that the guest could not take has stopped it where it was.
    pub(super) forced_break: bool,
    /// The last stop, however it came about.
    pub(super) last_stop: Option<Stop>,
    budget: u64,
    /// The work at which the run in progress is out of budget.
    pub(super) budget_end: Option<u64>,
    /// The work at which the guest is to break in.
    pub(super) break_in_at: Option<u64>,
    pub(super) break_in: BreakInHandle,
    /// What the guest has printed since it was last let go on.
    pub(super) printed: Printed,
    /// Where a listing of code without an address goes on.
    pub(crate) next_listing: Option<Va>,
    /// Where a display of memory without an address goes on.
    pub(crate) next_display: Option<Va>,
    /// Whether stacks are listed with source lines.
    pub(super) source_lines: bool,
    /// They have been turned off: expressions do not take them either.
    pub(super) lines_are_off: bool,
    /// What stands for the break-in key in a transcript, to be shown when it takes effect.
    pub(crate) break_in_echo: Option<&'static str>,
    /// Who is told of a run under way.
    pub(super) progress: Progressing,
    pub(super) requests: RequestQueue,
    /// What is remembered between commands.
    pub(crate) state: State,
}

impl Session {
    /// Attaches to a lab. The breakpoints that its machine has are the session's from now on.
    ///
    /// ```
    /// let session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn new(lab: Lab) -> Session {
        let modules = lab.modules();
        let stopped_at = Some(lab.machine().registers().rip());
        let control = Control {
            event_at: stopped_at,
            ..Control::default()
        };
        let mut breakpoints = Breakpoints::default();
        for address in lab.machine().breakpoints() {
            // One more than there can be is the machine's alone.
            let _ = breakpoints.set(address, "");
        }
        Session {
            lab,
            modules,
            breakpoints,
            control,
            stopped_at,
            last_stop: None,
            forced_break: false,
            budget: DEFAULT_BUDGET,
            budget_end: None,
            break_in_at: None,
            break_in: BreakInHandle::default(),
            printed: Printed::default(),
            next_listing: None,
            next_display: None,
            source_lines: false,
            lines_are_off: false,
            break_in_echo: None,
            progress: Progressing::default(),
            requests: RequestQueue::default(),
            state: State::default(),
        }
    }

    /// Attaches to a lab that `exit` has stopped: one that did not come to its first prompt, say.
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason, machine::Exit};
    /// let mut lab = Lab::builder().build()?;
    /// let exit = lab.run(lab.machine().work())?;
    /// let session = Session::stopped(lab, exit);
    /// assert!(matches!(session.last_stop().unwrap().reason, StopReason::Budget { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stopped(lab: Lab, exit: Exit) -> Session {
        let mut session = Session::new(lab);
        session.note_stop(exit);
        session
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) fn lab_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// The modules loaded, as of the last stop.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// The last stop, by whichever way the guest came to it: after `execute("g")` it is why and
    /// where the guest stands. `None` until the guest has run.
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("bp nt!NtClose \"? 1; g\"; g")?;
    /// let stop = session.last_stop().unwrap();
    /// assert_eq!(stop.reason, StopReason::Idle { exit_status: Some(0) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_stop(&self) -> Option<&Stop> {
        self.last_stop.as_ref()
    }

    /// The breakpoints.
    pub fn breakpoints(&self) -> &Breakpoints {
        &self.breakpoints
    }

    /// The registers that the debugger looks from: the processor's, or those of the exception that
    /// has stopped the guest, or of a trap frame, a context record or a frame of the stack that has been
    /// chosen since the guest has stopped.
    pub fn registers(&self) -> Registers {
        let chosen = self.control.context.clone();
        let at_exception = || Some(self.control.exception.clone()?.0);
        let chosen = chosen.or_else(at_exception);
        chosen.unwrap_or_else(|| self.lab.machine().registers())
    }

    /// Sets how much work each [`go`](Session::go) may take, in bytes of code retired.
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.set_budget(1000);
    /// assert_eq!(session.go()?.reason, StopReason::Budget { work: 1000 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_budget(&mut self, work: u64) {
        self.budget = work;
    }

    /// The address of a symbol or module, such as `nt!PoolHitTag`.
    ///
    /// ```
    /// # use poolhit::{Lab, Session, address::Va};
    /// let session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.resolve("myfault"), Some(Va(0xfffff880_0496d000)));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn resolve(&self, name: &str) -> Option<Va> {
        self.modules.resolve(name).ok()
    }

    /// Writes guest memory, whatever the pages' protection. Code written runs as written at once.
    ///
    /// # Errors
    /// A byte is not in memory; those before it are written.
    ///
    /// ```
    /// # use poolhit::{Lab, Session, address::Va};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.write(Va(0x10), b"x").unwrap_err().done, 0);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn write(&mut self, address: Va, bytes: &[u8]) -> Result<(), MemoryFault> {
        self.lab.machine_mut().write(address, bytes)
    }

    /// A handle that breaks in while the guest runs.
    pub fn break_in_handle(&self) -> BreakInHandle {
        self.break_in.clone()
    }

    /// Makes the next run break in after this much work, in bytes of code retired, if nothing else
    /// stops it before.
    ///
    /// ```
    /// # use poolhit::{Lab, Session, StopReason};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.break_in_after(10_000);
    /// assert_eq!(session.go()?.reason, StopReason::BreakIn);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn break_in_after(&mut self, work: u64) {
        self.break_in_at = Some(self.lab.machine().work().saturating_add(work));
    }

    /// Lets the guest go on to its next stop, under a fresh budget.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do; what the guest does is never an error.
    ///
    /// ```
    /// # use poolhit::{Lab, Session, StopReason};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.go()?.reason, StopReason::Idle { exit_status: Some(0) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn go(&mut self) -> Result<Stop, SessionError> {
        self.break_in.take();
        self.start_budget();
        let mut printed = String::new();
        let stop = loop {
            match self.resume() {
                Ok(stop) if self.goes_on_behind() => printed += &stop.printed,
                other => break other,
            }
        };
        self.end_run();
        let mut stop = stop?;
        if !printed.is_empty() {
            stop.printed.insert_str(0, &printed);
            self.last_stop = Some(stop.clone());
        }
        Ok(stop)
    }

    /// Starts the budget for several [`resume`](Session::resume)s.
    pub(crate) fn start_budget(&mut self) {
        let work = self.lab.machine().work();
        self.budget_end = Some(work.saturating_add(self.budget));
        self.progress.start(work);
    }

    /// The budget of a run, in bytes of code retired.
    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// Whether someone has asked to break in; the request is gone then.
    pub(crate) fn take_break_in(&self) -> bool {
        self.break_in.take()
    }

    /// Ends what [`start_budget`](Session::start_budget) started; a break-in that was to come is
    /// forgotten.
    pub(crate) fn end_run(&mut self) {
        self.budget_end = None;
        self.break_in_at = None;
        self.break_in_echo = None;
    }

    /// Takes [`STOP_WORK`] from the budget in force.
    pub(crate) fn charge_stop(&mut self) {
        self.budget_end = self.budget_end.map(|end| end.saturating_sub(STOP_WORK));
        self.progress.pass_stop();
    }

    /// Lets the guest go on to its next stop, under the budget in force.
    pub(crate) fn resume(&mut self) -> Result<Stop, SessionError> {
        self.start_motion()?;
        self.pass_break_instruction()?;
        let watched = self.watch_events()?;
        let exit = self.run_to_hit();
        self.unwatch_events(watched)?;
        self.collect_printed();
        let exit = exit?;
        self.modules = self.lab.modules();
        self.resolve_breakpoints()?;
        Ok(self.note_stop(exit))
    }

    /// What a stop is to the debugger; it is the last one from now on.
    pub(super) fn note_stop(&mut self, exit: Exit) -> Stop {
        let machine = self.lab.machine();
        let (mut address, work) = (machine.registers().rip(), machine.work());
        let executed = matches!(exit, Exit::HardcodedBreakpoint { .. });
        self.stopped_at = executed.then_some(address);
        let mut reason = self.reason(exit, address);
        if let Some(event) = &self.control.event {
            reason = event.reason.clone();
            self.control.exception = self.exception_context(event);
        }
        if let StopReason::Exception { record, .. } = &reason {
            address = record.address;
        }
        let before = self.control.event_at.replace(address);
        self.control.previous_event = before;
        let stop = Stop {
            reason,
            address,
            work,
            printed: self.printed.text(),
        };
        self.last_stop = Some(stop.clone());
        stop
    }

    /// A debugger goes on behind the `int 3` it stopped at, if it is still there. Whether it was.
    pub(super) fn pass_break_instruction(&mut self) -> Result<bool, SessionError> {
        let mut registers = self.lab.machine().registers();
        let here = registers.rip();
        let mut code = [0; 2];
        self.lab.machine().read_partial(here, &mut code);
        let length = match code {
            [0xcc, _] => 1,
            [0xcd, 3] => 2,
            _ => 0,
        };
        if self.stopped_at == Some(here) && length > 0 {
            registers.rip = registers.rip.wrapping_add(length);
            self.lab.machine_mut().set_registers(&registers)?;
            return Ok(true);
        }
        Ok(false)
    }

    pub(super) fn reason(&self, exit: Exit, address: Va) -> StopReason {
        if let Some(used) = self.lab.unprovided_use(&exit) {
            return StopReason::UnprovidedFunction(Box::new(used));
        }
        match exit {
            Exit::HardcodedBreakpoint { .. } => StopReason::of_break_instruction(&self.lab),
            Exit::Breakpoint { .. } => match self.breakpoints.at(address) {
                Some(breakpoint) if !self.forced_break => StopReason::Breakpoint {
                    number: breakpoint.number,
                },
                _ => StopReason::BreakIn,
            },
            Exit::DataBreakpoint { number } => StopReason::Breakpoint { number },
            Exit::Step => StopReason::Step,
            Exit::Halt => StopReason::Idle {
                exit_status: self.lab.program_exit_status(),
            },
            Exit::Limit => StopReason::Budget { work: self.budget },
            Exit::Fault(fault) => StopReason::Fault(fault),
            Exit::Engine(reason) => StopReason::Engine(reason),
        }
    }

    /// The stack at the current instruction, of at most `limit` frames. Inside a function that the
    /// host has called ([`Lab::call_kernel`]) it ends with that function's frame.
    ///
    /// ```
    /// # use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let stack = session.stack(2);
    /// assert_eq!(stack.frames[0].to_string(), "nt!DbgBreakPoint");
    /// assert_eq!(stack.frames.len(), 2);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn stack(&self, limit: usize) -> CallStack {
        let images = ModuleImages {
            modules: &self.modules,
            return_landing: self.lab.machine().return_landing(),
        };
        let walk = walk(&self.registers(), self.lab.machine(), &images, limit);
        CallStack::name(walk, &self.modules)
    }

    /// The instruction at an address, with symbols for what it refers to.
    ///
    /// ```
    /// # use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let here = session.registers().rip();
    /// assert_eq!(session.instruction(here).mnemonic(), "int");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn instruction(&self, address: Va) -> Instruction {
        let mut bytes = [0; MAX_INSTRUCTION_LENGTH];
        let length = self.lab.machine().read_partial(address, &mut bytes);
        if length == 0 {
            return Instruction::unreadable(address);
        }
        let symbol = |at: Va| self.modules.nearest(at).map(|near| near.to_string());
        Disassembler::new().decode(address, &bytes[..length], &symbol)
    }

    /// The number of the processor that runs.
    pub fn processor_number(&self) -> u32 {
        self.lab.processor_number()
    }
}
