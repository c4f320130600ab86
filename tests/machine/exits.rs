//! Why the machine stops, and that it can go on.

use crate::code::Code;
use crate::guest::{
    BEYOND_MEMORY, Guest, KERNEL, KERNEL_DATA, KERNEL_READ_ONLY, USER, USER_DATA, USER_READ_ONLY,
    go, pass, pass_bytes,
};
use poolhit::address::Va;
use poolhit::machine::{Exit, Fault, Machine};
use poolhit::memory::{FaultReason, ReadMemory};
use poolhit::registers::Gpr;

/// Nothing is mapped here.
const NOTHING: Va = Va(0x1234_5000);
const NOT_CANONICAL: Va = Va(0x8000_0000_0000);

/// A guest that runs `code` in one of the rings.
fn guest(ring: u8, code: &Code) -> Machine {
    let guest = Guest::new().code(code);
    match ring {
        0 => guest.in_ring_0(),
        _ => guest.in_ring_3(),
    }
}

fn start(ring: u8) -> Code {
    Code::at(if ring == 0 { KERNEL } else { USER })
}

fn fault(machine: &mut Machine) -> Fault {
    match go(machine) {
        Exit::Fault(fault) => fault,
        other => panic!("no fault but {other:?}"),
    }
}

#[test]
fn int_3_is_reported_at_its_own_address() {
    for ring in [0, 3] {
        let mut code = start(ring);
        let first = code.put(&[0x90]).here();
        code.int3();
        let second = code.here();
        code.int3();
        let mut machine = guest(ring, &code);
        assert_eq!(
            go(&mut machine),
            Exit::HardcodedBreakpoint { address: first }
        );
        assert_eq!(machine.registers().rip(), first);
        // Going on without passing it executes it once more.
        assert_eq!(
            go(&mut machine),
            Exit::HardcodedBreakpoint { address: first }
        );
        pass(&mut machine);
        assert_eq!(
            go(&mut machine),
            Exit::HardcodedBreakpoint { address: second }
        );
        assert_eq!(machine.privilege_level(), ring);
    }
}

#[test]
fn page_faults_say_what_was_accessed() {
    let mov_from_rax = &[0x48, 0x8b, 0x08][..]; // mov rcx, [rax]
    let mov_to_rax = &[0x48, 0x89, 0x08][..]; // mov [rax], rcx
    let jump_to_rax = &[0xff, 0xe0][..]; // jmp rax
    for (ring, target, instruction, at_target) in [
        (0, NOTHING, mov_from_rax, false),
        (3, NOTHING, mov_from_rax, false),
        (0, NOTHING, mov_to_rax, false),
        (3, NOTHING, mov_to_rax, false),
        (0, NOTHING, jump_to_rax, true),
        (3, NOTHING, jump_to_rax, true),
        (0, KERNEL_READ_ONLY, mov_to_rax, false),
        (0, USER_READ_ONLY, mov_to_rax, false),
        (3, USER_READ_ONLY, mov_to_rax, false),
        (3, KERNEL_READ_ONLY, mov_from_rax, false),
        (0, KERNEL_DATA, jump_to_rax, true),
        (3, USER_DATA, jump_to_rax, true),
    ] {
        let mut code = start(ring);
        code.load(Gpr::Rax, target.0);
        let at = if at_target { target } else { code.here() };
        code.put(instruction).int3();
        let mut machine = guest(ring, &code);
        let wanted = Fault {
            vector: 14,
            address: at,
            accessed: Some(target),
        };
        assert_eq!(fault(&mut machine), wanted, "ring {ring}");
        assert_eq!(machine.registers().rip(), at);
        assert_eq!(machine.privilege_level(), ring);
    }
}

#[test]
fn an_access_over_two_pages_faults_where_the_second_begins() {
    let mut code = start(3);
    code.load(Gpr::Rax, USER_DATA.0 + 0x3ffc);
    let at = code.here();
    code.put(&[0x48, 0x8b, 0x08]); // mov rcx, [rax]
    let wanted = Fault {
        vector: 14,
        address: at,
        accessed: Some(Va(USER_DATA.0 + 0x4000)),
    };
    assert_eq!(fault(&mut guest(3, &code)), wanted);
}

#[test]
fn addresses_that_are_not_canonical_are_general_protection_faults() {
    for ring in [0, 3] {
        let mut code = start(ring);
        code.load(Gpr::Rax, NOT_CANONICAL.0);
        let at = code.here();
        code.put(&[0x48, 0x8b, 0x08]); // mov rcx, [rax]
        let wanted = Fault {
            vector: 13,
            address: at,
            accessed: None,
        };
        assert_eq!(fault(&mut guest(ring, &code)), wanted, "ring {ring}");
    }
}

#[test]
fn reads_behind_the_end_of_memory_give_ones() {
    for ring in [0, 3] {
        let mut code = start(ring);
        code.load(Gpr::Rax, BEYOND_MEMORY.0);
        code.put(&[0x48, 0x8b, 0x08]).int3(); // mov rcx, [rax]
        let mut machine = guest(ring, &code);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        assert_eq!(machine.registers().get(Gpr::Rcx), u64::MAX, "ring {ring}");
        assert_eq!(machine.privilege_level(), ring);
        // A debugger sees nothing there.
        let reason = machine.read_u8(BEYOND_MEMORY).unwrap_err().reason;
        assert!(
            matches!(reason, FaultReason::OutsideRam { .. }),
            "{reason:?}"
        );
    }
}

/// A breakpoint at the first use stops the guest there once.
#[test]
fn a_breakpoint_at_the_first_use_behind_memory_is_passed_once() {
    let mut code = start(0);
    code.load(Gpr::Rax, BEYOND_MEMORY.0);
    let at = code.here();
    code.put(&[0x48, 0x8b, 0x08]).int3(); // mov rcx, [rax]
    let mut machine = guest(0, &code);
    machine.set_breakpoint(at).unwrap();
    assert_eq!(go(&mut machine), Exit::Breakpoint { address: at });
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    assert_eq!(machine.registers().get(Gpr::Rcx), u64::MAX);
}

#[test]
fn other_exceptions_have_their_own_vectors() {
    for (vector, name, bytes) in [
        (0, "div ecx by zero", &[0x31, 0xc9, 0xf7, 0xf1][..]),
        (0, "idiv that overflows", &[0xb1, 0x00, 0xf6, 0xf9]),
        (6, "ud2", &[0x0f, 0x0b]),
        (6, "no instruction", &[0x0f, 0xff]),
        (6, "lock nop", &[0xf0, 0x90]),
        (13, "mov ds, 0x70", &[0xb8, 0x70, 0, 0, 0, 0x8e, 0xd8]),
    ] {
        for ring in [0, 3] {
            let mut code = start(ring);
            code.put(bytes).int3();
            let mut machine = guest(ring, &code);
            let fault = fault(&mut machine);
            assert_eq!(fault.vector, vector, "{name} in ring {ring}");
            assert_eq!(fault.accessed, None);
            assert_eq!(machine.registers().rip(), fault.address);
            assert!(
                fault.address >= code.start() && fault.address < code.here(),
                "{name}"
            );
        }
    }
}

/// Each kind of fault in turn, the guest going on behind it: none becomes a double fault.
#[test]
fn faults_keep_their_vectors_when_the_guest_goes_on() {
    let faults: [(u32, &[u8]); 5] = [
        (14, &[0x48, 0x8b, 0x08]), // mov rcx, [rax]
        (0, &[0xf7, 0xf6]),        // div esi
        (13, &[0x48, 0x8b, 0x0b]), // mov rcx, [rbx]
        (6, &[0x0f, 0x0b]),        // ud2
        (14, &[0x48, 0x89, 0x08]), // mov [rax], rcx
    ];
    for ring in [0, 3] {
        let mut code = start(ring);
        code.load(Gpr::Rax, NOTHING.0)
            .load(Gpr::Rbx, NOT_CANONICAL.0)
            .load(Gpr::Rsi, 0);
        for (_, bytes) in faults.iter().cycle().take(20) {
            code.put(bytes);
        }
        code.int3();
        let mut machine = guest(ring, &code);
        for (vector, bytes) in faults.iter().cycle().take(20) {
            // at each one twice: going on without a cure faults again
            for _ in 0..2 {
                assert_eq!(fault(&mut machine).vector, *vector, "ring {ring}");
                assert_eq!(machine.privilege_level(), ring);
            }
            pass_bytes(&mut machine, bytes.len() as u64);
        }
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        assert_eq!(machine.privilege_level(), ring);
    }
}

/// What going on after a fault must not change.
#[test]
fn a_fault_leaves_the_rest_of_the_processor_alone() {
    for ring in [0, 3] {
        let mut code = start(ring);
        code.put(&[0x0f, 0x0b]).int3(); // ud2
        let mut machine = guest(ring, &code);
        let mut before = machine.registers();
        for (number, value) in before.gpr.iter_mut().enumerate() {
            *value ^= (number as u64 + 1) << 40;
        }
        for (number, value) in before.xmm.iter_mut().enumerate() {
            *value = u128::MAX - number as u128;
        }
        before.rflags |= 0x8c5; // overflow, sign, zero, parity, carry
        machine.set_registers(&before).unwrap();
        let bases = (machine.gs_base(), machine.kernel_gs_base());
        assert_eq!(fault(&mut machine).vector, 6);
        assert_eq!(machine.registers(), before);
        pass_bytes(&mut machine, 2);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        before.rip += 2;
        assert_eq!(machine.registers(), before);
        assert_eq!((machine.gs_base(), machine.kernel_gs_base()), bases);
    }
}

#[test]
fn software_interrupts_are_reported_at_their_own_address() {
    for ring in [0, 3] {
        for (bytes, vector) in [
            (&[0xcd, 0x2d][..], 0x2d), // the kernel's debug service
            (&[0xcd, 0x80], 0x80),
            (&[0xcd, 0x0e], 0x0e), // the number of an exception, but none
            (&[0xcd, 0x04], 0x04),
            (&[0x0f, 0x34], 13), // sysenter, which nobody has set up
        ] {
            // behind a page that is not there, in the middle of one, and over two
            for offset in [0, 0x10, 0xfff] {
                let mut code = Code::at(start(ring).start().wrapping_add(offset));
                code.put(bytes).int3();
                let mut machine = guest(ring, &code);
                let mut registers = machine.registers();
                registers.rip = code.start().0;
                machine.set_registers(&registers).unwrap();
                for _ in 0..2 {
                    let fault = fault(&mut machine);
                    assert_eq!((fault.vector, fault.address), (vector, code.start()));
                }
                pass_bytes(&mut machine, 2);
                assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
            }
        }
    }
}

/// `int 3` has a long form, too.
#[test]
fn both_forms_of_int_3_are_breakpoints() {
    for ring in [0, 3] {
        for (offset, bytes) in [(0, &[0xcc][..]), (0, &[0xcd, 0x03]), (0xfff, &[0xcd, 0x03])] {
            let mut code = Code::at(start(ring).start().wrapping_add(offset));
            code.put(bytes).put(&[0x0f, 0x0b]); // ud2
            let mut machine = guest(ring, &code);
            let mut registers = machine.registers();
            registers.rip = code.start().0;
            machine.set_registers(&registers).unwrap();
            let work = machine.work();
            let address = code.start();
            assert_eq!(go(&mut machine), Exit::HardcodedBreakpoint { address });
            assert_eq!(machine.work(), work);
            pass_bytes(&mut machine, bytes.len() as u64);
            assert_eq!(fault(&mut machine).vector, 6);
        }
    }
}

/// Bytes that look like `int 0eh`, at the end of the last page there is.
#[test]
fn a_fault_on_fetching_is_no_software_interrupt() {
    for ring in [0, 3] {
        let end = start(ring).start().wrapping_add(0x4000);
        let mut code = Code::at(end.wrapping_sub(6));
        code.put(&[0x0f, 0x84, 0, 0, 0xcd, 0x0e]); // jz, far away; the flag is clear
        let mut machine = guest(ring, &code);
        let mut registers = machine.registers();
        registers.rip = code.start().0;
        machine.set_registers(&registers).unwrap();
        let wanted = Fault {
            vector: 14,
            address: end,
            accessed: Some(end),
        };
        assert_eq!(fault(&mut machine), wanted);
    }
}

/// What the floating-point unit holds survives a fault, too.
#[test]
fn a_fault_leaves_the_floating_point_unit_alone() {
    for ring in [0, 3] {
        let mut code = start(ring);
        code.load(Gpr::Rax, USER_DATA.0 + 8)
            .put(&[0xd9, 0x38]) // fnstcw [rax]
            .put(&[0x0f, 0xae, 0x58, 0x04]) // stmxcsr [rax+4]
            .put(&[0xd9, 0xe8]) // fld1
            .put(&[0xd9, 0xeb]) // fldpi
            .put(&[0x0f, 0x0b]) // ud2
            .put(&[0xde, 0xc1]) // faddp
            .load(Gpr::Rax, USER_DATA.0)
            .put(&[0xdd, 0x18]) // fstp qword ptr [rax]
            .int3();
        let mut machine = guest(ring, &code);
        assert_eq!(fault(&mut machine).vector, 6);
        pass_bytes(&mut machine, 2);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        let sum = f64::from_bits(machine.read_u64(USER_DATA).unwrap());
        assert_eq!(sum, std::f64::consts::PI + 1.0);
        let control = machine.read_u64(USER_DATA.wrapping_add(8)).unwrap();
        assert_eq!(
            control, 0x0000_1f80_0000_037f,
            "as after a reset and fninit"
        );
    }
}

#[test]
fn hlt_waits() {
    let mut code = start(0);
    code.put(&[0x90]).hlt().int3();
    let mut machine = guest(0, &code);
    assert_eq!(go(&mut machine), Exit::Halt);
    // behind the instruction: an interrupt's handler returns there
    assert_eq!(machine.registers().rip(), KERNEL.wrapping_add(2));
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
}
