//! Single steps of a lab.

use super::lab::Lab;
use crate::machine::{EngineError, Exit, InterruptError, Stepped};

impl Lab {
    /// Executes one instruction; what faults is delivered to the kernel, as in [`run`](Lab::run), which
    /// is an interruption of the step.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do.
    ///
    /// ```
    /// use poolhit::{Lab, machine::{Exit, Stepped}};
    /// let mut lab = Lab::builder().build()?;
    /// let step = lab.step(u64::MAX)?;
    /// // the initial break instruction again
    /// assert!(matches!(step, Stepped::Stopped(Exit::HardcodedBreakpoint { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step(&mut self, work_limit: u64) -> Result<Stepped, EngineError> {
        self.refusal = None;
        let stepped = self.machine.step(work_limit)?;
        let Stepped::Stopped(exit @ Exit::Fault(fault)) = stepped else {
            return Ok(stepped);
        };
        if self.machine.privilege_level() != 0 {
            return Ok(stepped);
        }
        if self.answer_call(&fault)? {
            return Ok(Stepped::Stopped(Exit::Step));
        }
        if self.unprovided_use(&exit).is_some() {
            return Ok(stepped);
        }
        let registers = self.machine.registers();
        match self.machine.deliver_fault(&fault) {
            Ok(()) => Ok(Stepped::Interrupted {
                from: registers.rip(),
                stack: registers.rsp(),
                executed: false,
                faulted: true,
            }),
            Err(InterruptError::Engine(error)) => Err(error),
            Err(_) => Ok(stepped),
        }
    }
}
