//! Interrupts from outside, through the guest's own descriptor table.

use crate::code::Code;
use crate::guest::{
    Guest, HANDLER, INTERRUPT_STACK, INTERRUPTS_ON, KERNEL, KERNEL_DATA, KERNEL_READ_ONLY,
    KERNEL_STACK, SYSTEM_CALL, TASK_STACK, USER, USER_DATA, USER_STACK, go, pass_bytes, word,
};
use poolhit::address::Va;
use poolhit::machine::{Exit, InterruptError, Machine};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::registers::{Gpr, Registers};

const VECTOR: u8 = 0xd1;
/// Where the handler counts.
const COUNTER: Va = KERNEL_DATA;

/// A handler that counts in memory and returns with all registers as they were.
fn counting_handler() -> Code {
    let mut code = Code::at(HANDLER);
    code.put(&[0x50]) // push rax
        .load(Gpr::Rax, COUNTER.0)
        .put(&[0x48, 0xff, 0x00]) // inc qword ptr [rax]
        .put(&[0x58]) // pop rax
        .iretq();
    code
}

fn spinning(start: Va) -> Code {
    let mut code = Code::at(start);
    code.put(&[0x48, 0xff, 0xc0]).jump(start); // inc rax
    code
}

fn machine(ring: u8, flags: u64) -> Machine {
    let guest = Guest::new()
        .code(&counting_handler())
        .gate(VECTOR, HANDLER)
        .flags(flags);
    match ring {
        0 => guest.code(&spinning(KERNEL)).in_ring_0(),
        _ => guest.code(&spinning(USER)).in_ring_3(),
    }
}

#[test]
fn the_handler_finds_the_frame_that_the_processor_builds() {
    for (ring, start, stack, code_selector, stack_selector) in [
        (0, KERNEL, KERNEL_STACK, 0x10, 0x18),
        (3, USER, INTERRUPT_STACK, 0x33, 0x2b),
    ] {
        let mut machine = machine(ring, INTERRUPTS_ON | 0x41);
        let mut before = machine.registers();
        for number in [0, 1, 2, 3, 5, 15] {
            before.gpr[number] = 0x7000_0000_0000 + number as u64;
        }
        // A stack that is not aligned: the frame is.
        let rsp = before.rsp().wrapping_sub(0x14);
        before.set(Gpr::Rsp, rsp.0);
        machine.set_registers(&before).unwrap();
        machine.interrupt(VECTOR).unwrap();

        let after = machine.registers();
        assert_eq!(after.rip(), HANDLER);
        assert_eq!(machine.privilege_level(), 0);
        assert!(!machine.interrupts_enabled());
        let top = if ring == 0 { stack.0 - 0x20 } else { stack.0 };
        assert_eq!(after.rsp().0, top - 0x28);
        let frame: Vec<u64> = (0..5)
            .map(|at| word(&machine, after.rsp().wrapping_add(at * 8)))
            .collect();
        assert_eq!(
            frame,
            [
                start.0,
                code_selector,
                INTERRUPTS_ON | 0x41,
                rsp.0,
                stack_selector
            ]
        );
        let rest = Registers {
            rip: before.rip,
            rflags: before.rflags,
            ..after.clone()
        };
        let mut rest_before = before.clone();
        rest_before.set(Gpr::Rsp, after.rsp().0);
        assert_eq!(rest, rest_before);

        machine.set_breakpoint(start).unwrap();
        assert_eq!(go(&mut machine), Exit::Breakpoint { address: start });
        assert_eq!(machine.registers(), before, "iretq brings everything back");
        assert_eq!(machine.privilege_level(), ring);
        assert_eq!(word(&machine, COUNTER), 1);
    }
}

#[test]
fn interrupts_wait_while_the_guest_has_them_off() {
    for ring in [0, 3] {
        let mut machine = machine(ring, 2);
        let before = machine.state_hash();
        assert_eq!(machine.interrupt(VECTOR), Err(InterruptError::Masked));
        assert_eq!(machine.state_hash(), before);
        let mut registers = machine.registers();
        registers.rflags |= 0x200;
        machine.set_registers(&registers).unwrap();
        machine.interrupt(VECTOR).unwrap();
        // In the handler they are off again.
        assert_eq!(machine.interrupt(VECTOR), Err(InterruptError::Masked));
    }
}

#[test]
fn vectors_without_a_gate_are_refused() {
    for ring in [0, 3] {
        let mut machine = machine(ring, INTERRUPTS_ON);
        let before = machine.state_hash();
        for vector in [0, 3, 0xd0, 0xff] {
            assert_eq!(
                machine.interrupt(vector),
                Err(InterruptError::NoGate { vector })
            );
        }
        assert_eq!(machine.state_hash(), before);
    }
}

#[test]
fn a_stack_that_is_not_there_is_an_error_and_changes_nothing_the_guest_sees() {
    for ring in [0, 3] {
        let mut machine = machine(ring, INTERRUPTS_ON);
        if ring == 0 {
            let mut registers = machine.registers();
            registers.set(Gpr::Rsp, 0x1234_5000);
            machine.set_registers(&registers).unwrap();
        } else {
            machine
                .write(TASK_STACK, &0x1234_5000u64.to_le_bytes())
                .unwrap();
        }
        let before = machine.registers();
        assert!(matches!(
            machine.interrupt(VECTOR),
            Err(InterruptError::Memory(_))
        ));
        assert_eq!(machine.registers(), before);
        assert_eq!(machine.privilege_level(), ring);
        // It runs on where it was.
        assert_eq!(machine.run(machine.work() + 100).unwrap(), Exit::Limit);
        assert_eq!(machine.privilege_level(), ring);
    }
}

#[test]
fn a_stack_that_cannot_be_written_is_an_error_and_leaves_ring_3_alone() {
    let mut machine = machine(3, INTERRUPTS_ON);
    let top = KERNEL_READ_ONLY.wrapping_add(0x1000);
    machine.write(TASK_STACK, &top.0.to_le_bytes()).unwrap();
    let before = machine.registers();
    assert!(matches!(
        machine.interrupt(VECTOR),
        Err(InterruptError::Memory(_))
    ));
    assert_eq!(
        (machine.registers(), machine.privilege_level()),
        (before, 3)
    );
    assert_eq!(machine.run(machine.work() + 100).unwrap(), Exit::Limit);
    assert_eq!(machine.privilege_level(), 3);
    machine
        .write(TASK_STACK, &INTERRUPT_STACK.0.to_le_bytes())
        .unwrap();
    machine.interrupt(VECTOR).unwrap();
    assert_eq!(machine.run(machine.work() + 100).unwrap(), Exit::Limit);
    assert_eq!(word(&machine, COUNTER), 1);
}

#[test]
fn hlt_ends_when_an_interrupt_comes() {
    let mut code = Code::at(KERNEL);
    code.put(&[0xfb]).hlt().load(Gpr::Rbx, 7).int3(); // sti
    let guest = Guest::new().code(&code).code(&counting_handler());
    let mut machine = guest.gate(VECTOR, HANDLER).in_ring_0();
    assert_eq!(go(&mut machine), Exit::Halt);
    machine.interrupt(VECTOR).unwrap();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    assert_eq!(machine.registers().get(Gpr::Rbx), 7);
    assert_eq!(word(&machine, COUNTER), 1);
}

#[test]
fn an_interrupt_can_come_where_the_guest_faulted() {
    for ring in [0, 3] {
        let start = if ring == 0 { KERNEL } else { USER };
        let mut code = Code::at(start);
        code.put(&[0x0f, 0x0b]).int3(); // ud2
        let guest = Guest::new()
            .code(&code)
            .code(&counting_handler())
            .gate(VECTOR, HANDLER);
        let mut machine = if ring == 0 {
            guest.in_ring_0()
        } else {
            guest.in_ring_3()
        };
        for round in 1..4 {
            assert!(matches!(go(&mut machine), Exit::Fault(fault) if fault.vector == 6));
            assert_eq!(machine.privilege_level(), ring);
            machine.interrupt(VECTOR).unwrap();
            assert!(matches!(go(&mut machine), Exit::Fault(fault) if fault.address == start));
            assert_eq!(word(&machine, COUNTER), round);
        }
        pass_bytes(&mut machine, 2);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        assert_eq!(machine.privilege_level(), ring);
    }
}

/// A program in ring 3 that calls the kernel, a kernel that works on memory with interrupts on, and
/// string instructions in both.
fn busy_guest() -> Machine {
    let mut user = Code::at(USER);
    user.load(Gpr::Rbx, 4);
    let top = user.here();
    user.load(Gpr::Rdi, USER_DATA.0)
        .load(Gpr::Rcx, 5)
        .put(&[0x88, 0xd8]) // mov al, bl
        .put(&[0xf3, 0xaa]) // rep stosb
        .put(&[0x54, 0x58]) // push rsp; pop rax
        .syscall()
        .load(Gpr::R8, USER_DATA.0 + 0x100)
        .put(&[0x49, 0x01, 0x00]) // add [r8], rax
        .put(&[0x48, 0xff, 0xcb]) // dec rbx
        .jump_if_not_zero(top)
        .int3();
    let mut entry = Code::at(SYSTEM_CALL);
    entry
        .swapgs()
        .put(&[0x49, 0x89, 0xe4]) // mov r12, rsp
        .load(Gpr::Rsp, KERNEL_STACK.0)
        .put(&[0x51, 0x41, 0x53]) // push rcx; push r11
        .put(&[0xfb]) // sti
        .load(Gpr::Rsi, USER_DATA.0)
        .load(Gpr::Rdi, KERNEL_DATA.0 + 0x800)
        .load(Gpr::Rcx, 5)
        .put(&[0xf3, 0xa4]) // rep movsb
        .put(&[0x48, 0xff, 0x07]) // inc qword ptr [rdi]
        .put(&[0x48, 0x8b, 0x07]) // mov rax, [rdi]
        .put(&[0xfa]) // cli
        .put(&[0x41, 0x5b, 0x59]) // pop r11; pop rcx
        .put(&[0x4c, 0x89, 0xe4]) // mov rsp, r12
        .swapgs()
        .sysretq();
    Guest::new()
        .code(&user)
        .code(&entry)
        .code(&counting_handler())
        .gate(VECTOR, HANDLER)
        .in_ring_3()
}

/// What the guest has to show for itself, the handler's count left out.
fn result(machine: &Machine) -> (Registers, Vec<u8>, u8, Va, Va) {
    let mut memory = vec![0; 0x1000];
    let (kernel, user) = memory.split_at_mut(0x800);
    machine
        .read(KERNEL_DATA.wrapping_add(0x800), kernel)
        .unwrap();
    machine.read(USER_DATA, user).unwrap();
    let bases = (machine.gs_base(), machine.kernel_gs_base());
    (
        machine.registers(),
        memory,
        machine.privilege_level(),
        bases.0,
        bases.1,
    )
}

#[test]
fn an_interrupt_at_any_boundary_of_blocks_changes_nothing() {
    let mut machine = busy_guest();
    let start = machine.work();
    let mut boundaries = Vec::new();
    let wanted = loop {
        match machine.run(machine.work() + 1).unwrap() {
            Exit::Limit => boundaries.push(machine.work()),
            exit => {
                assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
                break result(&machine);
            }
        }
    };
    assert!(boundaries.len() > 50, "{} boundaries", boundaries.len());
    assert_eq!(wanted.0.rsp(), USER_STACK);

    let (mut taken, mut rings) = (0, [0; 4]);
    for boundary in std::iter::once(start).chain(boundaries) {
        let mut machine = busy_guest();
        if boundary > start {
            assert_eq!(machine.run(boundary).unwrap(), Exit::Limit);
            assert_eq!(machine.work(), boundary);
        }
        let ring = machine.privilege_level();
        match machine.interrupt(VECTOR) {
            Ok(()) => taken += 1,
            Err(InterruptError::Masked) => {}
            Err(error) => panic!("at {boundary}: {error}"),
        }
        rings[usize::from(ring)] += usize::from(machine.registers().rip() == HANDLER);
        assert!(
            matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }),
            "at {boundary}"
        );
        assert_eq!(
            result(&machine),
            wanted,
            "interrupted after {}",
            boundary - start
        );
    }
    assert!(rings[0] > 10 && rings[3] > 10, "{rings:?} of {taken}");
}

/// An interrupt at every boundary of one and the same run.
#[test]
fn a_storm_of_interrupts_changes_nothing() {
    let mut machine = busy_guest();
    go(&mut machine);
    let wanted = result(&machine);
    let mut machine = busy_guest();
    let mut taken = 0;
    loop {
        match machine.interrupt(VECTOR) {
            Ok(()) => taken += 1,
            Err(error) => assert_eq!(error, InterruptError::Masked),
        }
        // far enough for the handler and a block of the program
        match machine.run(machine.work() + 20).unwrap() {
            Exit::Limit => {}
            exit => {
                assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
                break;
            }
        }
    }
    assert_eq!(result(&machine), wanted);
    assert_eq!(word(&machine, COUNTER), taken);
    assert!(taken > 20, "{taken} interrupts");
}
