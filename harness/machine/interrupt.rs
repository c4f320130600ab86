//! Interrupts and exceptions delivered through the guest's own descriptor table, and the changes of
//! privilege level that this takes.

use super::exit::{Exit, Fault};
use super::timer::VECTOR;
use super::unicorn::{EngineError, Table};
use super::{Machine, fault_code};
use crate::address::Va;
use crate::memory::{FaultReason, MemoryFault, ReadMemory, WriteMemory, pages};
use crate::registers::{Gpr, Registers};

/// The interrupt flag in RFLAGS.
pub(super) const INTERRUPT_FLAG: u64 = 1 << 9;
const RESERVED_FLAG: u64 = 1 << 1;
/// What an interrupt clears on the way to its handler (Intel SDM volume 3, 6.12.1): IF, TF, NT, RF
/// and VM.
const CLEARED_BY_INTERRUPTS: u64 = INTERRUPT_FLAG | 1 << 8 | 1 << 14 | 1 << 16 | 1 << 17;

/// The exception of a fault that cannot be delivered.
const DOUBLE_FAULT: u8 = 8;
/// Offsets in the task state segment (Intel SDM volume 3, figure 8-11): the stack of ring 0, and in
/// front of the stacks that gates ask for, which are counted from 1.
const TASK_RSP0: u64 = 0x4;
const TASK_IST: u64 = 0x1c;

/// What an interrupt gate says.
struct Gate {
    handler: Va,
    /// The number of the stack that the handler wants; 0 for none of its own.
    stack: u8,
}

/// An interrupt could not be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InterruptError {
    /// The guest has interrupts off.
    #[error("the guest has interrupts disabled")]
    Masked,
    /// The guest has no handler for it.
    #[error("interrupt {vector:#x} has no gate in the guest's interrupt descriptor table")]
    NoGate {
        /// The interrupt's number.
        vector: u8,
    },
    /// The processor is in the middle of a system call, which the machine makes of several
    /// instructions.
    #[error("the processor is in the middle of an instruction")]
    InsideInstruction,
    /// The handler's gate or the stack is not in memory.
    #[error(transparent)]
    Memory(#[from] MemoryFault),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Machine {
    /// Delivers an interrupt through the guest's interrupt descriptor table, as the processor does
    /// between two instructions (Intel SDM volume 3, 6.14): onto ring 0's stack if the guest is in
    /// user mode. The next [`run`](Machine::run) starts in the handler.
    ///
    /// # Errors
    /// The guest has interrupts off, no gate for this one, or no stack for it.
    pub fn interrupt(&mut self, vector: u8) -> Result<(), InterruptError> {
        self.broken.map_or(Ok(()), Err)?;
        let registers = self.engine.registers();
        // In the gate's pages the processor is in the middle of what is one instruction.
        if registers.rflags & INTERRUPT_FLAG == 0 || self.gate.contains(registers.rip()) {
            return Err(InterruptError::Masked);
        }
        self.enter_handler(vector, None)
    }

    /// Delivers the timer's interrupt where a run has ended for it, or has halted with the timer set:
    /// then the time until it is due is skipped. Whether the guest goes on.
    pub(super) fn take_timer_interrupt(&mut self, exit: Exit) -> Result<bool, EngineError> {
        let Some(due) = self.engine.timer().due() else {
            return Ok(false);
        };
        let waits = match exit {
            Exit::Halt => !self
                .gate
                .contains(self.engine.registers().rip().wrapping_sub(1)),
            Exit::Limit => self.engine.timer_fired(),
            _ => false,
        };
        if !waits {
            return Ok(false);
        }
        match self.interrupt(VECTOR) {
            Ok(()) => self.engine.skip_to(due),
            Err(InterruptError::Engine(error)) => return Err(error),
            Err(InterruptError::Masked) if exit == Exit::Halt => return Ok(false),
            // Without a gate or a stack it is lost.
            Err(_) => {}
        }
        self.engine.take_timer();
        Ok(exit == Exit::Limit || self.engine.time() >= due)
    }

    /// Delivers the fault that the last run ended with through the guest's interrupt descriptor
    /// table, with the error code that the processor would push (Intel SDM volume 3, 6.13). Where the
    /// stack cannot take the frame, that is a double fault, which is delivered in its place (6.15,
    /// "Interrupt 8"): a guest that has a gate and a stack for it sees its stacks' ends.
    ///
    /// # Errors
    /// The guest has no gate for it, or no stack to push onto, not even a double fault's.
    pub fn deliver_fault(&mut self, fault: &Fault) -> Result<(), InterruptError> {
        let vector = u8::try_from(fault.vector).unwrap_or(u8::MAX);
        self.gate_of(vector)?;
        if self.gate.contains(fault.address) {
            return Err(InterruptError::InsideInstruction);
        }
        let code = fault_code::error_code(self, fault);
        self.settle_fault()?;
        match self.enter_handler(vector, code) {
            Err(InterruptError::Memory(fault)) if vector != DOUBLE_FAULT => {
                let doubled = self.enter_handler(DOUBLE_FAULT, Some(0));
                doubled.map_err(|error| match error {
                    InterruptError::Engine(_) => error,
                    _ => InterruptError::Memory(fault),
                })
            }
            delivered => delivered,
        }
    }

    /// Pushes the frame of an interrupt or exception and goes to its handler.
    fn enter_handler(&mut self, vector: u8, code: Option<u32>) -> Result<(), InterruptError> {
        let before = self.engine.registers();
        let Gate { handler, stack } = self.gate_of(vector)?;
        let ring = self.privilege_level();
        let (cs, ss) = (self.engine.code_selector(), self.engine.stack_selector());
        let task = Va(self.engine.table(Table::Task).base);
        let top = match (stack, ring) {
            (0, 3) => self.read_u64(task.wrapping_add(TASK_RSP0))?,
            (0, _) => before.rsp().0,
            (number, _) => self.read_u64(task.wrapping_add(TASK_IST + u64::from(number) * 8))?,
        };
        let words = [
            before.rip,
            cs.into(),
            before.rflags,
            before.rsp().0,
            ss.into(),
        ];
        let words: Vec<u64> = code.map(u64::from).into_iter().chain(words).collect();
        let frame = (top & !0xf).wrapping_sub(words.len() as u64 * 8);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        // The way to ring 0 uses the same stack, so look before going it. Without a stack to push
        // onto, the processor would give up.
        for (at, part) in pages(Va(frame), bytes.len()) {
            if !self.translate(at, part.start)?.write {
                let reason = FaultReason::ReadOnly;
                return Err(MemoryFault {
                    address: at,
                    reason,
                    done: part.start,
                }
                .into());
            }
        }
        if ring == 3 {
            self.enter_ring_0()?;
        }
        self.write(Va(frame), &bytes)?;
        let mut after = before;
        after.set(Gpr::Rsp, frame);
        after.rip = handler.0;
        after.rflags &= !CLEARED_BY_INTERRUPTS;
        self.engine.set_registers(&after)?;
        Ok(())
    }

    /// An interrupt gate (Intel SDM volume 3, figure 6-8).
    fn gate_of(&self, vector: u8) -> Result<Gate, InterruptError> {
        let table = self.engine.table(Table::Idt);
        let offset = u64::from(vector) * 16;
        if offset + 15 > u64::from(table.limit) {
            return Err(InterruptError::NoGate { vector });
        }
        let at = Va(table.base).wrapping_add(offset);
        let (low, high) = (self.read_u64(at)?, self.read_u64(at.wrapping_add(8))?);
        if low >> 47 & 1 == 0 {
            return Err(InterruptError::NoGate { vector });
        }
        Ok(Gate {
            handler: Va(low & 0xffff | low >> 32 & 0xffff_0000 | high << 32),
            stack: (low >> 32 & 7) as u8,
        })
    }

    /// Makes the engine forget a fault that it still takes for being delivered.
    pub(super) fn settle_fault(&mut self) -> Result<(), EngineError> {
        if std::mem::take(&mut self.fault_pending) {
            let ring = self.privilege_level();
            self.engine.forget_fault()?;
            if ring == 3 {
                // Where that fails the processor is left in ring 0.
                let entered = self.enter_ring_3();
                self.broken = self.broken.or(entered.err());
                entered?;
            }
        }
        Ok(())
    }

    /// Goes from ring 0 to ring 3 with all registers but the segments unchanged: by an `iretq` to
    /// an `int 3` in the user page.
    fn enter_ring_3(&mut self) -> Result<(), EngineError> {
        let kept = self.engine.registers();
        let landing = self.gate.user_landing();
        let frame = [landing.0, 0x33, RESERVED_FLAG, kept.rsp().0, 0x2b];
        let bytes: Vec<u8> = frame.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write_gate(self.gate.frame(), &bytes)?;
        let mut registers = kept.clone();
        registers.set(Gpr::Rsp, self.gate.frame().0);
        // The guest's flags might trap after each instruction, or make the `iretq` a task switch.
        registers.rflags = RESERVED_FLAG;
        self.engine.set_registers(&registers)?;
        let exit = self.engine.run_aside(self.gate.iret())?;
        self.changed_ring(exit, Exit::HardcodedBreakpoint { address: landing }, &kept)
    }

    /// Goes from ring 3 to ring 0 with all registers but the segments unchanged: through the gate
    /// to a `hlt`.
    fn enter_ring_0(&mut self) -> Result<(), EngineError> {
        let kept = self.engine.registers();
        self.write_gate(self.gate.entry(), &self.gate.halt().0.to_le_bytes())?;
        let mut registers = kept.clone();
        registers.rflags = RESERVED_FLAG;
        self.engine.set_registers(&registers)?;
        let exit = self.engine.run_aside(self.gate.user_page)?;
        self.write_gate(self.gate.entry(), &self.system_call_entry.to_le_bytes())?;
        self.changed_ring(exit, Exit::Halt, &kept)
    }

    fn changed_ring(
        &mut self,
        exit: Exit,
        wanted: Exit,
        registers: &Registers,
    ) -> Result<(), EngineError> {
        self.engine.set_registers(registers)?;
        if exit == wanted {
            return Ok(());
        }
        let error = EngineError {
            doing: "change the privilege level",
            reason: "the guest has overwritten its descriptor tables or a stack",
        };
        // In ring 3, nothing has happened yet but perhaps a fault. Elsewhere the guest's next
        // instruction would run with the wrong privileges, so it never does.
        self.fault_pending = true;
        if self.privilege_level() != 3 {
            self.broken = Some(error);
        }
        Err(error)
    }

    /// Writes into the kernel page of the gate.
    pub(super) fn write_gate(&mut self, address: Va, bytes: &[u8]) -> Result<(), EngineError> {
        self.write(address, bytes).map_err(|_| EngineError {
            doing: "change the privilege level",
            reason: "the guest has unmapped the machine's own page",
        })
    }
}
