//! Running the guest from the program's prompt through a request to the prompt again.

use super::super::lab::Lab;
use super::super::loaded::modules_of_thread;
use super::protocol::{AnswerKind, Program};
use super::{FileHandle, READ_WRITE, Request, RequestError, RequestStop, Response, Stopped};
use crate::address::Va;
use crate::machine::Exit;
use crate::memory::ReadMemory;
use crate::registers::{Gpr, Registers};
use crate::symbols::Modules;

/// The most work that a request may take by default, in bytes of code retired.
pub const REQUEST_WORK: u64 = 64 << 20;

impl Lab {
    /// Has the program make a request, and waits for its answer. Whatever else is to be done in the guest
    /// (deferred procedure calls, timers, work items) is done while the program waits.
    ///
    /// # Errors
    /// The program is not the requester, the request does not fit, or something stops the guest before
    /// its end. The lab is then at the stop: a debugger can look at it, and
    /// [`resume_request`](Lab::resume_request) goes on.
    ///
    /// ```
    /// use poolhit::{Lab, guest::Request};
    /// let mut lab = Lab::builder().requester().build()?;
    /// let open = Request::Open { name: r"\\.\Nothing", access: 0, overlapped: false };
    /// let response = lab.request(&open)?;
    /// assert_eq!(response.error.0, 2); // ERROR_FILE_NOT_FOUND
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request(&mut self, request: &Request<'_>) -> Result<Response, RequestError> {
        self.request_within(request, REQUEST_WORK)
    }

    /// The same with another limit of work, in bytes of code retired.
    ///
    /// # Errors
    /// As for [`request`](Lab::request).
    ///
    /// ```
    /// use poolhit::{Lab, guest::{Request, RequestStop}};
    /// let mut lab = Lab::builder().requester().build()?;
    /// let error = lab.request_within(&Request::Sleep { milliseconds: 1 }, 10).unwrap_err();
    /// assert_eq!(error.stopped().unwrap().reason, RequestStop::Budget { work: 10 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_within(
        &mut self,
        request: &Request<'_>,
        work: u64,
    ) -> Result<Response, RequestError> {
        let program = self.come_to_prompt(work)?;
        self.begin(&program, request)?;
        self.run_to_prompt(&program, work)?;
        program.read(self, AnswerKind::of(request))
    }

    fn begin(&mut self, program: &Program, request: &Request<'_>) -> Result<(), RequestError> {
        program.write(self, request)?;
        self.pass_break_instruction()
    }

    /// Whether the program is the requester and stands at its prompt: it can be told a request.
    pub(crate) fn is_at_request_prompt(&self) -> bool {
        Program::of(self).is_some_and(|program| self.is_at_prompt(&program))
    }

    /// Tells the program, at its prompt, a request: it makes it when the guest goes on.
    pub(crate) fn begin_request(&mut self, request: &Request<'_>) -> Result<(), RequestError> {
        let program = Program::of(self).ok_or(RequestError::NotRequester)?;
        self.begin(&program, request)
    }

    /// What came of that request; the program is at its prompt again.
    pub(crate) fn end_request(&self, request: &Request<'_>) -> Result<Response, RequestError> {
        let program = Program::of(self).ok_or(RequestError::NotRequester)?;
        program.read(self, AnswerKind::of(request))
    }

    /// Lets so much of the guest's time pass: threads that are ready run, and work items and timers that
    /// are due by then. A request's answer comes when the driver gives it; what the driver has put off may
    /// still be to do, and holds its memory until it is done. So this comes in front of
    /// [`mark_repeat`](Lab::mark_repeat) and [`leaks`](Lab::leaks) for drivers that put something off.
    ///
    /// # Errors
    /// As for [`request`](Lab::request).
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// lab.settle(50)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn settle(&mut self, milliseconds: u32) -> Result<(), RequestError> {
        self.request(&Request::Sleep { milliseconds })?;
        Ok(())
    }

    /// Goes on with a request that something has stopped, behind the break instruction that did if it was
    /// one, and gives its answer.
    ///
    /// # Errors
    /// Nothing is to be resumed, or something stops the guest again.
    ///
    /// ```
    /// use poolhit::{Lab, guest::{Request, RequestStop}, memory::WriteMemory};
    /// let mut lab = Lab::builder().requester().build()?;
    /// let device = lab.open_device(r"\\.\Myfault")?;
    /// let tag = lab.kernel_symbol("PoolHitTag").unwrap();
    /// lab.machine_mut().write(tag, b"Leak")?;
    /// let error = lab.request(&Request::ioctl(device, 0x222004, &64_u32.to_le_bytes(), 0)).unwrap_err();
    /// let stopped = error.stopped().unwrap();
    /// assert_eq!(stopped.reason, RequestStop::BreakInstruction);
    /// assert!(stopped.stack.iter().any(|place| place == "kernel32!DeviceIoControlImplementation+0x7f"));
    /// assert!(lab.resume_request()?.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume_request(&mut self) -> Result<Response, RequestError> {
        let program = Program::of(self).ok_or(RequestError::NotRequester)?;
        if !program.is_busy(self)? {
            return Err(RequestError::NothingToResume);
        }
        let kind = AnswerKind::of_taken(&program, self)?;
        self.pass_break_instruction()?;
        self.run_to_prompt(&program, REQUEST_WORK)?;
        program.read(self, kind)
    }

    /// Opens a device for reading and writing.
    ///
    /// # Errors
    /// As for [`request`](Lab::request), or the program is told that it cannot be opened.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let mut lab = Lab::builder().requester().build()?;
    /// let error = lab.open_device(r"\\.\Nothing").unwrap_err();
    /// assert!(error.to_string().contains("error 2"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_device(&mut self, name: &str) -> Result<FileHandle, super::DriverCallError> {
        let response = self.request(&Request::Open {
            name,
            access: READ_WRITE,
            overlapped: false,
        })?;
        response.handle.ok_or(super::DriverCallError::Refused {
            what: "opening a device",
            error: response.error,
            status: response.status,
        })
    }

    /// The program, at its prompt.
    pub(super) fn come_to_prompt(&mut self, work: u64) -> Result<Program, RequestError> {
        let program = Program::of(self).ok_or(RequestError::NotRequester)?;
        if let Some(check) = self.bug_check() {
            let exit = Exit::HardcodedBreakpoint {
                address: self.machine().registers().rip(),
            };
            return Err(self.stopped(exit, RequestStop::BugCheck(check)));
        }
        if self.is_at_prompt(&program) {
            return Ok(program);
        }
        if let Some(status) = self.program_exit_status() {
            return Err(RequestError::Ended(status));
        }
        if program.is_busy(self)? {
            return Err(RequestError::Unfinished);
        }
        self.pass_break_instruction()?;
        self.run_to_prompt(&program, work)?;
        Ok(program)
    }

    pub(super) fn is_at_prompt(&self, program: &Program) -> bool {
        self.machine().privilege_level() == 3 && self.machine().registers().rip() == program.prompt
    }

    /// Goes behind an `int 3` if the guest stands at one.
    pub(super) fn pass_break_instruction(&mut self) -> Result<(), RequestError> {
        let mut registers = self.machine().registers();
        if self.machine().read_u8(registers.rip()) == Ok(0xcc) {
            registers.rip = registers.rip.wrapping_add(1);
            self.machine_mut().set_registers(&registers)?;
        }
        Ok(())
    }

    pub(super) fn run_to_prompt(
        &mut self,
        program: &Program,
        work: u64,
    ) -> Result<(), RequestError> {
        let limit = self.machine().work().saturating_add(work);
        match self.run(limit)? {
            Exit::HardcodedBreakpoint { .. } if self.is_at_prompt(program) => Ok(()),
            exit => Err(self.stop_reason(exit, work)),
        }
    }

    /// What an exit is that is not the one waited for.
    pub(super) fn stop_reason(&self, exit: Exit, work: u64) -> RequestError {
        if exit == Exit::Halt
            && let Some(status) = self.program_exit_status()
        {
            return RequestError::Ended(status);
        }
        let reason = match exit {
            _ if self.unprovided_use(&exit).is_some() => {
                let used = self.unprovided_use(&exit).map(Box::new);
                used.map_or(RequestStop::BreakInstruction, RequestStop::Unprovided)
            }
            Exit::HardcodedBreakpoint { .. } if !self.can_tell_bug_check() => RequestStop::Engine(
                "a break instruction, perhaps of a bug check: the page tables do not lead to the \
                 kernel's data any more",
            ),
            Exit::HardcodedBreakpoint { .. } => match self.bug_check() {
                Some(check) => RequestStop::BugCheck(check),
                None => RequestStop::BreakInstruction,
            },
            Exit::Breakpoint { .. } | Exit::DataBreakpoint { .. } | Exit::Step => {
                RequestStop::Breakpoint
            }
            Exit::Halt => RequestStop::WaitsForEver,
            Exit::Limit => RequestStop::Budget { work },
            Exit::Fault(fault) => RequestStop::Fault(fault),
            Exit::Engine(reason) => RequestStop::Engine(reason),
        };
        self.stopped(exit, reason)
    }

    fn stopped(&self, exit: Exit, reason: RequestStop) -> RequestError {
        let (start, modules) = self.stack_start(&exit);
        let waits = match exit {
            Exit::Halt if self.is_idle() => self.program_thread(),
            _ => None,
        };
        let unloaded = match &reason {
            RequestStop::BugCheck(check) => self.unloaded_driver_of(check),
            _ => None,
        };
        RequestError::Stopped(Box::new(Stopped {
            reason,
            exit,
            address: self.machine().registers().rip(),
            stack: self.places_from(&start, &modules),
            waits_for: waits.map_or_else(Vec::new, |thread| self.requests_of_thread(thread)),
            unloaded,
        }))
    }

    /// Where the stack of a stop begins, and its modules. Where nothing runs, the program's thread is who
    /// waits. A `hlt` of a driver's own is in whatever thread that runs.
    pub(crate) fn stack_start(&self, exit: &Exit) -> (Registers, Modules) {
        let waiting = match exit {
            Exit::Halt if self.is_idle() => self.waiting_program(),
            _ => None,
        };
        waiting.unwrap_or_else(|| (self.machine().registers(), self.modules()))
    }

    /// Whether the processor's thread (`_KPRCB.CurrentThread`) is its idle thread.
    fn is_idle(&self) -> bool {
        const CURRENT_THREAD: u64 = 0x188;
        const IDLE_THREAD: u64 = 0x198;
        let region = self.processor_control_region();
        let read = |offset| self.machine().read_va(region.wrapping_add(offset));
        matches!((read(CURRENT_THREAD), read(IDLE_THREAD)), (Ok(one), Ok(other)) if one == other)
    }

    /// The program's first thread.
    fn program_thread(&self) -> Option<Va> {
        const THREAD_LIST_HEAD: u64 = 0x30;
        const ACTIVE_PROCESS_LINKS: u64 = 0x188;
        const THREAD_LIST_ENTRY: u64 = 0x2f8;
        let machine = self.machine();
        let head = self.kernel_symbol("PsActiveProcessHead")?;
        let last = machine.read_va(head.wrapping_add(8)).ok()?;
        let process = last.wrapping_sub(ACTIVE_PROCESS_LINKS);
        let entry = machine
            .read_va(process.wrapping_add(THREAD_LIST_HEAD))
            .ok()?;
        Some(entry.wrapping_sub(THREAD_LIST_ENTRY))
    }

    /// The registers with which the program's first thread goes on where it waits, by the frame that
    /// `nt!KiSwapContext` (fixtures/guest/ntoskrnl/switch.s) has left on its stack; and its modules.
    fn waiting_program(&self) -> Option<(Registers, Modules)> {
        const KERNEL_STACK: u64 = 0x38;
        const PUSHED: u64 = 0xb8;
        let machine = self.machine();
        let thread = self.program_thread()?;
        let stack = machine.read_va(thread.wrapping_add(KERNEL_STACK)).ok()?;
        let mut registers = Registers::default();
        let pushed = [
            Gpr::R15,
            Gpr::R14,
            Gpr::R13,
            Gpr::R12,
            Gpr::Rdi,
            Gpr::Rsi,
            Gpr::Rbp,
            Gpr::Rbx,
        ];
        let mut at = stack.wrapping_add(PUSHED);
        for register in pushed {
            registers.set(register, machine.read_u64(at).ok()?);
            at = at.wrapping_add(8);
        }
        registers.rip = machine.read_u64(at).ok()?;
        registers.set(Gpr::Rsp, at.wrapping_add(8).0);
        let modules = modules_of_thread(machine, thread, self.images(), self.bases());
        Va(registers.rip)
            .is_kernel()
            .then_some((registers, modules))
    }
}
