//! Privilege levels, and the ways from one to the other.

use crate::code::Code;
use crate::guest::{
    GATE, Guest, INTERRUPTS_ON, KERNEL, KERNEL_DATA, KERNEL_GS, KERNEL_STACK, SYSTEM_CALL, USER,
    USER_DATA, USER_GS, USER_STACK, go, pass, word,
};
use poolhit::address::Va;
use poolhit::machine::Exit;
use poolhit::machine::debug_port::{BREAK_IN, DATA};
use poolhit::memory::WriteMemory;
use poolhit::registers::Gpr;

/// A system call's entry that stops at once.
fn entry_that_stops() -> Code {
    let mut code = Code::at(SYSTEM_CALL);
    code.int3();
    code
}

fn calling_user() -> Code {
    let mut code = Code::at(USER);
    code.syscall().int3();
    code
}

#[test]
fn both_rings_start_as_asked() {
    let machine = Guest::new().in_ring_3();
    assert_eq!(machine.privilege_level(), 3);
    assert_eq!(machine.gs_base(), USER_GS);
    assert_eq!(machine.kernel_gs_base(), KERNEL_GS);
    assert_eq!(machine.registers().rsp(), USER_STACK);
    assert!(machine.interrupts_enabled());

    let machine = Guest::new().flags(2).in_ring_0();
    assert_eq!(machine.privilege_level(), 0);
    assert_eq!(machine.gs_base(), KERNEL_GS);
    assert_eq!(machine.registers().rsp(), KERNEL_STACK);
    assert!(!machine.interrupts_enabled());
}

#[test]
fn privileged_instructions_fault_in_ring_3_alone() {
    for (name, bytes) in [
        ("hlt", &[0xf4][..]),
        ("cli", &[0xfa]),
        ("swapgs", &[0x0f, 0x01, 0xf8]),
        ("mov rax, cr3", &[0x0f, 0x20, 0xd8]),
        ("mov cr3, rax", &[0x0f, 0x22, 0xd8]),
        ("wrmsr", &[0x0f, 0x30]),
        ("rdmsr", &[0x0f, 0x32]),
        ("invlpg [rax]", &[0x0f, 0x01, 0x38]),
        ("lidt [rax]", &[0x0f, 0x01, 0x18]),
        ("sysretq", &[0x48, 0x0f, 0x07]),
    ] {
        let mut code = Code::at(USER);
        code.put(bytes).int3();
        let mut machine = Guest::new().code(&code).in_ring_3();
        match go(&mut machine) {
            Exit::Fault(fault) => {
                let wanted = (13, USER, None);
                assert_eq!(
                    (fault.vector, fault.address, fault.accessed),
                    wanted,
                    "{name}"
                );
            }
            other => panic!("{name} in ring 3: {other:?}"),
        }
        assert_eq!(machine.privilege_level(), 3, "{name}");
    }
    // The same in ring 0 is what a kernel does all the time.
    let mut code = Code::at(KERNEL);
    code.put(&[0xfa]) // cli
        .put(&[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]) // mov rax, cr3; mov cr3, rax
        .put(&[0x0f, 0x01, 0x38]) // invlpg [rax]
        .set_msr(0xc000_0103, 5)
        .put(&[0x0f, 0x32]) // rdmsr
        .int3();
    let mut machine = Guest::new().code(&code).in_ring_0();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    assert_eq!(machine.registers().get(Gpr::Rax), 5);
    assert!(!machine.interrupts_enabled());
}

#[test]
fn a_system_call_arrives_with_everything_in_its_place() {
    let mut machine = Guest::new()
        .code(&calling_user())
        .code(&entry_that_stops())
        .flags(INTERRUPTS_ON | 0x400 | 0x41) // direction, zero and carry
        .in_ring_3();
    let mut before = machine.registers();
    for (number, value) in before.gpr.iter_mut().enumerate() {
        if number != Gpr::Rsp as usize {
            *value = 0x1111_0000_0000_0000 + number as u64;
        }
    }
    for (number, value) in before.xmm.iter_mut().enumerate() {
        *value = 0xabcd << 64 | number as u128;
    }
    machine.set_registers(&before).unwrap();

    let exit = go(&mut machine);
    assert_eq!(
        exit,
        Exit::HardcodedBreakpoint {
            address: SYSTEM_CALL
        }
    );
    assert_eq!(machine.privilege_level(), 0);
    // swapgs is the kernel's to execute
    assert_eq!(machine.gs_base(), USER_GS);
    let after = machine.registers();
    let mut wanted = before.clone();
    wanted.set(Gpr::Rcx, USER.0 + 2);
    wanted.set(Gpr::R11, before.rflags);
    wanted.rip = SYSTEM_CALL.0;
    wanted.rflags = before.rflags & !0x4700;
    assert_eq!(after, wanted);
}

#[test]
fn a_system_call_clears_the_flags_that_the_mask_names() {
    for mask in [0x4700, 0x4701, 0x200, 0x700, 0, 0x44700] {
        let flags = INTERRUPTS_ON | 0x400 | 0x41;
        let mut machine = Guest::new()
            .code(&calling_user())
            .code(&entry_that_stops())
            .flags(flags)
            .flag_mask(mask)
            .in_ring_3();
        go(&mut machine);
        let registers = machine.registers();
        assert_eq!(registers.get(Gpr::R11), flags, "mask {mask:#x}");
        assert_eq!(registers.rflags, flags & !mask, "mask {mask:#x}");
    }
}

#[test]
fn sysretq_returns_behind_the_call() {
    let mut user = Code::at(USER);
    user.syscall().int3();
    let mut entry = Code::at(SYSTEM_CALL);
    entry
        .swapgs()
        .put(&[0x65, 0x48, 0x89, 0x24, 0x25, 0x10, 0, 0, 0]) // mov gs:[10h], rsp
        .put(&[0x65, 0x48, 0x8b, 0x24, 0x25, 0x18, 0, 0, 0]) // mov rsp, gs:[18h]
        .put(&[0x6a, 0x07, 0x58]) // push 7; pop rax
        .put(&[0x65, 0x48, 0x8b, 0x24, 0x25, 0x10, 0, 0, 0]) // mov rsp, gs:[10h]
        .swapgs()
        .sysretq();
    let mut machine = Guest::new().code(&user).code(&entry).in_ring_3();
    let stack = KERNEL_STACK.0.to_le_bytes();
    machine.write(KERNEL_GS.wrapping_add(0x18), &stack).unwrap();
    let exit = go(&mut machine);
    let address = USER.wrapping_add(2);
    assert_eq!(exit, Exit::HardcodedBreakpoint { address });
    assert_eq!(machine.privilege_level(), 3);
    assert_eq!(machine.gs_base(), USER_GS);
    let registers = machine.registers();
    assert_eq!(registers.get(Gpr::Rax), 7);
    assert_eq!(registers.rsp(), USER_STACK);
    assert_eq!(registers.rflags, INTERRUPTS_ON);
    // what the kernel wrote through its own GS is in the kernel's page, not in the user's
    assert_eq!(word(&machine, KERNEL_GS.wrapping_add(0x10)), USER_STACK.0);
    assert_eq!(word(&machine, USER_GS.wrapping_add(0x10)), 0);
}

#[test]
fn a_thousand_system_calls_leave_the_rings_as_they_were() {
    let mut user = Code::at(USER);
    user.load(Gpr::Rdi, 1000);
    let again = user.here();
    user.syscall()
        .put(&[0x48, 0xff, 0xcf]) // dec rdi
        .jump_if_not_zero(again)
        .int3();
    let mut entry = Code::at(SYSTEM_CALL);
    entry
        .swapgs()
        .put(&[0x65, 0x48, 0xff, 0x04, 0x25, 0, 0, 0, 0]) // inc qword ptr gs:[0]
        .swapgs()
        .sysretq();
    let mut machine = Guest::new().code(&user).code(&entry).in_ring_3();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    assert_eq!(word(&machine, KERNEL_GS), 1000);
    assert_eq!(machine.privilege_level(), 3);
    assert_eq!(machine.registers().rsp(), USER_STACK);
}

#[test]
fn swapgs_exchanges_the_two_bases() {
    let mut code = Code::at(KERNEL);
    code.swapgs().int3().swapgs().int3();
    let mut machine = Guest::new().code(&code).in_ring_0();
    let (gs, other) = (machine.gs_base(), machine.kernel_gs_base());
    assert_ne!(gs, other);
    go(&mut machine);
    assert_eq!((machine.gs_base(), machine.kernel_gs_base()), (other, gs));
    pass(&mut machine);
    go(&mut machine);
    assert_eq!((machine.gs_base(), machine.kernel_gs_base()), (gs, other));
}

#[test]
fn ring_3_cannot_reach_the_kernels_pages() {
    for target in [KERNEL, KERNEL_DATA] {
        let mut code = Code::at(USER);
        code.load(Gpr::Rax, target.0).put(&[0x48, 0x8b, 0x08]); // mov rcx, [rax]
        let at = code.here().wrapping_sub(3);
        let mut machine = Guest::new().code(&code).in_ring_3();
        let Exit::Fault(fault) = go(&mut machine) else {
            panic!("the kernel's memory was read from ring 3");
        };
        let wanted = (14, at, Some(target));
        assert_eq!((fault.vector, fault.address, fault.accessed), wanted);
    }
}

/// The byte stays for the kernel.
#[test]
fn ring_3_does_not_reach_the_debug_port() {
    let read = |code: &mut Code| {
        code.load(Gpr::Rdx, DATA.into()).put(&[0xec]).int3(); // in al, dx
    };
    let (mut user, mut kernel) = (Code::at(USER), Code::at(KERNEL));
    read(&mut user);
    read(&mut kernel);
    let mut machine = Guest::new().code(&user).in_ring_3();
    machine.send_to_debug_port(BREAK_IN);
    let before = machine.registers().get(Gpr::Rax);
    let Exit::Fault(fault) = go(&mut machine) else {
        panic!("the port was read from ring 3");
    };
    assert_eq!(fault.vector, 13);
    assert_eq!(machine.registers().get(Gpr::Rax), before);

    let mut machine = Guest::new().code(&kernel).in_ring_0();
    machine.send_to_debug_port(BREAK_IN);
    go(&mut machine);
    assert_eq!(machine.registers().get(Gpr::Rax), BREAK_IN.into());
}

#[test]
fn a_system_call_from_ring_0_is_a_jump() {
    let mut kernel = Code::at(KERNEL);
    kernel.syscall().int3();
    let mut machine = Guest::new()
        .code(&kernel)
        .code(&entry_that_stops())
        .in_ring_0();
    assert_eq!(
        go(&mut machine),
        Exit::HardcodedBreakpoint {
            address: SYSTEM_CALL
        }
    );
    let registers = machine.registers();
    assert_eq!(registers.get(Gpr::Rcx), KERNEL.0 + 2);
    assert_eq!(registers.get(Gpr::R11), INTERRUPTS_ON);
    assert_eq!(registers.rsp(), KERNEL_STACK);
    assert_eq!(registers.rflags, 2);
}

/// Handlers of ring 0 that a hostile kernel has put where the machine's own code is.
#[test]
fn a_guest_that_overwrites_the_gate_is_an_error_and_not_a_hang() {
    let mut user = Code::at(USER);
    user.put(&[0x0f, 0x0b]); // ud2
    let mut machine = Guest::new().code(&user).in_ring_3();
    assert!(matches!(go(&mut machine), Exit::Fault(_)));
    machine
        .write(GATE.kernel_page, &[[0xeb, 0xfe]; 0x40].concat())
        .unwrap(); // jmp $
    let (work, registers) = (machine.work(), machine.registers());
    for _ in 0..2 {
        // Ring 3's code must not go on with the privileges of ring 0.
        assert!(machine.run(work + 1000).is_err());
        assert_eq!(machine.work(), work);
        assert_eq!(machine.registers(), registers);
    }
}

/// A kernel that sets its system call entry and enters user mode in one go.
#[test]
fn an_entry_set_in_the_same_run_is_the_one_called() {
    let entry = SYSTEM_CALL.wrapping_add(0x40);
    let mut kernel = Code::at(KERNEL);
    kernel
        .set_msr(0xc000_0082, entry.0)
        .put(&[0x6a, 0x2b]) // push 2bh: SS
        .load(Gpr::Rax, USER_STACK.0)
        .put(&[0x50]) // push rax: RSP
        .put(&[0x68, 2, 2, 0, 0]) // push 202h: RFLAGS
        .put(&[0x6a, 0x33]) // push 33h: CS
        .load(Gpr::Rax, USER.0)
        .put(&[0x50]) // push rax: RIP
        .iretq();
    let mut target = Code::at(entry);
    target.int3();
    let mut machine = Guest::new()
        .code(&kernel)
        .code(&calling_user())
        .code(&entry_that_stops())
        .code(&target)
        .in_ring_0();
    assert_eq!(
        go(&mut machine),
        Exit::HardcodedBreakpoint { address: entry }
    );
}

#[test]
fn far_data_of_the_user_is_reached_from_both_rings() {
    for (start, ring) in [(KERNEL, 0), (USER, 3)] {
        let mut code = Code::at(start);
        code.load(Gpr::Rax, 0x1234)
            .store(USER_DATA, Gpr::Rax)
            .int3();
        let guest = Guest::new().code(&code);
        let mut machine = if ring == 0 {
            guest.in_ring_0()
        } else {
            guest.in_ring_3()
        };
        go(&mut machine);
        assert_eq!(word(&machine, USER_DATA), 0x1234);
        assert_eq!(word(&machine, Va(USER_DATA.0 + 8)), 0);
    }
}
