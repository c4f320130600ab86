//! Running the guest: in slices, so that it can be broken into.

use super::session::{Session, SessionError};
use crate::machine::debug_port::BREAK_IN;
use crate::machine::{Exit, InterruptError};

/// How much the guest runs before the session looks whether someone wants to break in, in bytes of
/// code retired. Some ten milliseconds.
const SLICE: u64 = 4 << 20;
/// How far a guest that has interrupts off may run on before a break-in stops it where it is.
const MASKED_WORK: u64 = 1 << 20;
/// The longest run between two tries to break into such a guest.
const MASKED_SLICE: u64 = 1 << 12;
/// The vector of the clock interrupt (the HAL's on Windows 7 x64), at which a kernel polls its
/// debugger.
const CLOCK_VECTOR: u8 = 0xd1;

impl Session {
    /// Runs the guest to its next stop, within the budget in force.
    pub(super) fn run(&mut self) -> Result<Exit, SessionError> {
        let charged = self.lab.machine().charged();
        let exit = self.run_within(charged);
        let charged = self.lab.machine().charged() - charged;
        self.budget_end = self.budget_end.map(|end| end.saturating_sub(charged));
        exit
    }

    /// Runs in slices, so that a break-in is noticed. `charged` is what had been charged before.
    fn run_within(&mut self, charged: u64) -> Result<Exit, SessionError> {
        let budget_end = self.budget_end.unwrap_or(u64::MAX);
        loop {
            let machine = self.lab.machine();
            let work = machine.work();
            let budget_end = budget_end.saturating_sub(machine.charged() - charged);
            if work >= budget_end {
                return Ok(Exit::Limit);
            }
            let break_in_at = self.break_in_at.unwrap_or(u64::MAX);
            if work >= break_in_at || self.break_in.take() {
                self.break_in_at = None;
                if let Some(exit) = self.interrupt(budget_end)? {
                    return Ok(exit);
                }
                continue;
            }
            let limit = work.saturating_add(SLICE).min(budget_end).min(break_in_at);
            match self.lab.run(limit)? {
                Exit::Limit => {
                    self.collect_printed();
                    self.progress.pass_slice(self.lab.machine().work());
                }
                exit if self.passes_event(&exit)? => {}
                exit if self.passes_prompt(&exit)? => {}
                exit => return Ok(exit),
            }
        }
    }

    /// Delivers the clock interrupt with a break-in waiting at the debug port. If the guest has
    /// interrupts off it runs on until it has not; one that keeps them off, or has no handler, is
    /// stopped where it is. If something else stops it first, the break-in is still to come.
    fn interrupt(&mut self, budget_end: u64) -> Result<Option<Exit>, SessionError> {
        let end = self.lab.machine().work().saturating_add(MASKED_WORK);
        let mut slice = 1;
        loop {
            let machine = self.lab.machine_mut();
            match machine.interrupt(CLOCK_VECTOR) {
                Ok(()) => {
                    machine.send_to_debug_port(BREAK_IN);
                    return Ok(None);
                }
                Err(InterruptError::Engine(error)) => return Err(error.into()),
                Err(InterruptError::Masked) if machine.work() < end => {
                    let next = machine.work().saturating_add(slice).min(budget_end);
                    match self.lab.run(next)? {
                        Exit::Limit if self.lab.machine().work() < budget_end => {
                            slice = MASKED_SLICE.min(slice * 2);
                        }
                        exit => {
                            self.break_in_at = Some(next);
                            return Ok(Some(exit));
                        }
                    }
                }
                Err(_) => {
                    let address = machine.registers().rip();
                    self.forced_break = true;
                    return Ok(Some(Exit::Breakpoint { address }));
                }
            }
        }
    }
}
