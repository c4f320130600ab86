//! Calls of the kernel's functions in a thread of the system process, at PASSIVE_LEVEL, where they may
//! wait: what a driver's `AddDevice` or unload routine runs in.

use super::super::lab::Lab;
use super::protocol::Program;
use super::run::REQUEST_WORK;
use super::{Request, RequestError};
use crate::address::Va;
use crate::guest::KernelFunction;
use crate::machine::{Exit, InterruptError};
use crate::memory::{ReadMemory, WriteMemory};

/// The most arguments of a function that is called in the system process.
pub const KERNEL_WORK_ARGUMENTS: usize = 6;

/// The most bytes that a function's argument can point to.
const TEXT: usize = 512;
/// The clock's interrupt, at which the kernel looks whether something is to be done.
const CLOCK_VECTOR: u8 = 0xd1;
/// How long the program sleeps while the kernel's thread waits, in milliseconds.
const NAP: u32 = 1;

/// Offsets in `nt!ExpDebuggerWork` (fixtures/guest/ntoskrnl/debugger_work.c).
mod work {
    pub const ROUTINE: u64 = 0x8;
    pub const ARGUMENTS: u64 = 0x10;
    pub const RESULT: u64 = 0x40;
    pub const TEXT: u64 = 0x48;
}
const NONE: u32 = 0;
const ASKED: u32 = 1;
const DONE: u32 = 4;

impl Lab {
    /// Calls a function of the kernel in a thread of the system process, and gives its value (RAX). The
    /// program has to be the requester, which stands at its prompt meanwhile, or sleeps if the function
    /// waits.
    ///
    /// # Errors
    /// Something stops the guest before the function returns. [`resume_kernel`](Lab::resume_kernel) goes
    /// on.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let mut lab = Lab::builder().requester().build()?;
    /// let current = lab.kernel_function("PsGetCurrentProcessId").unwrap();
    /// assert_eq!(lab.call_in_system_thread(current, &[])?, 4); // the system process
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_in_system_thread(
        &mut self,
        function: KernelFunction,
        arguments: &[u64],
    ) -> Result<u64, RequestError> {
        self.call_with_text(function, arguments, &[])
    }

    /// The same, with bytes that an argument may point to at [`kernel_text`](Lab::kernel_text).
    pub(super) fn call_with_text(
        &mut self,
        function: KernelFunction,
        arguments: &[u64],
        text: &[u8],
    ) -> Result<u64, RequestError> {
        let too_long = |what, given, unit, limit| RequestError::TooLong {
            what,
            given,
            unit,
            limit,
        };
        if arguments.len() > KERNEL_WORK_ARGUMENTS {
            let (given, limit) = (arguments.len(), KERNEL_WORK_ARGUMENTS);
            return Err(too_long("call", given, "arguments", limit));
        }
        // The end is for a number that the function gives.
        let limit = TEXT - size_of::<u64>();
        if text.len() > limit {
            return Err(too_long("text", text.len(), "bytes", limit));
        }
        let program = self.come_to_prompt(REQUEST_WORK)?;
        let at = self.work_place()?;
        if self.machine().read_u32(at)? != NONE {
            return Err(RequestError::Unfinished);
        }
        let mut words = [0; KERNEL_WORK_ARGUMENTS];
        words[..arguments.len()].copy_from_slice(arguments);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let routine = function.address().0.to_le_bytes();
        let machine = self.machine_mut();
        machine.write(at.wrapping_add(work::ROUTINE), &routine)?;
        machine.write(at.wrapping_add(work::ARGUMENTS), &bytes)?;
        machine.write(at.wrapping_add(work::TEXT), text)?;
        machine.write(at, &ASKED.to_le_bytes())?;
        match machine.interrupt(CLOCK_VECTOR) {
            Ok(()) => {}
            Err(InterruptError::Engine(error)) => return Err(error.into()),
            Err(InterruptError::Memory(fault)) => return Err(fault.into()),
            // The guest's kernel is another: it never comes to do it.
            Err(_) => return Err(RequestError::NotRequester),
        }
        self.finish_kernel_work(&program, at)
    }

    /// Where [`call_with_text`](Lab::call_with_text) puts its text.
    pub(super) fn kernel_text(&self) -> Result<Va, RequestError> {
        Ok(self.work_place()?.wrapping_add(work::TEXT))
    }

    /// Room for a number that a function gives through a pointer: the end of the text's.
    pub(super) fn kernel_number(&self) -> Result<Va, RequestError> {
        Ok(self
            .kernel_text()?
            .wrapping_add((TEXT - size_of::<u64>()) as u64))
    }

    /// The number that is there.
    pub(super) fn read_kernel_number(&self) -> Result<u32, RequestError> {
        Ok(self.machine().read_u32(self.kernel_number()?)?)
    }

    /// Goes on with a call that something has stopped, behind the break instruction that did if it was
    /// one, and gives the function's value.
    ///
    /// # Errors
    /// Nothing is to be resumed, or something stops the guest again.
    ///
    /// ```
    /// use poolhit::{Lab, guest::RequestError};
    /// let mut lab = Lab::builder().requester().build()?;
    /// assert!(matches!(lab.resume_kernel(), Err(RequestError::NothingToResume)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume_kernel(&mut self) -> Result<u64, RequestError> {
        let program = Program::of(self).ok_or(RequestError::NotRequester)?;
        let at = self.work_place()?;
        if self.machine().read_u32(at)? == NONE {
            return Err(RequestError::NothingToResume);
        }
        self.pass_break_instruction()?;
        self.finish_kernel_work(&program, at)
    }

    fn work_place(&self) -> Result<Va, RequestError> {
        self.kernel_symbol("ExpDebuggerWork")
            .ok_or(RequestError::NotRequester)
    }

    /// Runs until the function has returned and the program is at its prompt again.
    fn finish_kernel_work(&mut self, program: &Program, at: Va) -> Result<u64, RequestError> {
        let done = self.kernel_symbol("ExpDebuggerWorkDone");
        let end = self.machine().work().saturating_add(REQUEST_WORK);
        loop {
            let exit = self.run(end)?;
            let here = self.machine().registers().rip();
            let stopped_at_break = matches!(exit, Exit::HardcodedBreakpoint { .. });
            if stopped_at_break && Some(here) == done {
                self.pass_break_instruction()?;
                continue;
            }
            if !stopped_at_break || !self.is_at_prompt(program) {
                return Err(self.stop_reason(exit, REQUEST_WORK));
            }
            if self.machine().read_u32(at)? == DONE {
                self.machine_mut().write(at, &NONE.to_le_bytes())?;
                return Ok(self.machine().read_u64(at.wrapping_add(work::RESULT))?);
            }
            // It waits: let the guest's time pass.
            program.write(self, &Request::Sleep { milliseconds: NAP })?;
            self.pass_break_instruction()?;
        }
    }
}
