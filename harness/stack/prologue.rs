//! Undoing a prologue, unwind code by unwind code.

use super::records::Function;
use super::unwinder::StepError;
use crate::address::{Rva, Va};
use crate::image::unwind_code::UnwindOperation;
use crate::image::unwind_info::UnwindInfoError;
use crate::memory::{MemoryFault, ReadMemory};
use crate::registers::{Gpr, Registers};

/// What the stack pointer points to after a prologue was undone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Below {
    /// The return address.
    ReturnAddress,
    /// The interrupted code's stack: a machine frame has given RIP, RSP and RFLAGS back.
    Interrupted,
}

/// Undoes what the function's prologue has done by the time the processor is at `rva`, and what the
/// prologues of the records it is chained to did.
///
/// As `RtlVirtualUnwind`, with two refinements. The frame register is taken from further up the
/// chain where a record names none. And without a frame register, the saves of a chained record's
/// parent are found from the stack pointer that the parent had, which differs where the chained
/// record itself allocates.
pub(super) fn undo(
    function: &Function,
    rva: Rva,
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<Below, StepError> {
    let mut below = Below::ReturnAddress;
    let mut records = function.records();
    let mut is_own = true;
    loop {
        let here = records.clone();
        let Some(record) = records.next() else {
            return Ok(below);
        };
        let record = record?;
        // Only the function's own prologue can be half done. Code in front of the record's range
        // (possible through an indirect record) wraps to an offset behind any prologue.
        let reached = is_own.then(|| rva.0.wrapping_sub(record.function.begin.0));
        is_own = false;
        let frame = here.frame_register(reached)?;
        let base = match frame {
            Some(frame) => registers
                .get(frame.register)
                .wrapping_sub(u64::from(frame.offset)),
            None => registers.rsp().0,
        };
        for code in record.info.codes() {
            let code = code?;
            if reached.is_some_and(|reached| u32::from(code.prologue_offset) > reached) {
                continue;
            }
            match code.operation {
                UnwindOperation::PushNonvolatile(register) => pop(register, registers, memory)?,
                UnwindOperation::Allocate(bytes) => {
                    let rsp = registers.rsp().wrapping_add(u64::from(bytes));
                    registers.set(Gpr::Rsp, rsp.0);
                }
                UnwindOperation::SetFrameRegister => {
                    if frame.is_none() {
                        let rva = record.info.rva();
                        return Err(UnwindInfoError::NoFrameRegister { rva }.into());
                    }
                    registers.set(Gpr::Rsp, base);
                }
                UnwindOperation::SaveNonvolatile { register, offset } => {
                    let at = base.wrapping_add(u64::from(offset));
                    registers.set(register, memory.read_u64(Va(at))?);
                }
                UnwindOperation::SaveXmm128 { register, offset } => {
                    let at = base.wrapping_add(u64::from(offset));
                    let mut bytes = [0; 16];
                    memory.read(Va(at), &mut bytes)?;
                    registers.xmm[usize::from(register & 15)] = u128::from_le_bytes(bytes);
                }
                UnwindOperation::PushMachineFrame { error_code } => {
                    let rsp = registers.rsp().wrapping_add(u64::from(error_code) * 8);
                    registers.set(Gpr::Rsp, rsp.0);
                    interrupt_return(registers, memory)?;
                    below = Below::Interrupted;
                }
                UnwindOperation::Spare => {}
            }
        }
    }
}

/// Does what `pop` does.
pub(super) fn pop(
    register: Gpr,
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<(), MemoryFault> {
    let rsp = registers.rsp();
    let value = memory.read_u64(rsp)?;
    registers.set(Gpr::Rsp, rsp.wrapping_add(8).0);
    registers.set(register, value);
    Ok(())
}

/// Does what a near `ret` does.
pub(super) fn near_return(
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<(), MemoryFault> {
    let rsp = registers.rsp();
    registers.rip = memory.read_u64(rsp)?;
    registers.set(Gpr::Rsp, rsp.wrapping_add(8).0);
    Ok(())
}

/// Does what `iretq` does (Intel SDM volume 3, 6.14.3): RIP, CS, RFLAGS, RSP and SS lie in this
/// order from the stack pointer up.
pub(super) fn interrupt_return(
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<(), MemoryFault> {
    let frame = registers.rsp();
    let rip = memory.read_u64(frame)?;
    let rflags = memory.read_u64(frame.wrapping_add(16))?;
    let rsp = memory.read_u64(frame.wrapping_add(24))?;
    registers.rip = rip;
    registers.rflags = rflags;
    registers.set(Gpr::Rsp, rsp);
    Ok(())
}
