//! The error code that a processor pushes with a fault; the engine does not tell it.

use super::Machine;
use super::exit::Fault;
use crate::address::Va;
use crate::memory::ReadMemory;
use crate::registers::{Gpr, Registers};
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, OpAccess, Register};

/// Bits of a page fault's error code (Intel SDM volume 3, 4.7).
mod bit {
    pub const PRESENT: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const USER: u32 = 4;
    pub const FETCH: u32 = 0x10;
}

/// The error code for a fault, for the vectors that have one; 0 where a selector would be named.
pub(super) fn error_code(machine: &Machine, fault: &Fault) -> Option<u32> {
    match (fault.vector, fault.accessed) {
        (14, Some(accessed)) => Some(page_fault_code(machine, fault.address, accessed)),
        (8 | 10..=14 | 17, _) => Some(0),
        _ => None,
    }
}

fn page_fault_code(machine: &Machine, rip: Va, accessed: Va) -> u32 {
    let mapped = machine.read_u8(accessed).is_ok();
    let mut code = if mapped { bit::PRESENT } else { 0 };
    if machine.privilege_level() == 3 {
        code |= bit::USER;
    }
    if !machine.can_execute(rip) {
        return code | bit::FETCH;
    }
    let mut bytes = [0; 15];
    let length = machine.read_partial(rip, &mut bytes);
    let registers = machine.registers();
    match accesses(rip, &bytes[..length], &registers, accessed) {
        Some(write) => code | if write { bit::WRITE } else { 0 },
        // not one of the instruction's operands: the instruction itself
        None if accessed - rip < 15 => code | bit::FETCH,
        None => code,
    }
}

/// Whether the instruction at `rip` writes the page of `accessed`; `None` if it does not use it.
fn accesses(rip: Va, bytes: &[u8], registers: &Registers, accessed: Va) -> Option<bool> {
    let instruction = Decoder::with_ip(64, bytes, rip.0, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut factory = InstructionInfoFactory::new();
    let value = |register: Register, _: usize, _: usize| {
        if register.is_segment_register() {
            return Some(0);
        }
        let number = register.full_register().number();
        Some(registers.get(Gpr::from_number(number as u8)))
    };
    let page = |address: u64| address >> 12;
    let mut found = None;
    for memory in factory.info(&instruction).used_memory() {
        let Some(start) = memory.virtual_address(0, value) else {
            continue;
        };
        let size = memory.memory_size().size().max(1) as u64;
        let end = start.wrapping_add(size - 1);
        if page(accessed.0) == page(start) || page(accessed.0) == page(end) {
            let write = matches!(
                memory.access(),
                OpAccess::Write
                    | OpAccess::CondWrite
                    | OpAccess::ReadWrite
                    | OpAccess::ReadCondWrite
            );
            found = Some(found.unwrap_or(false) | write);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_tell_reads_from_writes() {
        let mut registers = Registers::default();
        registers.set(Gpr::Rax, 0x5000);
        registers.set(Gpr::Rsp, 0x9008);
        registers.set(Gpr::Rdi, 0x6ff8);
        registers.set(Gpr::Rsi, 0x5000);
        for (bytes, accessed, expected) in [
            (&[0x48, 0x89, 0x18][..], 0x5000, Some(true)), // mov [rax], rbx
            (&[0x48, 0x8b, 0x18], 0x5000, Some(false)),    // mov rbx, [rax]
            (&[0x48, 0xff, 0x00], 0x5004, Some(true)),     // inc qword ptr [rax]
            (&[0x53], 0x9000, Some(true)),                 // push rbx
            (&[0x5b], 0x9008, Some(false)),                // pop rbx
            (&[0xf3, 0x48, 0xa5], 0x6ff8, Some(true)),     // rep movsq: the target
            (&[0xf3, 0x48, 0xa5], 0x5000, Some(false)),    // rep movsq: the source
            (&[0x90], 0x5000, None),                       // nop
            (&[], 0x5000, None),
        ] {
            assert_eq!(
                accesses(Va(0x1000), bytes, &registers, Va(accessed)),
                expected,
                "{bytes:x?}"
            );
        }
    }
}
