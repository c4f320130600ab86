//! Functions with one record: every instruction of prologue, body and epilogues.

use super::shape::{Shape, shapes};
use super::world::{World, caller, enter, execute, image, preserved};
use crate::address::{CodeAddress, Rva, Va};
use crate::image::function_table::FunctionTable;
use crate::registers::{Gpr, Registers};
use crate::stack::frame::FrameTrust;
use iced_x86::{Decoder, DecoderOptions};
use poolhit_fixtures::unwind_builder::{Function, Instruction};
use proptest::prelude::*;

/// Checks that the caller is found from these registers, whether `rip` is an instruction pointer or
/// (unless in an epilogue) a return address.
pub fn check_caller(
    world: &World,
    registers: &Registers,
    rip: Va,
    may_return: bool,
    is_trap: bool,
) {
    let mut codes = vec![CodeAddress::InstructionPointer(rip)];
    codes.extend(may_return.then_some(CodeAddress::ReturnAddress(rip)));
    for code in codes {
        let unwound = world.unwind(registers, code).unwrap();
        assert_eq!(
            preserved(&unwound.registers),
            preserved(&caller()),
            "from {code:?}"
        );
        let expected = if is_trap {
            assert_eq!(unwound.registers.rflags, caller().rflags);
            (
                CodeAddress::InstructionPointer(caller().rip()),
                FrameTrust::MachineFrame,
            )
        } else {
            (
                CodeAddress::ReturnAddress(caller().rip()),
                FrameTrust::UnwindInfo,
            )
        };
        assert_eq!((unwound.code, unwound.trust), expected, "from {code:?}");
    }
}

fn check_every_instruction(shape: &Shape, version_2: bool, is_code_readable: bool) {
    let shaped = shape.function(version_2);
    let (base, image) = image(std::slice::from_ref(&shaped.function));
    let mut world = World::new([(base, &image)]);
    world.is_code_readable = is_code_readable;
    let is_trap = shape.machine_frame.is_some();
    let places = &image.functions[0].places;
    let instructions = &shaped.function.instructions;
    let mut registers = enter(&shaped.function, &mut world.words);
    let first = usize::from(is_trap);
    for index in first..shaped.body.end {
        let rip = base + Rva(places[index]);
        check_caller(&world, &registers, rip, index > first, is_trap);
        execute(&instructions[index], &mut registers, &mut world.words);
    }
    for (epilogue, release) in &shaped.epilogues {
        let (mut registers, before) = (registers.clone(), world.words.clone());
        for index in epilogue.clone() {
            let rip = base + Rva(places[index]);
            check_caller(&world, &registers, rip, index <= *release, is_trap);
            execute(&instructions[index], &mut registers, &mut world.words);
        }
        world.words = before;
    }
}

proptest! {
    #[test]
    fn every_instruction(shape in shapes(), version_2: bool) {
        check_every_instruction(&shape, version_2, true);
    }

    #[test]
    fn version_2_needs_no_code(shape in shapes()) {
        let machine_frame = None;
        check_every_instruction(&Shape { machine_frame, ..shape }, true, false);
    }

    #[test]
    fn the_builder_encodes_what_it_says(shape in shapes()) {
        let function = shape.function(false).function;
        let (_, image) = image(std::slice::from_ref(&function));
        let places = &image.functions[0].places;
        for (index, instruction) in function.instructions.iter().enumerate() {
            let code = &image.bytes[places[index] as usize..places[index + 1] as usize];
            if matches!(instruction, Instruction::MachineFrame { .. }) {
                prop_assert!(code.is_empty());
                continue;
            }
            let decoded = Decoder::new(64, code, DecoderOptions::NONE).decode();
            prop_assert_eq!(decoded.len(), code.len());
            let changes = match *instruction {
                Instruction::Push(_) => Some(-8),
                Instruction::Pop(_) | Instruction::Return | Instruction::RepReturn => Some(8),
                _ => None,
            };
            if let Some(changes) = changes {
                prop_assert_eq!(decoded.stack_pointer_increment(), changes);
            }
        }
    }
}

/// A function with these instructions, of which the first are its prologue, called by [`caller`].
fn enter_and_run(function: Function, at: usize) -> (Result<Registers, String>, Registers) {
    let (base, image) = image(std::slice::from_ref(&function));
    let mut world = World::new([(base, &image)]);
    let mut registers = enter(&function, &mut world.words);
    let first = usize::from(matches!(
        function.instructions[0],
        Instruction::MachineFrame { .. }
    ));
    for instruction in &function.instructions[first..at] {
        execute(instruction, &mut registers, &mut world.words);
    }
    let rip = base + Rva(image.functions[0].places[at]);
    let unwound = world.unwind(&registers, CodeAddress::InstructionPointer(rip));
    let unwound = unwound.map(|unwound| preserved(&unwound.registers));
    (
        unwound.map_err(|error| error.to_string()),
        preserved(&caller()),
    )
}

#[test]
fn a_jump_inside_the_function_is_no_epilogue() {
    use Instruction::*;
    let instructions = vec![
        Push(3),
        SubRsp(0x20),
        Set {
            register: 3,
            value: 0,
        },
        JumpToPlace(0, 2),
    ];
    let function = Function {
        instructions,
        prologue: 2,
        ..Function::default()
    };
    let (found, expected) = enter_and_run(function, 3);
    assert_eq!(found, Ok(expected));
}

#[test]
fn what_looks_like_an_epilogue_and_is_none() {
    use Instruction::*;
    let lea = |base| LeaRsp {
        base,
        displacement: 0x20,
    };
    let set_frame = SetFrame {
        register: 5,
        offset: 0,
    };
    let trap = MachineFrame { error_code: false };
    let check = |instructions: &[Instruction], prologue, frame, at| {
        let instructions = instructions.to_vec();
        let function = Function {
            instructions,
            prologue,
            frame,
            ..Function::default()
        };
        let (found, expected) = enter_and_run(function.clone(), at);
        assert_eq!(found, Ok(expected), "{function:?}");
    };
    // In a prologue, whatever it jumps to is part of it.
    check(&[Push(3), JumpTo(0x40), Nop, Nop], 3, None, 1);
    // Only the frame register leads to the frame's upper end.
    check(
        &[Push(5), SubRsp(0x20), set_frame, lea(3), Pop(5), Return],
        3,
        Some((5, 0)),
        3,
    );
    check(&[Push(5), SubRsp(0x20), lea(5), Pop(5), Return], 2, None, 2);
    // A function above a machine frame has nowhere to return to, however its parts jump about.
    check(&[trap, Push(3), JumpTo(0x40)], 2, None, 2);
    check(&[trap, Push(3), Return], 2, None, 2);
    // And one without has no machine frame to give back.
    check(&[Push(3), SubRsp(0x20), InterruptReturn], 2, None, 2);
}

#[test]
fn a_jump_to_the_entry_is_a_recursive_tail_call() {
    use Instruction::*;
    let instructions = vec![
        Push(3),
        SubRsp(0x20),
        AddRsp(0x20),
        Pop(3),
        JumpToPlace(0, 0),
    ];
    let function = Function {
        instructions,
        prologue: 2,
        ..Function::default()
    };
    for at in 2..5 {
        let (found, expected) = enter_and_run(function.clone(), at);
        assert_eq!(found, Ok(expected), "{at}");
    }
}

#[test]
fn a_return_address_before_an_epilogue_is_not_in_it() {
    use Instruction::*;
    // The call before the epilogue never returned by itself: the frame is still whole, though the
    // code behind the call starts with a pop.
    let instructions = vec![
        Push(3),
        Set {
            register: 3,
            value: 0,
        },
        Pop(3),
        Return,
    ];
    let function = Function {
        instructions,
        prologue: 1,
        ..Function::default()
    };
    let (base, image) = image(std::slice::from_ref(&function));
    let mut world = World::new([(base, &image)]);
    let mut registers = enter(&function, &mut world.words);
    for instruction in &function.instructions[..2] {
        execute(instruction, &mut registers, &mut world.words);
    }
    let rip = base + Rva(image.functions[0].places[3]);
    let unwound = world
        .unwind(&registers, CodeAddress::ReturnAddress(rip))
        .unwrap();
    assert_eq!(preserved(&unwound.registers), preserved(&caller()));
}

#[test]
fn a_leaf_function_returns_to_the_top_of_its_stack() {
    let function = Function {
        instructions: vec![Instruction::Nop],
        ..Function::default()
    };
    let (base, image) = image(std::slice::from_ref(&function));
    let mut world = World::new([(base, &image)]);
    let registers = enter(&function, &mut world.words);
    let leaf = base + Rva(image.functions[0].places[1]);
    assert!(
        FunctionTable::of(&world.images[0].1)
            .unwrap()
            .lookup(Rva((leaf - base) as u32))
            .is_none()
    );
    let top = world
        .unwind(&registers, CodeAddress::InstructionPointer(leaf))
        .unwrap();
    assert_eq!(top.trust, FrameTrust::Leaf);
    assert_eq!(preserved(&top.registers), preserved(&caller()));
    // A caller cannot be a leaf: the next byte is the one to look up, and it has no record either.
    let deeper = world
        .unwind(&registers, CodeAddress::ReturnAddress(leaf.wrapping_add(1)))
        .unwrap();
    assert_eq!(
        (deeper.trust, deeper.registers),
        (FrameTrust::Guess, top.registers)
    );
}

#[test]
fn a_call_that_is_the_last_instruction_belongs_to_its_function() {
    use Instruction::*;
    let first = Function {
        instructions: vec![SubRsp(0x28), Nop],
        prologue: 1,
        ..Function::default()
    };
    let (base, image) = image(std::slice::from_ref(&first));
    let mut world = World::new([(base, &image)]);
    let mut registers = enter(&first, &mut world.words);
    execute(&SubRsp(0x28), &mut registers, &mut world.words);
    let end = base + Rva(image.functions[0].places[2]);
    check_caller_of_return(&world, &registers, end);
}

fn check_caller_of_return(world: &World, registers: &Registers, end: Va) {
    let unwound = world
        .unwind(registers, CodeAddress::ReturnAddress(end))
        .unwrap();
    assert_eq!(unwound.trust, FrameTrust::UnwindInfo);
    assert_eq!(unwound.registers.get(Gpr::Rsp), caller().get(Gpr::Rsp));
}
