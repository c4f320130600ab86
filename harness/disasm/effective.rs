//! The addresses that an instruction's operands have.

use crate::address::Va;
use crate::registers::{Gpr, Registers};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};

/// The most bytes of an operand that has a value in a listing: a vector register's.
const MOST_BYTES: usize = 32;

/// The segment of a memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Segment {
    Cs,
    Ss,
    Ds,
    Es,
    Fs,
    Gs,
}

/// What an instruction reads or writes in memory by an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryOperand {
    /// Its segment.
    pub segment: Segment,
    /// Its place in the segment.
    pub offset: Va,
    /// Its bytes, 1 to 32.
    pub size: usize,
}

/// The memory operand of the instruction at the start of `code`, which lies at `address`. String instructions
/// have none here, nor have those that only compute an address.
///
/// ```
/// use poolhit::{address::Va, registers::{Gpr, Registers}};
/// use poolhit::disasm::{MemoryOperand, Segment, memory_operand};
/// let mut registers = Registers::default();
/// registers.set(Gpr::Rsp, 0x1000);
/// // mov qword ptr [rsp+8],rcx
/// let operand = memory_operand(Va(0), &[0x48, 0x89, 0x4c, 0x24, 8], &registers);
/// let expected = MemoryOperand { segment: Segment::Ss, offset: Va(0x1008), size: 8 };
/// assert_eq!(operand, Some(expected));
/// ```
pub fn memory_operand(address: Va, code: &[u8], registers: &Registers) -> Option<MemoryOperand> {
    let instruction = Decoder::with_ip(64, code, address.0, DecoderOptions::NONE).decode();
    (0..instruction.op_count()).find(|at| instruction.op_kind(*at) == OpKind::Memory)?;
    let segment = match instruction.memory_segment() {
        Register::CS => Segment::Cs,
        Register::SS => Segment::Ss,
        Register::ES => Segment::Es,
        Register::FS => Segment::Fs,
        Register::GS => Segment::Gs,
        _ => Segment::Ds,
    };
    let size = instruction.memory_size().size();
    let computes = matches!(instruction.mnemonic(), Mnemonic::Lea | Mnemonic::Nop);
    let offset = effective_addresses(address, code, registers, [Va(0); 2]);
    (!computes && (1..=MOST_BYTES).contains(&size)).then_some(MemoryOperand {
        segment,
        offset: *offset.first()?,
        size,
    })
}

/// The names of the registers that the operands of the instruction at the start of `code` name, in their order: a
/// register itself, or those that a memory operand's address is computed from.
///
/// ```
/// use poolhit::disasm::operand_registers;
/// assert_eq!(operand_registers(&[0x84, 0xc0]), ["al", "al"]); // test al,al
/// assert_eq!(operand_registers(&[0x48, 0x8b, 0x44, 0xcb, 8]), ["rax", "rbx", "rcx"]);
/// assert_eq!(operand_registers(&[0xc3]), Vec::<String>::new());
/// ```
pub fn operand_registers(code: &[u8]) -> Vec<String> {
    let instruction = Decoder::new(64, code, DecoderOptions::NONE).decode();
    let mut found = Vec::new();
    for operand in 0..instruction.op_count() {
        match instruction.op_kind(operand) {
            OpKind::Register => found.push(instruction.op_register(operand)),
            OpKind::Memory => found.extend([instruction.memory_base(), instruction.memory_index()]),
            _ => {}
        }
    }
    found.retain(|register| *register != Register::None && *register != Register::RIP);
    let names = found.into_iter().map(|one| format!("{one:?}"));
    names.map(|name| name.to_lowercase()).collect()
}

/// The effective addresses of the instruction at the start of `code`, which lies at `address`: of its memory
/// operands, in their order (string instructions have two). What uses the stack without naming it has none.
/// `bases` are those of FS and GS.
///
/// ```
/// use poolhit::{address::Va, disasm::effective_addresses, registers::{Gpr, Registers}};
/// let mut registers = Registers::default();
/// registers.set(Gpr::Rbx, 0x1000);
/// // mov rax, [rbx + 8]; mov rax, gs:[10h]
/// let bases = [Va(0), Va(0x7000)];
/// let of = |code: &[u8]| effective_addresses(Va(0), code, &registers, bases);
/// assert_eq!(of(&[0x48, 0x8b, 0x43, 8]), [Va(0x1008)]);
/// assert_eq!(of(&[0x65, 0x48, 0x8b, 4, 0x25, 0x10, 0, 0, 0]), [Va(0x7010)]);
/// assert_eq!(of(&[0xc3]), []);
/// ```
pub fn effective_addresses(
    address: Va,
    code: &[u8],
    registers: &Registers,
    bases: [Va; 2],
) -> Vec<Va> {
    let instruction = Decoder::with_ip(64, code, address.0, DecoderOptions::NONE).decode();
    let value = |register: Register, _, _| match register {
        Register::FS => Some(bases[0].0),
        Register::GS => Some(bases[1].0),
        _ if register.is_segment_register() => Some(0),
        _ if register.is_gpr() => {
            let number = register.full_register().number() as u8;
            let value = registers.get(Gpr::from_number(number));
            let unused = 64 - 8 * register.size().min(8) as u32;
            Some(value << unused >> unused)
        }
        _ => None,
    };
    let operands = (0..instruction.op_count()).filter(|operand| {
        !matches!(
            instruction.op_kind(*operand),
            OpKind::Register | OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
        )
    });
    let found = operands.filter_map(|operand| instruction.virtual_address(operand, 0, value));
    found.map(Va).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_computes_an_address_has_no_operand() {
        let registers = Registers::default();
        let size = |code: &[u8]| memory_operand(Va(0), code, &registers).map(|one| one.size);
        // mov eax,[rcx]; movups xmm0,[rax]; cmp byte ptr [rax],18h; call [rip]; inc dword ptr gs:[..]
        assert_eq!(size(&[0x8b, 1]), Some(4));
        assert_eq!(size(&[0x0f, 0x10, 0]), Some(16));
        assert_eq!(size(&[0x80, 0x38, 0x18]), Some(1));
        assert_eq!(size(&[0xff, 0x15, 0, 0, 0, 0]), Some(8));
        // lea; nop dword ptr [rax]; push rbx; ret; movsb; fxsave; nothing
        for code in [
            &[0x48, 0x8d, 5, 0, 0, 0, 0][..],
            &[0x0f, 0x1f, 0],
            &[0x53],
            &[0xc3],
            &[0xa4],
            &[0x0f, 0xae, 0],
            &[],
        ] {
            assert_eq!(size(code), None, "{code:x?}");
        }
        let gs = [0x65, 0xff, 4, 0x25, 0x38, 0x22, 0, 0];
        let operand = memory_operand(Va(0), &gs, &registers).unwrap();
        assert_eq!((operand.segment, operand.offset), (Segment::Gs, Va(0x2238)));
    }

    #[test]
    fn operands_have_their_addresses() {
        let mut registers = Registers::default();
        for (register, value) in [
            (Gpr::Rax, 0x10),
            (Gpr::Rbx, 0xffff_ffff_0000_1000),
            (Gpr::Rcx, 3),
            (Gpr::Rsi, 0x5000),
            (Gpr::Rdi, 0x6000),
            (Gpr::Rsp, 0x8000),
            (Gpr::R12, 0x9000),
        ] {
            registers.set(register, value);
        }
        for (code, expected) in [
            // lea rax, [rip + 10h]; mov rax, [rbx + rcx*8 - 8]; mov eax, [ebx]
            (&[0x48, 0x8d, 5, 0x10, 0, 0, 0][..], &[0x1017][..]),
            (&[0x48, 0x8b, 0x44, 0xcb, 0xf8], &[0xffff_ffff_0000_1010]),
            (&[0x67, 0x8b, 3], &[0x1000]),
            // movsb; cmpsb; stosb; xlat; rep movsq
            (&[0xa4], &[0x6000, 0x5000]),
            (&[0xa6], &[0x5000, 0x6000]),
            (&[0xaa], &[0x6000]),
            (&[0xd7], &[0xffff_ffff_0000_1010]),
            (&[0xf3, 0x48, 0xa5], &[0x6000, 0x5000]),
            // push [r12]; push rax; call; jmp [rsp]; int 3; nothing
            (&[0x41, 0xff, 0x34, 0x24], &[0x9000]),
            (&[0x50], &[]),
            (&[0xe8, 0, 0, 0, 0], &[]),
            (&[0xff, 0x24, 0x24], &[0x8000]),
            (&[0xcc], &[]),
            (&[], &[]),
        ] {
            let found = effective_addresses(Va(0x1000), code, &registers, [Va(0); 2]);
            let expected: Vec<Va> = expected.iter().copied().map(Va).collect();
            assert_eq!(found, expected, "{code:x?}");
        }
    }
}
