//! Calls of functions that the lab provides itself, from the guest's call to its return.

use super::lab::Lab;
use super::unprovided::{Answer, BoundImport, BoundImports, UnprovidedUse, UseKind};
use crate::address::Va;
use crate::machine::{EngineError, Exit, Fault, Machine};
use crate::memory::{MemoryFault, ReadMemory, WriteMemory};
use crate::registers::{Gpr, Registers};
use std::sync::Arc;

/// What a call of a function that the lab provides takes of a run's budget, on top of the code
/// retired: stopping the engine takes some microseconds.
pub const PROVIDED_CALL_WORK: u64 = 1 << 10;

/// The processor's number for a page fault.
const PAGE_FAULT: u32 = 14;

/// A call that the guest makes to a function that the lab provides: its arguments, and the guest's
/// memory. See [`LabBuilder::provide`](super::LabBuilder::provide).
///
/// ```
/// use poolhit::{Lab, Session, StopReason, memory::ReadMemory, registers::Gpr};
/// // The pool has nothing for the driver, and the program counts that.
/// let lab = Lab::builder().provide("ExAllocatePoolWithTag", |call| {
///     assert_eq!((call.module(), call.function().as_str()), ("ntoskrnl.exe", "ExAllocatePoolWithTag"));
///     assert_eq!(call.argument(2)?, call.registers().get(Gpr::Rdx));
///     assert!(call.caller()?.is_kernel() && call.read_u8(call.caller()?).is_ok());
///     Ok(0)
/// });
/// let stop = Session::new(lab.build()?).go()?;
/// assert!(matches!(stop.reason, StopReason::Idle { exit_status: Some(1..) }), "{stop:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Call<'a> {
    machine: &'a mut Machine,
    import: &'a BoundImport,
    registers: Registers,
}

impl Call<'_> {
    /// The image that the function was to come from, as the importing image spells it.
    pub fn module(&self) -> &str {
        &self.import.dll
    }

    /// The function's name, or `#` and its ordinal.
    pub fn function(&self) -> String {
        self.import.function.to_string()
    }

    /// An argument, counted from 1: an integer or a pointer, in Microsoft's x64 calling convention
    /// (RCX, RDX, R8, R9, then the stack). The bits above a narrower type's are whatever the caller
    /// left there. Floating-point arguments are in [`registers`](Call::registers).
    ///
    /// # Errors
    /// The stack cannot be read.
    ///
    /// # Panics
    /// `number` is 0.
    pub fn argument(&self, number: usize) -> Result<u64, MemoryFault> {
        assert!(number > 0, "arguments are counted from 1");
        match number {
            1 => Ok(self.registers.get(Gpr::Rcx)),
            2 => Ok(self.registers.get(Gpr::Rdx)),
            3 => Ok(self.registers.get(Gpr::R8)),
            4 => Ok(self.registers.get(Gpr::R9)),
            _ => {
                // Above the return address there is room for the first four.
                let offset = (number as u64).saturating_mul(8);
                self.read_u64(self.registers.rsp().wrapping_add(offset))
            }
        }
    }

    /// The return address.
    ///
    /// # Errors
    /// The stack cannot be read.
    pub fn caller(&self) -> Result<Va, MemoryFault> {
        self.read_va(self.registers.rsp())
    }

    /// The processor's registers at the function's first instruction.
    pub fn registers(&self) -> &Registers {
        &self.registers
    }
}

impl ReadMemory for Call<'_> {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        self.machine.read(address, buffer)
    }
}

/// Writes whatever the pages' protection.
impl WriteMemory for Call<'_> {
    fn write(&mut self, address: Va, bytes: &[u8]) -> Result<(), MemoryFault> {
        self.machine.write(address, bytes)
    }
}

impl Lab {
    /// Returns from a function that the lab provides, if that is what the guest has called; `false`
    /// if it is not, or the lab's closure refuses.
    pub(super) fn answer_call(&mut self, fault: &Fault) -> Result<bool, EngineError> {
        let imports = Arc::clone(&self.imports);
        let Some((import, 0)) = self.accessed_import(fault, &imports) else {
            return Ok(false);
        };
        let Some(answer) = &import.answer else {
            return Ok(false);
        };
        if fault.accessed != Some(fault.address) {
            return Ok(false);
        }
        match self.call_provider(import, answer) {
            Ok(mut registers) => {
                registers.set(Gpr::Rsp, registers.rsp().0.wrapping_add(8));
                self.machine.set_registers(&registers)?;
                self.machine.charge(PROVIDED_CALL_WORK);
                Ok(true)
            }
            Err(reason) => {
                self.refusal = Some(reason);
                Ok(false)
            }
        }
    }

    /// The registers behind the call, but for the stack pointer; or why there is no way there.
    fn call_provider(
        &mut self,
        import: &BoundImport,
        answer: &Answer,
    ) -> Result<Registers, String> {
        let mut registers = self.machine.registers();
        let back = self
            .machine
            .read_va(registers.rsp())
            .map_err(|fault| format!("the return address cannot be read: {fault}"))?;
        let value = match answer {
            Answer::Constant(value) => *value,
            Answer::Provider(provider) => {
                let mut call = Call {
                    machine: &mut self.machine,
                    import,
                    registers: registers.clone(),
                };
                provider(&mut call).map_err(|error| error.to_string())?
            }
        };
        registers.set(Gpr::Rax, value);
        registers.rip = back.0;
        Ok(registers)
    }

    /// The import that a fault in the kernel's side is about, and the distance from its address.
    fn accessed_import<'a>(
        &self,
        fault: &Fault,
        imports: &'a BoundImports,
    ) -> Option<(&'a BoundImport, u64)> {
        let accessed = fault.accessed.filter(|_| fault.vector == PAGE_FAULT)?;
        let found = imports.at(accessed)?;
        (self.machine.privilege_level() == 0).then_some(found)
    }

    /// Which import that nobody provides the last run ended at, if that is why it ended.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let mut lab = Lab::builder().build()?;
    /// let work = lab.machine().work();
    /// let exit = lab.run(work + 100)?;
    /// assert_eq!(lab.unprovided_use(&exit), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unprovided_use(&self, exit: &Exit) -> Option<UnprovidedUse> {
        let Exit::Fault(fault) = exit else {
            return None;
        };
        let (import, offset) = self.accessed_import(fault, &self.imports)?;
        let called = fault.accessed == Some(fault.address);
        let (caller, kind) = match &self.refusal {
            _ if !called => (Some(fault.address), UseKind::Access { offset }),
            refusal => {
                let stack = self.machine.registers().rsp();
                let kind = refusal
                    .clone()
                    .map_or(UseKind::Call, |reason| UseKind::Refused { reason });
                (self.machine.read_va(stack).ok(), kind)
            }
        };
        Some(UnprovidedUse::new(import, caller, kind))
    }
}
