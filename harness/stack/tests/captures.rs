//! Captures by rules where a walk ends for what rules leave alone.

use super::world::{World, enter, execute, image};
use crate::address::Rva;
use crate::registers::{Gpr, Registers};
use crate::stack::capture::Capturer;
use crate::stack::frame::FrameTrust;
use crate::stack::walk::{WalkEnd, walk};
use poolhit_fixtures::unwind_builder::{Function, Instruction};

/// A record may say that a register is saved where no stack is. The caller could be found without it,
/// but then its registers would be wrong: unwinding ends there, and so does a capture.
#[test]
fn a_saved_register_that_cannot_be_read_ends_a_capture() {
    let far = 0x10_0000;
    let (base, displacement) = (4, far as i32);
    for save in [
        Instruction::Store {
            register: 3,
            base,
            displacement,
            slot: far,
        },
        Instruction::StoreXmm {
            register: 6,
            base,
            displacement,
            slot: far,
        },
    ] {
        let function = Function {
            instructions: vec![Instruction::SubRsp(0x28), save, Instruction::Nop],
            prologue: 2,
            ..Function::default()
        };
        let (base, image) = image(std::slice::from_ref(&function));
        let mut world = World::new([(base, &image)]);
        let mut registers = enter(&function, &mut world.words);
        execute(&function.instructions[0], &mut registers, &mut world.words);
        registers.rip = (base + Rva(image.functions[0].places[2])).0;
        let walk = walk(&registers, &world, &world, 8);
        let WalkEnd::Fault(fault) = walk.end else {
            panic!("{:?}", walk.end);
        };
        assert_eq!(fault.address, registers.rsp().wrapping_add(far.into()));
        let mut capturer = Capturer::new();
        assert_eq!(capturer.capture(&registers, &world, &world, 8), walk.end);
        let row = (capturer.frames()[0].child_sp, capturer.frames().len());
        assert_eq!(row, (registers.rsp(), walk.frames.len()));
    }
}

/// A stack may hold the address that stands for no rule: a capture finds there what a walk finds, before
/// and after rules are forgotten.
#[test]
fn the_address_that_no_code_has_is_one_like_any_other() {
    let mut world = World::new([]);
    let mut registers = Registers::default();
    registers.rip = 0x1000;
    registers.set(Gpr::Rsp, 0x8000);
    let no_code = 0x8000_0000_0000_0000;
    for (address, word) in [(0x8000, no_code), (0x8008, no_code), (0x8010, 0)] {
        world.words.insert(address, word);
    }
    let expected = walk(&registers, &world, &world, 8);
    let rows: Vec<_> = expected.frames.iter().map(|frame| frame.trust).collect();
    assert_eq!(rows[1..], [FrameTrust::Guess; 2]);
    let mut capturer = Capturer::new();
    for _ in 0..2 {
        let end = capturer.capture(&registers, &world, &world, 8);
        assert_eq!(end, expected.end);
        let found: Vec<_> = capturer.frames().iter().map(|row| row.trust).collect();
        assert_eq!(found, rows);
        capturer.clear();
    }
}
