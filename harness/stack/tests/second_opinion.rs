//! The same functions unwound by framehop, where it covers the same ground: functions without chained
//! records and machine frames, and the registers that it restores (RIP, RSP, RBP).

use super::shape::{Shape, shapes};
use super::world::{World, enter, execute, image};
use crate::address::{CodeAddress, Rva};
use crate::registers::Gpr;
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{FrameAddress, Module, ModuleSectionInfo, Unwinder};
use poolhit_fixtures::unwind_builder::{CODE_START, Instruction, UnwindImage};
use proptest::prelude::*;
use std::ops::Range;

struct Sections<'a> {
    image: &'a UnwindImage,
    base: u64,
}

impl Sections<'_> {
    /// The RVAs of the code and of what follows it up to the function table.
    fn range(&self, name: &[u8]) -> Option<Range<u32>> {
        let (table, size) = self.image.exception_directory;
        match name {
            b".text" => Some(CODE_START..table),
            b".rdata" => Some(CODE_START..table),
            b".pdata" => Some(table..table + size),
            _ => None,
        }
    }
}

impl ModuleSectionInfo<Vec<u8>> for Sections<'_> {
    fn base_svma(&self) -> u64 {
        self.base
    }

    fn section_svma_range(&mut self, name: &[u8]) -> Option<Range<u64>> {
        let range = self.range(name)?;
        Some(self.base + u64::from(range.start)..self.base + u64::from(range.end))
    }

    fn section_data(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let range = self.range(name)?;
        Some(self.image.bytes[range.start as usize..range.end as usize].to_vec())
    }
}

fn check_agreement(shape: &Shape) {
    let shaped = shape.function(false);
    let (base, image) = image(std::slice::from_ref(&shaped.function));
    let mut world = World::new([(base, &image)]);
    let mut unwinder: UnwinderX86_64<Vec<u8>> = UnwinderX86_64::new();
    let range = base.0..base.0 + image.bytes.len() as u64;
    let sections = Sections {
        image: &image,
        base: base.0,
    };
    unwinder.add_module(Module::new("image".to_owned(), range, base.0, sections));
    let mut cache = CacheX86_64::<framehop::MayAllocateDuringUnwind>::new_in();
    let mut registers = enter(&shaped.function, &mut world.words);
    let last = shaped
        .epilogues
        .first()
        .map_or(shaped.body.end, |(epilogue, _)| epilogue.end);
    for index in 0..last {
        let rip = base + Rva(image.functions[0].places[index]);
        let own = world
            .unwind(&registers, CodeAddress::InstructionPointer(rip))
            .unwrap()
            .registers;
        let rbp = registers.get(Gpr::Rbp);
        let mut regs = UnwindRegsX86_64::new(rip.0, registers.rsp().0, rbp);
        for (register, value) in Gpr::ALL.iter().zip(registers.gpr) {
            regs.set(framehop_register(*register), value);
        }
        let address = FrameAddress::from_instruction_pointer(rip.0);
        let mut read = |address: u64| world.words.get(&address).copied().ok_or(());
        let found = unwinder
            .unwind_frame(address, &mut regs, &mut cache, &mut read)
            .unwrap();
        let theirs = (found, regs.sp(), regs.bp());
        let ours = (Some(own.rip), own.rsp().0, own.get(Gpr::Rbp));
        assert_eq!(ours, theirs, "at instruction {index}");
        execute(
            &shaped.function.instructions[index],
            &mut registers,
            &mut world.words,
        );
    }
}

fn framehop_register(register: Gpr) -> framehop::x86_64::Reg {
    use framehop::x86_64::Reg::*;
    [
        RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15,
    ][register as usize]
}

proptest! {
    #[test]
    fn framehop_agrees(shape in shapes()) {
        let (machine_frame, ending) = (None, Instruction::Return);
        // It takes a frame register for set from the function's first instruction on.
        let saves_first = shape.saves_first && shape.frame.is_none();
        // In an epilogue, it takes a negative displacement for a large positive one, and R12's SIB
        // byte for a displacement.
        let allocated: u32 = shape.allocations.iter().sum();
        let is_read_well = |(register, offset): &(u8, u32)| *offset <= allocated && *register != 12;
        let frame = shape.frame.filter(is_read_well);
        check_agreement(&Shape { machine_frame, ending, saves_first, frame, ..shape });
    }
}
