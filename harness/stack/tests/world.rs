//! A processor and its memory, as far as the builder's instructions need them.

use crate::address::{CodeAddress, Rva, Va};
use crate::image::function_table::{ImageBytes, MappedImage};
use crate::memory::{FaultReason, MemoryFault, ReadMemory};
use crate::registers::{Gpr, Registers};
use crate::stack::modules::UnwindModules;
use crate::stack::unwinder::{UnwindError, Unwound, unwind};
use poolhit_fixtures::unwind_builder::{Function, Instruction, UnwindImage, build};
use std::collections::BTreeMap;

/// Images, and stack memory in words of eight bytes.
pub struct World<'a> {
    pub images: Vec<(Va, MappedImage<'a>)>,
    pub words: BTreeMap<u64, u64>,
    pub is_code_readable: bool,
}

impl<'a> World<'a> {
    pub fn new(images: impl IntoIterator<Item = (Va, &'a UnwindImage)>) -> World<'a> {
        let images = images.into_iter().map(|(base, image)| {
            let (rva, size) = image.exception_directory;
            let exception_directory = Some((Rva(rva), size));
            (
                base,
                MappedImage {
                    bytes: &image.bytes,
                    exception_directory,
                },
            )
        });
        World {
            images: images.collect(),
            words: BTreeMap::new(),
            is_code_readable: true,
        }
    }

    fn byte(&self, address: Va) -> Option<u8> {
        if let Some(word) = self.words.get(&(address.0 & !7)) {
            return Some(word.to_le_bytes()[(address.0 & 7) as usize]);
        }
        let (base, image) = self.image(address).filter(|_| self.is_code_readable)?;
        image.bytes.get((address - base) as usize).copied()
    }

    fn image(&self, address: Va) -> Option<(Va, &MappedImage<'a>)> {
        let mut images = self.images.iter();
        let found = images.find(|(base, image)| address - *base < image.bytes.len() as u64);
        found.map(|(base, image)| (*base, image))
    }

    pub fn unwind(&self, registers: &Registers, code: CodeAddress) -> Result<Unwound, UnwindError> {
        unwind(registers, code, self, self)
    }
}

impl ReadMemory for World<'_> {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        for (done, byte) in buffer.iter_mut().enumerate() {
            let address = address.wrapping_add(done as u64);
            let reason = FaultReason::NotPresent { level: 0 };
            *byte = self.byte(address).ok_or(MemoryFault {
                address,
                reason,
                done,
            })?;
        }
        Ok(())
    }
}

impl UnwindModules for World<'_> {
    fn find(&self, address: Va) -> Option<(Va, &dyn ImageBytes)> {
        self.image(address)
            .map(|(base, image)| (base, image as &dyn ImageBytes))
    }
}

/// Does what an instruction does, except for RIP; a `ret` or a jump to another function ends the
/// function and does nothing here.
pub fn execute(
    instruction: &Instruction,
    registers: &mut Registers,
    words: &mut BTreeMap<u64, u64>,
) {
    let gpr = Gpr::from_number;
    let rsp = registers.rsp().0;
    let at = |base: u8, displacement: i32| {
        registers
            .get(gpr(base))
            .wrapping_add_signed(i64::from(displacement))
    };
    match *instruction {
        Instruction::Push(register) => {
            words.insert(rsp.wrapping_sub(8), registers.get(gpr(register)));
            registers.set(Gpr::Rsp, rsp.wrapping_sub(8));
        }
        Instruction::Pop(register) => {
            registers.set(gpr(register), words[&rsp]);
            registers.set(Gpr::Rsp, rsp.wrapping_add(8));
        }
        Instruction::SubRsp(bytes) => {
            let lower = rsp.wrapping_sub(bytes.into());
            // What was there before; only the lowest word is ever read (a pop may release it).
            words.entry(lower).or_insert(0x5555);
            registers.set(Gpr::Rsp, lower);
        }
        Instruction::AddRsp(bytes) => registers.set(Gpr::Rsp, rsp.wrapping_add(bytes.into())),
        Instruction::SetFrame { register, offset } => {
            registers.set(gpr(register), rsp.wrapping_add(offset.into()));
        }
        Instruction::LeaRsp { base, displacement } => {
            registers.set(Gpr::Rsp, at(base, displacement));
        }
        Instruction::Store {
            register,
            base,
            displacement,
            ..
        } => {
            words.insert(at(base, displacement), registers.get(gpr(register)));
        }
        Instruction::Load {
            register,
            base,
            displacement,
        } => {
            registers.set(gpr(register), words[&at(base, displacement)]);
        }
        Instruction::StoreXmm {
            register,
            base,
            displacement,
            ..
        } => {
            let value = registers.xmm[usize::from(register)];
            words.insert(at(base, displacement), value as u64);
            words.insert(at(base, displacement) + 8, (value >> 64) as u64);
        }
        Instruction::LoadXmm {
            register,
            base,
            displacement,
        } => {
            let at = at(base, displacement);
            let value = u128::from(words[&at]) | u128::from(words[&(at + 8)]) << 64;
            registers.xmm[usize::from(register)] = value;
        }
        Instruction::Set { register, value } => registers.set(gpr(register), value),
        Instruction::ClearXmm(register) => registers.xmm[usize::from(register)] = 0,
        Instruction::MachineFrame { error_code } => {
            let pushed = [0x18, rsp, registers.rflags, 0x10, registers.rip];
            let pushed = pushed.into_iter().chain(error_code.then_some(0xeeee));
            let mut rsp = rsp;
            for value in pushed {
                rsp = rsp.wrapping_sub(8);
                words.insert(rsp, value);
            }
            registers.set(Gpr::Rsp, rsp);
        }
        _ => {}
    }
}

/// The registers that a function gives back to its caller.
pub fn preserved(registers: &Registers) -> Registers {
    let mut kept = registers.clone();
    for volatile in [
        Gpr::Rax,
        Gpr::Rcx,
        Gpr::Rdx,
        Gpr::R8,
        Gpr::R9,
        Gpr::R10,
        Gpr::R11,
    ] {
        kept.set(volatile, 0);
    }
    kept.xmm[..6].fill(0);
    kept.rflags = 0;
    kept
}

/// The registers that were interrupted or that called, with a value of its own in each.
pub fn caller() -> Registers {
    let mut caller = Registers {
        rip: 0x7ff6_0000_1234,
        rflags: 0x246,
        ..Default::default()
    };
    for register in Gpr::ALL {
        caller.set(register, 0x1111_0000_0000_0000 + register as u64);
    }
    for (number, xmm) in caller.xmm.iter_mut().enumerate() {
        *xmm = 0xaaaa_bbbb_0000_0000_cccc_dddd_0000_0000 + number as u128;
    }
    caller.set(Gpr::Rsp, 0xffff_f880_04ec_1c00);
    caller
}

/// The registers at a function's entry, after the call (or the machine frame it starts with).
pub fn enter(function: &Function, words: &mut BTreeMap<u64, u64>) -> Registers {
    let mut registers = caller();
    if let Some(frame @ Instruction::MachineFrame { .. }) = function.instructions.first() {
        execute(frame, &mut registers, words);
        return registers;
    }
    let rsp = registers.rsp().0 - 8;
    words.insert(rsp, registers.rip);
    registers.set(Gpr::Rsp, rsp);
    registers
}

/// An image of these functions, with the base it is to be loaded at.
pub fn image(functions: &[Function]) -> (Va, UnwindImage) {
    (Va(0xffff_f800_0145_0000), build(functions))
}
