//! Single steps, and memory whose use stops the guest.

use super::unicorn::{Accesses, WatchedData};
use super::{EngineError, Exit, Machine};
use crate::address::Va;

/// What has come of a single step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stepped {
    /// The guest has stopped: with [`Exit::Step`] behind the instruction, with anything else as in a
    /// run.
    Stopped(Exit),
    /// An interrupt has come, and the guest is at its handler's first instruction.
    Interrupted {
        /// Where the guest was, and where the handler returns to.
        from: Va,
        /// The stack pointer there.
        stack: Va,
        /// The instruction has executed before that.
        executed: bool,
        /// The instruction has faulted: what handles that may go on somewhere else.
        faulted: bool,
    },
}

/// Which use of memory or ports stops the guest, as in the debug registers (Intel SDM volume 3,
/// 17.2.4): these have no kind for reads alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataAccess {
    /// Writes to memory.
    Write,
    /// Reads of memory and writes to it.
    ReadWrite,
    /// Input from ports and output to them.
    Port,
}

impl Machine {
    /// Executes one instruction, or less if something stops the guest before. A repeated string
    /// instruction is as many instructions as it has repetitions; a `syscall` ends at the kernel's
    /// entry. What has been said of [`run`](Machine::run) about breakpoints holds here, too; one at the
    /// instruction behind has been come to.
    ///
    /// Steps take the guest the same way as a run does: its state afterwards is that of a run which was
    /// stopped there.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do.
    ///
    /// ```
    /// use poolhit::{Lab, machine::{Exit, Stepped}};
    /// let mut lab = Lab::builder().build()?;
    /// let machine = lab.machine_mut();
    /// let mut registers = machine.registers();
    /// registers.rip += 1; // behind the initial break instruction is a ret
    /// let back = poolhit::memory::ReadMemory::read_va(machine, registers.rsp())?;
    /// machine.set_registers(&registers)?;
    /// assert_eq!(machine.step(u64::MAX)?, Stepped::Stopped(Exit::Step));
    /// assert_eq!(machine.instruction_pointer(), back);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step(&mut self, work_limit: u64) -> Result<Stepped, EngineError> {
        self.broken.map_or(Ok(()), Err)?;
        self.settle_fault()?;
        self.engine.begin_step()?;
        let exit = self.run_to_exit(work_limit);
        let executed = self.engine.end_step();
        let exit = exit?;
        let registers = self.engine.registers();
        if self.take_timer_interrupt(exit)? {
            return Ok(Stepped::Interrupted {
                from: registers.rip(),
                stack: registers.rsp(),
                executed: executed.is_some(),
                faulted: false,
            });
        }
        let at_next = |fault: &super::Fault| {
            fault.accessed == Some(fault.address)
                && executed.is_some_and(|at| at != fault.address.0)
        };
        let exit = match exit {
            // The instruction has gone to where none can be fetched, which is for the next step.
            Exit::Fault(fault) if at_next(&fault) => {
                self.settle_fault()?;
                Exit::Step
            }
            exit => exit,
        };
        let address = registers.rip();
        let breakpoint = exit == Exit::Step && self.breakpoints().any(|one| one == address);
        Ok(Stepped::Stopped(match breakpoint {
            true => Exit::Breakpoint { address },
            false => exit,
        }))
    }

    /// Stops the guest behind instructions that use these bytes of memory, or these ports, as the
    /// processor's debug registers do, with [`Exit::DataBreakpoint`]. Guest memory and the guest's debug
    /// registers do not show it. The guest is many times slower meanwhile.
    ///
    /// What the machine itself writes, such as the frames of interrupts, is not seen; an access through
    /// another mapping of the same page is. One with this number before is forgotten.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va, machine::{DataAccess, Exit}};
    /// let mut lab = Lab::builder().build()?;
    /// let machine = lab.machine_mut();
    /// let mut registers = machine.registers();
    /// registers.rip += 1;
    /// machine.set_registers(&registers)?;
    /// let word = registers.rsp();
    /// machine.watch_data(7, word, 8, DataAccess::ReadWrite)?;
    /// assert_eq!(machine.run(u64::MAX)?, Exit::DataBreakpoint { number: 7 });
    /// assert_eq!(machine.registers().rsp(), word.wrapping_add(8)); // behind the ret
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch_data(
        &mut self,
        number: usize,
        address: Va,
        length: u64,
        access: DataAccess,
    ) -> Result<(), EngineError> {
        let mut watched = self.watched_but(number);
        watched.push(WatchedData {
            number,
            address: address.0,
            length,
            accesses: match access {
                DataAccess::Write => Accesses::Writes,
                DataAccess::ReadWrite => Accesses::ReadsAndWrites,
                DataAccess::Port => Accesses::Ports,
            },
        });
        self.engine.watch_data(watched)
    }

    /// Watches the bytes with this number no more.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// lab.machine_mut().unwatch_data(7)?; // there is none
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unwatch_data(&mut self, number: usize) -> Result<(), EngineError> {
        let kept = self.watched_but(number);
        if kept.len() == self.engine.watched_data().len() {
            return Ok(());
        }
        self.engine.watch_data(kept)
    }

    fn watched_but(&self, number: usize) -> Vec<WatchedData> {
        let watched = self.engine.watched_data().iter();
        watched
            .filter(|one| one.number != number)
            .copied()
            .collect()
    }
}
