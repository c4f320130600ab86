//! Going on instruction by instruction, and to places.
//!
//! A step is the processor's own: an interrupt that comes is not seen, since a processor that traps
//! after each instruction does not do so in the handler, and an exception's handling neither. Behind a
//! `syscall` such a processor would not trap any more (the kernel masks the flag); this one goes on
//! with the kernel's first instruction.

use super::control::{Motion, Place};
use super::session::{Session, SessionError};
use super::steps::{Steps, is_stepped_over};
use super::stop::Stop;
use crate::address::Va;
use crate::disasm::{MAX_INSTRUCTION_LENGTH, effective_addresses};
use crate::machine::{Exit, Stepped};
use crate::memory::ReadMemory;
use crate::registers::Registers;

/// What a step takes of the budget on top of the code retired, so that no number of them takes for
/// ever: a step takes the host some microseconds.
const STEP_WORK: u64 = 1 << 10;
/// How far above the place of a fault its stack may go on, in bytes: the size of a kernel's stack.
const STACK_SIZE: u64 = 0x6000;

impl Session {
    /// Takes steps, under a fresh budget, until they end or something else stops the guest.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do.
    ///
    /// ```
    /// use poolhit::{Lab, Session, debugger::{StepEnd, Steps}};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.step(&Steps { over: true, end: StepEnd::Return, count: 1 })?;
    /// assert_eq!(session.instruction(session.registers().rip()).mnemonic(), "ret");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step(&mut self, steps: &Steps) -> Result<Stop, SessionError> {
        self.start_budget();
        let mut motion = Motion::step(*steps);
        let stop = loop {
            match self.advance(&mut motion) {
                Ok((_, false)) => {}
                Ok((stop, true)) => break Ok(stop),
                Err(error) => break Err(error),
            }
        };
        self.end_run();
        stop
    }

    /// Goes on until the function of the current frame has returned (`gu`), under a fresh budget.
    /// `None` if it has no caller.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("ed nt!PoolHitTag 3261654c; g")?;
    /// let caller = session.stack(2).frames[0].return_address;
    /// assert_eq!(session.step_out()?.unwrap().address, caller);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step_out(&mut self) -> Result<Option<Stop>, SessionError> {
        let Some(place) = self.caller() else {
            return Ok(None);
        };
        self.start_budget();
        let stop = self.advance(&mut Motion::to(vec![place]));
        self.end_run();
        Ok(Some(stop?.0))
    }

    /// Puts the guest to another instruction: it goes on from there. What it stands at is not passed
    /// then, but executed.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let behind = session.registers().rip().wrapping_add(1);
    /// session.set_instruction_pointer(behind)?;
    /// assert_eq!(session.registers().rip(), behind);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_instruction_pointer(&mut self, address: Va) -> Result<(), SessionError> {
        let machine = self.lab.machine_mut();
        let mut registers = machine.registers();
        registers.rip = address.0;
        machine.set_registers(&registers)?;
        self.stopped_at = None;
        Ok(())
    }

    /// Where the function of the current frame returns to.
    pub(crate) fn caller(&self) -> Option<Place> {
        let stack = self.stack(self.control.frame + 2);
        let [.., callee, caller] = stack.frames.as_slice() else {
            return None;
        };
        (stack.frames.len() == self.control.frame + 2).then_some(Place {
            address: callee.return_address,
            stack: Some(caller.child_sp),
            thread: self.current_thread(),
        })
    }

    /// Whoever goes on looks from where the guest stands.
    pub(super) fn start_motion(&mut self) -> Result<(), SessionError> {
        self.control.reset_context();
        let event = self.control.event.take();
        self.control.exception = None;
        if event.is_some_and(|event| event.handled) {
            self.handle_exception()?;
        }
        self.control.stepped_onto = false;
        self.control.effective.clear();
        self.next_listing = None;
        self.forced_break = false;
        self.start_printing();
        Ok(())
    }

    /// Whether the last stop is an event that the guest goes on from by itself.
    pub(crate) fn goes_on_behind(&self) -> bool {
        self.control
            .event
            .as_ref()
            .is_some_and(|event| !event.breaks)
    }

    /// Goes on: as far as the motion says, or one of its steps. Gives the stop, and whether the
    /// motion is at its end.
    pub(crate) fn advance(&mut self, motion: &mut Motion) -> Result<(Stop, bool), SessionError> {
        let exit = match motion {
            Motion::Go { places } if places.is_empty() => {
                let stop = self.resume()?;
                return Ok((stop, !self.goes_on_behind()));
            }
            Motion::Same => {
                let stop = self.resume()?;
                return Ok((stop, !self.goes_on_behind()));
            }
            Motion::Go { places } => {
                self.start_motion()?;
                self.pass_break_instruction()?;
                let watched = self.watch_events()?;
                let exit = self.run_to(places);
                self.unwatch_events(watched)?;
                exit
            }
            Motion::Step {
                steps,
                left,
                counted,
                under_way,
                ..
            } => {
                self.start_motion()?;
                let before = self.instruction(self.lab.machine().instruction_pointer());
                let watched = self.watch_events()?;
                let exit = self.take_step(steps.over, under_way);
                self.unwatch_events(watched)?;
                self.budget_end = self.budget_end.map(|end| end.saturating_sub(STEP_WORK));
                let at = self.instruction(self.lab.machine().instruction_pointer());
                if matches!(exit, Ok(Exit::Step)) {
                    *under_way = None;
                    let jumped = at.address != before.next_address();
                    *counted = steps.end_at(&at, jumped);
                    *left -= u64::from(*counted);
                    if *left > 0 {
                        self.collect_printed();
                        return Ok((self.note_stop(Exit::Step), false));
                    }
                }
                exit
            }
        };
        self.collect_printed();
        let exit = exit?;
        self.modules = self.lab.modules();
        self.resolve_breakpoints()?;
        let stop = self.note_stop(exit);
        Ok((stop, !self.goes_on_behind()))
    }

    /// One step, or the rest of one. `Exit::Step` if nothing else has stopped the guest.
    fn take_step(
        &mut self,
        over: bool,
        under_way: &mut Option<Place>,
    ) -> Result<Exit, SessionError> {
        if let Some(end) = *under_way {
            self.pass_break_instruction()?;
            return self.run_to(&[end]);
        }
        if self.pass_break_instruction()? {
            let here = self.lab.machine().instruction_pointer();
            if self.breakpoints.at(here).is_none() {
                return Ok(Exit::Step);
            }
            // The guest has come to it.
            self.lab.machine_mut().set_breakpoint(here)?;
            return Ok(self.step_onto(Exit::Breakpoint { address: here }));
        }
        let registers = self.lab.machine().registers();
        let instruction = self.instruction(registers.rip());
        if over && is_stepped_over(&instruction) {
            let end = Place {
                address: instruction.next_address(),
                stack: Some(registers.rsp()),
                thread: self.current_thread(),
            };
            *under_way = Some(end);
            return self.run_to(&[end]);
        }
        let addresses = self.effective_addresses(&registers);
        let exit = self.take_instruction()?;
        let executed = matches!(
            exit,
            Exit::Step | Exit::Breakpoint { .. } | Exit::DataBreakpoint { .. }
        );
        if executed && !self.forced_break {
            self.control.effective = addresses;
        }
        Ok(self.step_onto(exit))
    }

    /// The effective addresses of the instruction that is next.
    fn effective_addresses(&self, registers: &Registers) -> Vec<Va> {
        const FS_BASE: u32 = 0xc000_0100;
        let machine = self.lab.machine();
        let fs = machine.read_msr(FS_BASE).unwrap_or(0);
        let mut code = [0; MAX_INSTRUCTION_LENGTH];
        let length = machine.read_partial(registers.rip(), &mut code);
        let bases = [Va(fs), machine.gs_base()];
        effective_addresses(registers.rip(), &code[..length], registers, bases)
    }

    /// What a breakpoint at a step's end makes of it. It is not counted, and its commands are not
    /// executed, "if you are stepping through the code" ("bp, bu, bm (Set Breakpoint)" in the debugger's
    /// manual).
    fn step_onto(&mut self, exit: Exit) -> Exit {
        let found = match exit {
            _ if self.forced_break => return exit,
            Exit::Breakpoint { address } => self.breakpoints.at(address),
            Exit::DataBreakpoint { number } => self.breakpoints.get(number),
            _ => return exit,
        };
        if self.control.event.is_some() {
            return exit;
        }
        let counts = found.is_none_or(|one| one.passes_left <= 1 && self.fits(one).unwrap_or(true));
        self.control.stepped_onto = counts;
        if counts { exit } else { Exit::Step }
    }

    /// One instruction, with what the guest does about an interrupt or an exception on the way.
    fn take_instruction(&mut self) -> Result<Exit, SessionError> {
        loop {
            let work = self.lab.machine().work();
            let asked = self.break_in.take() || self.break_in_at.is_some_and(|at| work >= at);
            if asked {
                self.break_in_at = None;
                self.forced_break = true;
                let address = self.lab.machine().instruction_pointer();
                return Ok(Exit::Breakpoint { address });
            }
            let end = self.budget_end.unwrap_or(u64::MAX);
            if work >= end {
                return Ok(Exit::Limit);
            }
            let thread = self.current_thread();
            let (place, executed) = match self.lab.step(end)? {
                Stepped::Stopped(exit) if self.passes_event(&exit)? => return Ok(Exit::Step),
                Stepped::Stopped(exit) => return Ok(exit),
                Stepped::Interrupted {
                    from,
                    stack,
                    executed,
                    faulted,
                } => {
                    let stack = Some(stack);
                    let place = Place {
                        address: from,
                        stack,
                        thread,
                    };
                    if faulted {
                        return self.see_handled(place);
                    }
                    (place, executed)
                }
            };
            match self.run_to(&[place])? {
                Exit::Step if executed => return Ok(Exit::Step),
                Exit::Step => {}
                exit => return Ok(exit),
            }
        }
    }

    /// Goes on from the start of a fault's handling to where the code goes on that has faulted: at
    /// the same instruction or, if a handler has taken the exception, there.
    fn see_handled(&mut self, fault: Place) -> Result<Exit, SessionError> {
        let stack = fault.stack.unwrap_or_default();
        loop {
            let end = self.budget_end.unwrap_or(u64::MAX);
            if self.lab.machine().work() >= end {
                return Ok(Exit::Limit);
            }
            self.budget_end = self.budget_end.map(|end| end.saturating_sub(STEP_WORK / 4));
            match self.lab.step(end)? {
                Stepped::Stopped(Exit::Step) | Stepped::Interrupted { .. } => {}
                // a step is not in the way of what the guest does about an exception
                Stepped::Stopped(exit) if self.passes_event(&exit)? => {}
                Stepped::Stopped(exit) => match &self.control.event {
                    Some(event) if !event.breaks => self.control.event = None,
                    _ => return Ok(exit),
                },
            }
            let here = self.lab.machine().registers().rsp();
            let back = here.wrapping_sub(stack.0).0 < STACK_SIZE;
            if back && self.current_thread() == fault.thread {
                return Ok(Exit::Step);
            }
        }
    }

    /// Runs the guest to one of these places: `Exit::Step` if it comes there.
    fn run_to(&mut self, places: &[Place]) -> Result<Exit, SessionError> {
        let machine = self.lab.machine_mut();
        let known: Vec<Va> = machine.breakpoints().collect();
        let mut added = Vec::new();
        for place in places {
            if !known.contains(&place.address) && !added.contains(&place.address) {
                machine.set_breakpoint(place.address)?;
                added.push(place.address);
            }
        }
        self.control.going_to = places.iter().map(|place| place.address).collect();
        let exit = self.run_to_place(places);
        self.control.going_to.clear();
        for address in added {
            self.lab.machine_mut().clear_breakpoint(address)?;
        }
        exit
    }

    /// Whether the guest stands where a motion ends.
    pub(crate) fn arrives(&self, motion: &Motion) -> bool {
        matches!(motion, Motion::Go { places } if self.is_at(places))
    }

    /// Whether the guest stands at one of these places.
    fn is_at(&self, places: &[Place]) -> bool {
        let registers = self.lab.machine().registers();
        let thread = self.current_thread();
        places.iter().any(|place| {
            place.address == registers.rip()
                && place.stack.is_none_or(|wanted| wanted == registers.rsp())
                && (place.thread.is_none() || place.thread == thread)
        })
    }

    fn run_to_place(&mut self, places: &[Place]) -> Result<Exit, SessionError> {
        loop {
            let exit = self.run()?;
            let Exit::Breakpoint { address } = exit else {
                if self.counts(&exit)? {
                    return Ok(exit);
                }
                self.charge_stop();
                continue;
            };
            if self.forced_break || self.control.event.is_some() {
                return Ok(exit);
            }
            let there = self.is_at(places);
            let set = self.breakpoints.at(address).is_some();
            if set && self.counts(&exit)? {
                return Ok(exit);
            }
            if there {
                return Ok(Exit::Step);
            }
            self.charge_stop();
        }
    }
}
