//! Going on after a fault: it comes again, as what it was, until its cause is gone.

use crate::support::*;
use poolhit::address::Va;
use poolhit::guest::BugCheck;
use poolhit::{Session, StopReason};

/// Faults by their code, vector, and the address that cannot be reached.
fn faults() -> Vec<(&'static str, Vec<u8>, u32, Option<u64>)> {
    let set = |address| Code::default().set(RAX, address);
    vec![
        ("div ecx", vec![0x31, 0xc9, 0xf7, 0xf1], 0, None),
        ("ud2", vec![0x0f, 0x0b], 6, None),
        ("int 0dh", vec![0xcd, 0x0d], 13, None),
        (
            "read, not canonical",
            set(NOT_CANONICAL).raw(&[0x8b, 0x00]).0,
            13,
            None,
        ),
        (
            "jump, not canonical",
            set(NOT_CANONICAL).raw(&[0xff, 0xe0]).0,
            13,
            None,
        ),
        (
            "push, not canonical",
            Code::default().set(RSP, NOT_CANONICAL).raw(&[0x50]).0,
            13,
            None,
        ),
        ("mov ds", vec![0xb8, 0x58, 0, 0, 0, 0x8e, 0xd8], 13, None),
    ]
}

const NOT_CANONICAL: u64 = 0x1234_0000_0000_0000;
/// No memory, in the program's half and in the kernel's.
const NOWHERE: [u64; 2] = [0x7_0000, 0xfffffa80_0eee0000];
/// Ten bytes behind the start of the code that [`reach`] makes.
const ACCESSES: [(&str, [u8; 2], Access); 3] = [
    ("read", [0x8b, 0x00], Access::Read),
    ("write", [0x89, 0x00], Access::Write),
    ("jump", [0xff, 0xe0], Access::Execute),
];

/// Puts the address into RAX for one of the [`ACCESSES`].
fn reach(address: u64, access: [u8; 2]) -> Vec<u8> {
    Code::default().set(RAX, address).raw(&access).0
}

/// What `stop` gives comes four times, in the same state.
#[track_caller]
fn repeats<T: PartialEq + std::fmt::Debug>(
    session: &mut Session,
    name: &str,
    ring: u8,
    stop: impl Fn(&mut Session) -> T,
    expected: T,
) {
    let mut first = None;
    for time in 0..4 {
        assert_eq!(stop(session), expected, "{name} in ring {ring}, {time}");
        assert_eq!(session.lab().machine().privilege_level(), ring, "{name}");
        let registers = session.registers();
        assert_eq!(
            *first.get_or_insert(registers.clone()),
            registers,
            "{name} in ring {ring}"
        );
        look(session);
    }
}

#[track_caller]
fn comes_again(session: &mut Session, name: &str, ring: u8, vector: u32, accessed: Option<u64>) {
    repeats(session, name, ring, fault, (vector, accessed.map(Va)));
}

#[test]
fn the_same_fault_comes_again() {
    for (name, code, vector, accessed) in faults() {
        comes_again(&mut with_program(&code), name, 3, vector, accessed);
    }
    comes_again(&mut with_program(&[0xcd, 0x80]), "int 80h", 3, 0x80, None);
    for address in NOWHERE {
        for (name, access, _) in ACCESSES {
            let code = reach(address, access);
            comes_again(&mut with_program(&code), name, 3, 14, Some(address));
        }
    }
    fresh_lab_works();
}

/// In ring 0 the kernel makes bug checks of page faults, and there is no way on from them.
#[test]
fn the_same_bug_check_comes_again() {
    for address in NOWHERE {
        for (name, access, wanted) in ACCESSES {
            // A call, so that the stack leads back from where there is no code.
            let access = match wanted {
                Access::Execute => [0xff, 0xd0],
                _ => access,
            };
            let (mut session, at) = with_body_of_system_call(&reach(address, access));
            let instruction = match wanted {
                Access::Execute => address,
                _ => at.0 + 10,
            };
            let expected = bug_check(&mut session);
            assert_page_fault(expected, Inside::SystemCall, address, wanted, instruction);
            repeats(&mut session, name, 0, bug_check, expected);
            // The stack leads from the bug check to the instruction.
            let frames = session.stack(64).frames;
            let is_handler = |symbol: &Option<String>| symbol.as_deref() == Some("KiPageFault");
            let handler = frames.iter().position(|frame| is_handler(&frame.symbol));
            let behind = handler.map(|handler| frames[handler + 1].address);
            assert_eq!(behind, Some(Va(instruction)), "{name}: {frames:?}");
        }
    }
    for (name, code, vector, _) in faults() {
        let (mut session, at) = with_body_of_system_call(&code);
        let expected = bug_check(&mut session);
        let status = match vector {
            0 => 0xffff_ffff_c000_0094,
            6 => 0xffff_ffff_c000_001d,
            _ => ACCESS_VIOLATION,
        };
        match name {
            // UNEXPECTED_KERNEL_MODE_TRAP, EXCEPTION_DOUBLE_FAULT: there is no stack.
            "push, not canonical" => {
                assert_eq!((expected.code, expected.parameters[0]), (0x7f, 8));
                assert_eq!(expected.parameters[3], at.0 + 10);
            }
            _ => {
                let instruction = expected.parameters[1];
                // The stack does not lead back from where the code has jumped.
                let (inside, information) = match instruction {
                    NOT_CANONICAL => (Inside::Nowhere, [0, u64::MAX]),
                    _ => (Inside::SystemCall, [0; 2]),
                };
                let is_near = inside == Inside::Nowhere || instruction - at.0 < 16;
                assert!(is_near, "{name}: {expected:?}");
                assert_exception(expected, inside, status, instruction, information);
            }
        }
        repeats(&mut session, name, 0, bug_check, expected);
    }
    // UNEXPECTED_KERNEL_MODE_TRAP, without the vector
    let unexpected = BugCheck {
        code: 0x7f,
        parameters: [0; 4],
    };
    let (mut session, _) = with_system_call(&[0xcd, 0x80]);
    repeats(&mut session, "int 80h", 0, bug_check, unexpected);
    fresh_lab_works();
}

/// The kernel's memory is there, but not for the program.
#[test]
fn the_kernel_is_closed_to_the_program() {
    let tag = 0xfffff800_016530fc;
    for access in [[0x8b, 0x00], [0x89, 0x00], [0xff, 0xe0]] {
        let code = Code::default().set(RAX, tag).raw(&access).0;
        comes_again(&mut with_program(&code), "kernel", 3, 14, Some(tag));
    }
}

/// A fault at a page that may not run stays a fault even if an `int 3` is there.
#[test]
fn a_break_instruction_that_cannot_be_fetched_is_not_passed() {
    let code = Code::default().raw(&[0x6a, 0xcc, 0xff, 0xe4]).0; // push 0cch; jmp rsp
    let mut session = with_program(&code);
    let stack = session.registers().rsp();
    for _ in 0..3 {
        let (vector, accessed) = fault(&mut session);
        assert_eq!((vector, accessed), (14, Some(session.registers().rsp())));
        assert_ne!(session.registers().rsp(), stack);
    }
}

#[test]
fn a_patched_cause_lets_the_guest_go_on() {
    // ud2; then end the process with status 77h
    let end = Code::default()
        .raw(&[0x0f, 0x0b])
        .set(RAX, 0x29)
        .set(R10, u64::MAX)
        .set(RDX, 0x77)
        .raw(&[0x0f, 0x05]);
    let mut session = with_program(&end.0);
    assert_eq!(fault(&mut session), (6, None));
    session.execute("eb @rip 90 90").unwrap();
    let exit_status = Some(0x77);
    assert_eq!(go(&mut session).reason, StopReason::Idle { exit_status });

    // in the kernel: it may be patched where the fault is about to come, and fails the call
    let (mut session, at) = with_system_call(&[0x0f, 0x0b, 0xb8, 0x0d, 0, 0, 0xc0, 0xc3]);
    session.execute(&format!("bp {at}")).unwrap();
    assert_eq!(go(&mut session).address, at);
    session.execute("bc *").unwrap();
    session.write(at, &[0x90, 0x90]).unwrap();
    // Every one of the program's 2048 requests fails.
    session.set_budget(100 << 20);
    let exit_status = Some(2048);
    assert_eq!(go(&mut session).reason, StopReason::Idle { exit_status });
}

/// Registers survive the way back into user mode, whatever the flags are.
#[test]
fn registers_are_kept_over_a_fault() {
    let mut code = Code::default();
    for register in (0..16).filter(|register| *register != RSP) {
        code = code.set(register, 0x0101_0101_0101_0101 * u64::from(register));
    }
    // all flags that a program may set, but the trap flag: carry … overflow, direction, nested task
    let code = code.raw(&[0x68, 0xd5, 0x4e, 0, 0, 0x9d, 0x0f, 0x0b]);
    let mut session = with_program(&code.0);
    let mut first = None;
    for _ in 0..3 {
        assert_eq!(fault(&mut session), (6, None));
        let registers = session.registers();
        assert_eq!(registers.rflags & 0x4cd5, 0x4cd5, "{:x}", registers.rflags);
        assert_eq!(*first.get_or_insert(registers.clone()), registers);
    }
}

/// With the trap flag set every instruction is a stop.
#[test]
fn the_trap_flag_steps() {
    let code = [0x68, 0x02, 0x01, 0, 0, 0x9d, 0x90, 0x90, 0x90, 0x90];
    let mut session = with_program(&code);
    for step in 0..3 {
        assert_eq!(fault(&mut session).0, 1);
        assert_eq!(session.registers().rip, PROGRAM_CODE + 7 + step);
    }
    let (mut session, at) = with_system_call(&code);
    for step in 0..3 {
        assert_eq!(fault(&mut session).0, 1);
        assert_eq!(session.registers().rip(), at.wrapping_add(7 + step));
    }
}
