//! Breakpoints that guest memory does not show.

use crate::code::Code;
use crate::guest::{
    GATE, Guest, HANDLER, KERNEL, SYSTEM_CALL, USER, USER_DATA, go, pass, pass_bytes, word,
};
use poolhit::address::Va;
use poolhit::machine::{Exit, Machine};
use poolhit::memory::ReadMemory;
use poolhit::registers::Gpr;

/// Where a vector that no exception has goes.
const VECTOR: u8 = 0xd1;

/// Counts ten rounds in RAX; gives the code, the loop's start, and the address in its middle.
fn ten_rounds(start: Va) -> (Code, Va, Va) {
    let mut code = Code::at(start);
    code.load(Gpr::Rdi, 10);
    let top = code.here();
    code.put(&[0x48, 0xff, 0xc0]); // inc rax
    let middle = code.here();
    code.put(&[0x48, 0xff, 0xcf]) // dec rdi
        .jump_if_not_zero(top)
        .int3();
    (code, top, middle)
}

fn rax(machine: &Machine) -> u64 {
    machine.registers().get(Gpr::Rax)
}

fn at(address: Va) -> Exit {
    Exit::Breakpoint { address }
}

#[test]
fn a_breakpoint_stops_in_front_of_its_instruction_each_time() {
    for start in [KERNEL, USER] {
        let (code, top, middle) = ten_rounds(start);
        let guest = Guest::new().code(&code);
        let mut machine = match start {
            KERNEL => guest.in_ring_0(),
            _ => guest.in_ring_3(),
        };
        machine.set_breakpoint(top).unwrap();
        machine.set_breakpoint(middle).unwrap();
        machine.set_breakpoint(middle).unwrap(); // twice is once
        for round in 0..10 {
            assert_eq!(go(&mut machine), at(top));
            assert_eq!((rax(&machine), machine.registers().rip()), (round, top));
            assert_eq!(go(&mut machine), at(middle));
            assert_eq!(rax(&machine), round + 1);
        }
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        assert_eq!(rax(&machine), 10);
    }
}

#[test]
fn memory_does_not_show_a_breakpoint() {
    let (code, top, middle) = ten_rounds(USER);
    let mut machine = Guest::new().code(&code).in_ring_3();
    let hash = machine.state_hash();
    machine.set_breakpoint(top).unwrap();
    machine.set_breakpoint(middle).unwrap();
    let mut seen = vec![0; code.bytes().len()];
    machine.read(USER, &mut seen).unwrap();
    assert_eq!(seen, code.bytes());
    assert_eq!(machine.state_hash(), hash);
    machine.clear_breakpoint(top).unwrap();
    assert_eq!(machine.state_hash(), hash);
}

#[test]
fn one_set_where_the_guest_stands_is_passed_once() {
    let (code, _, _) = ten_rounds(USER);
    let mut machine = Guest::new().code(&code).in_ring_3();
    machine.set_breakpoint(USER).unwrap();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    let mut registers = machine.registers();
    registers.rip = USER.0;
    machine.set_registers(&registers).unwrap();
    assert_eq!(go(&mut machine), at(USER));
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
}

#[test]
fn a_cleared_breakpoint_is_gone_and_may_come_back() {
    let (code, top, middle) = ten_rounds(USER);
    let mut machine = Guest::new().code(&code).in_ring_3();
    machine.set_breakpoint(top).unwrap();
    machine.set_breakpoint(middle).unwrap();
    assert_eq!(go(&mut machine), at(top));
    machine.clear_breakpoint(top).unwrap();
    assert_eq!(go(&mut machine), at(middle));
    assert_eq!(go(&mut machine), at(middle));
    machine.clear_breakpoint(middle).unwrap();
    machine.clear_breakpoint(middle).unwrap();
    machine.set_breakpoint(top).unwrap();
    assert_eq!(go(&mut machine), at(top));
    assert_eq!(rax(&machine), 2);
    machine.clear_breakpoint(top).unwrap();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    assert_eq!(rax(&machine), 10);
}

/// A limit may end a run right in front of a breakpoint, which then has not been reported.
#[test]
fn no_limit_hides_a_breakpoint() {
    let (code, top, middle) = ten_rounds(USER);
    for step in 1..40 {
        let mut machine = Guest::new().code(&code).in_ring_3();
        machine.set_breakpoint(top).unwrap();
        machine.set_breakpoint(middle).unwrap();
        let mut stops = Vec::new();
        loop {
            match machine.run(machine.work() + step).unwrap() {
                Exit::Limit => {}
                Exit::Breakpoint { address } => stops.push(address),
                other => {
                    assert!(
                        matches!(other, Exit::HardcodedBreakpoint { .. }),
                        "{other:?}"
                    );
                    break;
                }
            }
        }
        assert_eq!(stops, [top, middle].repeat(10), "{step} bytes at a time");
    }
}

#[test]
fn a_breakpoint_and_an_int_3_at_one_address_both_stop() {
    let mut code = Code::at(USER);
    let first = code.put(&[0x90]).here();
    code.int3();
    let second = code.here();
    code.put(&[0x90]).int3();
    let mut machine = Guest::new().code(&code).in_ring_3();
    machine.set_breakpoint(first).unwrap();
    machine.set_breakpoint(second).unwrap();
    assert_eq!(go(&mut machine), at(first));
    assert_eq!(
        go(&mut machine),
        Exit::HardcodedBreakpoint { address: first }
    );
    // Behind the int 3, a breakpoint has not been reported yet.
    pass(&mut machine);
    assert_eq!(go(&mut machine), at(second));
}

#[test]
fn unmapped_addresses_take_breakpoints_without_harm() {
    let (code, _, _) = ten_rounds(USER);
    let places = [
        0,
        0x1234_5000,
        0x8000_0000_0000,
        u64::MAX,
        KERNEL.0 + 0x4000,
    ]
    .map(Va);
    let mut machine = Guest::new().code(&code).in_ring_3();
    for place in places {
        machine.set_breakpoint(place).unwrap();
    }
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    for place in places {
        machine.clear_breakpoint(place).unwrap();
    }
    assert_eq!(rax(&machine), 10);
}

/// Once the engine looks an address up that it cannot reach, it must not take that for an
/// exception of the guest's.
#[test]
fn clearing_a_breakpoint_leaves_faults_as_they_are() {
    let mut user = Code::at(USER);
    user.syscall()
        .load(Gpr::Rax, 0x1234_5000)
        .put(&[0x48, 0x8b, 0x08]); // mov rcx, [rax]
    let faulting = user.here().wrapping_sub(3);
    let mut entry = Code::at(SYSTEM_CALL);
    entry.sysretq();
    let mut machine = Guest::new().code(&user).code(&entry).in_ring_3();
    machine.set_breakpoint(SYSTEM_CALL).unwrap();
    assert_eq!(go(&mut machine), at(SYSTEM_CALL));
    machine.set_breakpoint(faulting).unwrap();
    assert_eq!(go(&mut machine), at(faulting));
    // Ring 3 cannot reach the one, and the page with the other is about to be left alone.
    machine.clear_breakpoint(SYSTEM_CALL).unwrap();
    for _ in 0..3 {
        let Exit::Fault(fault) = go(&mut machine) else {
            panic!("no fault");
        };
        let wanted = (14, faulting, Some(Va(0x1234_5000)));
        assert_eq!((fault.vector, fault.address, fault.accessed), wanted);
        assert_eq!(machine.privilege_level(), 3);
    }
    machine.clear_breakpoint(faulting).unwrap();
    assert!(matches!(go(&mut machine), Exit::Fault(_)));
}

#[test]
fn an_interrupts_handler_can_have_a_breakpoint() {
    let (code, top, _) = ten_rounds(USER);
    let mut handler = Code::at(HANDLER);
    handler.iretq();
    let guest = Guest::new()
        .code(&code)
        .code(&handler)
        .gate(VECTOR, HANDLER);
    let mut machine = guest.in_ring_3();
    machine.set_breakpoint(top).unwrap();
    machine.set_breakpoint(HANDLER).unwrap();
    assert_eq!(go(&mut machine), at(top));
    machine.interrupt(VECTOR).unwrap();
    assert_eq!(go(&mut machine), at(HANDLER));
    assert_eq!(machine.privilege_level(), 0);
    machine.clear_breakpoint(top).unwrap();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    assert_eq!(rax(&machine), 10);
}

/// The machine's own way between the rings has code too.
#[test]
fn breakpoints_in_the_gate_do_not_keep_the_machine_from_working() {
    let mut user = Code::at(USER);
    user.put(&[0x0f, 0x0b]) // ud2
        .syscall()
        .int3();
    let mut entry = Code::at(SYSTEM_CALL);
    entry.int3();
    let mut handler = Code::at(HANDLER);
    handler.load(Gpr::Rax, 1).store(USER_DATA, Gpr::Rax).iretq();
    let guest = Guest::new().code(&user).code(&entry).code(&handler);
    let mut machine = guest.gate(VECTOR, HANDLER).in_ring_3();
    for page in [GATE.user_page, GATE.kernel_page] {
        for offset in 0..0x90 {
            machine.set_breakpoint(page.wrapping_add(offset)).unwrap();
        }
    }
    assert!(matches!(go(&mut machine), Exit::Fault(_)));
    machine.interrupt(VECTOR).unwrap();
    assert!(matches!(go(&mut machine), Exit::Fault(_)));
    assert_eq!(word(&machine, USER_DATA), 1);
    pass_bytes(&mut machine, 2);
    assert_eq!(go(&mut machine), at(GATE.user_page));
    while machine.registers().rip() != SYSTEM_CALL {
        go(&mut machine);
    }
    assert_eq!(machine.privilege_level(), 0);
}
