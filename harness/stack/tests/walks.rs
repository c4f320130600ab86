//! Whole stacks: from a cold block of the kernel to a user-mode program, and stacks that end badly.

use super::world::{World, execute};
use crate::address::{Rva, Va};
use crate::memory::FaultReason;
use crate::registers::{Gpr, Registers};
use crate::stack::frame::FrameTrust;
use crate::stack::walk::{MAX_FRAMES, MAX_STACK_SWITCHES, Walk, WalkEnd, Walker, walk};
use poolhit_fixtures::unwind_builder::{Function, Instruction, UnwindImage, build};

const RBX: u8 = 3;
const RBP: u8 = 5;
const RSI: u8 = 6;
const RDI: u8 = 7;
const KERNEL: Va = Va(0xffff_f800_0145_0000);
const SYSTEM_DLL: Va = Va(0x7751_0000);
const PROGRAM: Va = Va(0xff22_0000);
const KERNEL_STACK: u64 = 0xffff_f880_04ec_2000;
const USER_STACK: u64 = 0xd_f4d0;

/// What a kernel's system-call entry does behind the machine frame: an error code's place, a frame
/// register in the middle of a large frame, and saves above it.
fn system_call_entry() -> Function {
    let save = |register, displacement| Instruction::Store {
        register,
        base: RBP,
        displacement,
        slot: (displacement + 0x80) as u32,
    };
    let instructions = vec![
        Instruction::MachineFrame { error_code: false },
        Instruction::SubRsp(8),
        Instruction::Push(RBP),
        Instruction::SubRsp(0x158),
        Instruction::SetFrame {
            register: RBP,
            offset: 0x80,
        },
        save(RBX, 0xc0),
        save(RDI, 0xc8),
        save(RSI, 0xd0),
        // Room for the service's arguments: only the frame register leads back.
        Instruction::SubRsp(0x70),
        Instruction::Nop,
    ];
    Function {
        instructions,
        prologue: 8,
        frame: Some((RBP, 0x80)),
        ..Function::default()
    }
}

fn kernel() -> UnwindImage {
    let service = vec![
        Instruction::Push(RBP),
        Instruction::Push(RBX),
        Instruction::SubRsp(0x118),
        Instruction::SetFrame {
            register: RBP,
            offset: 0x20,
        },
        Instruction::Nop,
    ];
    let service = Function {
        instructions: service,
        prologue: 4,
        frame: Some((RBP, 0x20)),
        ..Function::default()
    };
    let allocator = vec![
        Instruction::Push(RBX),
        Instruction::Push(RSI),
        Instruction::SubRsp(0xb0),
        Instruction::Nop,
    ];
    let allocator = Function {
        instructions: allocator,
        prologue: 3,
        ..Function::default()
    };
    let cold = vec![Instruction::Breakpoint, Instruction::JumpToPlace(2, 3)];
    let cold = Function {
        instructions: cold,
        parent: Some(2),
        ..Function::default()
    };
    build(&[system_call_entry(), service, allocator, cold])
}

fn program() -> UnwindImage {
    let main = vec![Instruction::SubRsp(0x48), Instruction::Nop];
    build(&[Function {
        instructions: main,
        prologue: 1,
        ..Function::default()
    }])
}

/// A module of leaf functions that has a table of functions, though none is for them.
fn system_dll() -> UnwindImage {
    program()
}

/// Does a call that returns to `behind`, and the called function's code up to its last instruction.
fn call(
    world: &mut World,
    registers: &mut Registers,
    behind: Va,
    instructions: &[Instruction],
    entry: Va,
) {
    registers.rip = behind.0;
    execute(&Instruction::Push(0), registers, &mut world.words);
    world.words.insert(registers.rsp().0, behind.0);
    for instruction in instructions {
        execute(instruction, registers, &mut world.words);
    }
    registers.rip = entry.0;
}

fn place(base: Va, image: &UnwindImage, function: usize, index: usize) -> Va {
    base + Rva(image.functions[function].places[index])
}

#[test]
fn from_a_cold_block_through_a_system_call_to_the_program() {
    let (kernel, dll, program) = (kernel(), system_dll(), program());
    let images = [(KERNEL, &kernel), (SYSTEM_DLL, &dll), (PROGRAM, &program)];
    let mut world = World::new(images);
    let mut now = Registers {
        rflags: 0x246,
        ..Registers::default()
    };
    for register in Gpr::ALL {
        now.set(register, 0x1111_0000 + register as u64);
    }
    let program_rbp = now.get(Gpr::Rbp);
    now.set(Gpr::Rsp, USER_STACK + 0x50);

    let main = [Instruction::SubRsp(0x48)];
    let in_main = place(PROGRAM, &program, 0, 2);
    call(&mut world, &mut now, Va(0), &main, in_main);
    // The stub has no record: behind the only function of its image.
    let in_stub = place(SYSTEM_DLL, &dll, 0, 2).wrapping_add(1);
    call(&mut world, &mut now, in_main, &[], in_stub);

    // The system call: the processor's entry code moves to the kernel's stack first.
    let (user_rsp, mut words) = (now.rsp().0, std::mem::take(&mut world.words));
    let entry = system_call_entry();
    now.set(Gpr::Rsp, KERNEL_STACK);
    for instruction in &entry.instructions[..9] {
        execute(instruction, &mut now, &mut words);
    }
    words.insert(KERNEL_STACK - 16, user_rsp);
    world.words = words;
    let entry_sp = now.rsp();

    let service = [
        Instruction::Push(RBP),
        Instruction::Push(RBX),
        Instruction::SubRsp(0x118),
        Instruction::SetFrame {
            register: RBP,
            offset: 0x20,
        },
    ];
    let in_entry = place(KERNEL, &kernel, 0, 10);
    let in_service = place(KERNEL, &kernel, 1, 5);
    call(&mut world, &mut now, in_entry, &service, in_service);
    let service_sp = now.rsp();
    let allocator = [
        Instruction::Push(RBX),
        Instruction::Push(RSI),
        Instruction::SubRsp(0xb0),
    ];
    for cold in 0..2 {
        let (mut now, mut world) = (
            now.clone(),
            World {
                words: world.words.clone(),
                ..World::new(images)
            },
        );
        let in_cold = place(KERNEL, &kernel, 3, cold);
        call(&mut world, &mut now, in_service, &allocator, in_cold);
        let Walk { frames, end } = walk(&now, &world, &world, 20);
        let rows: Vec<_> = frames
            .iter()
            .map(|f| (f.child_sp, f.return_address, f.code.address(), f.trust))
            .collect();
        let expected = [
            (now.rsp(), in_service, in_cold, FrameTrust::Context),
            (service_sp, in_entry, in_service, FrameTrust::UnwindInfo),
            (entry_sp, in_stub, in_entry, FrameTrust::UnwindInfo),
            (Va(user_rsp), in_main, in_stub, FrameTrust::MachineFrame),
            (Va(user_rsp + 8), Va(0), in_main, FrameTrust::Leaf),
        ];
        assert_eq!(rows, expected);
        assert_eq!(end, WalkEnd::ReturnAddressZero);
        assert_eq!(frames[3].registers.rflags, 0x246);
        assert_eq!(frames[4].registers.get(Gpr::Rbp), program_rbp);
        assert_eq!(
            frames.iter().map(|f| f.number).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
    }
}

/// A stack of words from `USER_STACK` up, with the stack pointer at its start.
fn stack(words: &[u64]) -> (World<'static>, Registers) {
    let mut world = World::new([]);
    world.words = (0..)
        .map(|i| USER_STACK + i * 8)
        .zip(words.iter().copied())
        .collect();
    let mut start = Registers {
        rip: 0x1000,
        ..Registers::default()
    };
    start.set(Gpr::Rsp, USER_STACK);
    (world, start)
}

#[test]
fn addresses_in_no_image_are_listed_until_memory_ends() {
    let (world, start) = stack(&[0x11, 0x22]);
    let Walk { frames, end } = walk(&start, &world, &world, 20);
    let rows: Vec<_> = frames
        .iter()
        .map(|f| (f.child_sp.0 - USER_STACK, f.return_address.0))
        .collect();
    assert_eq!(rows, [(0, 0x11), (8, 0x22), (16, 0)]);
    assert!(
        frames[1..]
            .iter()
            .all(|frame| frame.trust == FrameTrust::Guess)
    );
    let WalkEnd::Fault(fault) = end else {
        panic!("{end:?}")
    };
    assert_eq!(fault.address, Va(USER_STACK + 16));
    assert_eq!(fault.reason, FaultReason::NotPresent { level: 0 });
}

#[test]
fn a_walk_has_as_many_frames_as_asked_for() {
    let (world, start) = stack(&[0x11, 0x22, 0x33, 0]);
    for limit in 0..4 {
        let walk = walk(&start, &world, &world, limit);
        assert_eq!((walk.frames.len(), walk.end), (limit, WalkEnd::Limit));
    }
    let complete = walk(&start, &world, &world, 4);
    assert_eq!(
        (complete.frames.len(), complete.end),
        (4, WalkEnd::ReturnAddressZero)
    );
}

#[test]
fn no_limit_is_a_limit() {
    let (world, start) = stack(&vec![0x11; MAX_FRAMES + 10]);
    let walk = walk(&start, &world, &world, usize::MAX);
    assert_eq!((walk.frames.len(), walk.end), (MAX_FRAMES, WalkEnd::Limit));
}

#[test]
fn a_frame_register_that_leads_down_ends_the_walk() {
    let code = vec![
        Instruction::SetFrame {
            register: RBP,
            offset: 0,
        },
        Instruction::Nop,
    ];
    let function = Function {
        instructions: code,
        prologue: 1,
        frame: Some((RBP, 0)),
        ..Function::default()
    };
    let image = build(&[function]);
    let mut world = World::new([(KERNEL, &image)]);
    let rip = place(KERNEL, &image, 0, 1);
    world.words.insert(USER_STACK - 0x100, 0x11);
    let mut start = Registers {
        rip: rip.0,
        ..Registers::default()
    };
    start.set(Gpr::Rsp, USER_STACK);
    start.set(Gpr::Rbp, USER_STACK - 0x100);
    let walk = walk(&start, &world, &world, 20);
    assert_eq!(
        (walk.frames.len(), walk.frames[0].return_address),
        (1, Va(0x11))
    );
    let (from, to) = (Va(USER_STACK), Va(USER_STACK - 0xf8));
    assert_eq!(walk.end, WalkEnd::NoProgress { from, to });
}

#[test]
fn a_machine_frame_that_leads_to_itself_ends_the_walk() {
    let code = vec![
        Instruction::MachineFrame { error_code: true },
        Instruction::Nop,
    ];
    let image = build(&[Function {
        instructions: code,
        prologue: 1,
        ..Function::default()
    }]);
    let mut world = World::new([(KERNEL, &image)]);
    let rip = place(KERNEL, &image, 0, 1);
    for (index, word) in [0, rip.0, 0x10, 0x246, USER_STACK, 0x18]
        .into_iter()
        .enumerate()
    {
        world.words.insert(USER_STACK + index as u64 * 8, word);
    }
    let mut start = Registers {
        rip: rip.0,
        ..Registers::default()
    };
    start.set(Gpr::Rsp, USER_STACK);
    let walk = walk(&start, &world, &world, usize::MAX);
    assert_eq!(
        (walk.frames.len(), walk.end),
        (MAX_STACK_SWITCHES + 1, WalkEnd::StackSwitches)
    );
}

#[test]
fn broken_unwind_data_ends_the_walk_and_is_named() {
    let mut image = program();
    let info = image.functions[0].unwind_info;
    image.bytes[info as usize] = 3;
    let world = World::new([(PROGRAM, &image)]);
    let start = Registers {
        rip: place(PROGRAM, &image, 0, 1).0,
        ..Registers::default()
    };
    let mut walker = Walker::new(&start, &world, &world);
    assert_eq!(walker.next().map(|frame| frame.return_address), Some(Va(0)));
    assert_eq!(walker.next(), None);
    let reason = walker.end().unwrap().to_string();
    let expected = format!(
        "in the image at {PROGRAM}, the unwind data at RVA {info:x} has version 3; only 1 and 2 are known"
    );
    assert_eq!(reason, expected);
}
