//! Code that somebody changes: the debugger, or the guest itself.

use crate::code::Code;
use crate::guest::{Guest, KERNEL, USER, go, pass};
use poolhit::address::Va;
use poolhit::machine::{Exit, Machine};
use poolhit::memory::WriteMemory;
use poolhit::registers::Gpr;
use proptest::prelude::*;

fn start(ring: u8) -> Va {
    if ring == 0 { KERNEL } else { USER }
}

fn guest(ring: u8, code: &Code) -> Machine {
    let guest = Guest::new().code(code);
    match ring {
        0 => guest.in_ring_0(),
        _ => guest.in_ring_3(),
    }
}

fn rax(machine: &Machine) -> u64 {
    machine.registers().get(Gpr::Rax)
}

/// Runs the code from its start.
fn run_again(machine: &mut Machine, start: Va) -> u64 {
    let mut registers = machine.registers();
    registers.rip = start.0;
    machine.set_registers(&registers).unwrap();
    assert!(matches!(go(machine), Exit::HardcodedBreakpoint { .. }));
    rax(machine)
}

#[test]
fn code_patched_behind_the_guest_in_its_block_runs_as_patched() {
    for ring in [0, 3] {
        let mut code = Code::at(start(ring));
        code.put(&[0x90]).int3();
        let patched = code.here();
        code.put(&[0xb8, 1, 0, 0, 0]) // mov eax, 1
            .int3();
        let mut machine = guest(ring, &code);
        for value in [1u8, 2, 3] {
            machine.write(patched.wrapping_add(1), &[value]).unwrap();
            assert_eq!(run_again(&mut machine, patched), value.into());
            // from further in front, over the first int 3
            let mut registers = machine.registers();
            registers.rip = code.start().0;
            machine.set_registers(&registers).unwrap();
            assert_eq!(
                go(&mut machine),
                Exit::HardcodedBreakpoint {
                    address: patched.wrapping_sub(1)
                }
            );
            machine
                .write(patched.wrapping_add(1), &[value + 10])
                .unwrap();
            pass(&mut machine);
            go(&mut machine);
            assert_eq!(rax(&machine), u64::from(value) + 10);
        }
    }
}

#[test]
fn an_int_3_patched_away_does_not_stop_and_comes_back() {
    for ring in [0, 3] {
        let mut code = Code::at(start(ring));
        let top = code.here();
        code.put(&[0x48, 0xff, 0xc0]); // inc rax
        let trap = code.here();
        code.int3();
        let end = code.jump_ahead();
        code.put(&[0x90; 0x20]).land(end).int3();
        let mut machine = guest(ring, &code);
        for round in 0..3 {
            assert_eq!(
                go(&mut machine),
                Exit::HardcodedBreakpoint { address: trap }
            );
            machine.write(trap, &[0x90]).unwrap();
            // it stands at the nop now, and runs on to the end
            assert!(
                matches!(go(&mut machine), Exit::HardcodedBreakpoint { address } if address != trap)
            );
            machine.write(trap, &[0xcc]).unwrap();
            let mut registers = machine.registers();
            registers.rip = top.0;
            machine.set_registers(&registers).unwrap();
            assert_eq!(rax(&machine), round + 1);
        }
    }
}

#[test]
fn a_function_patched_in_another_page_runs_as_patched() {
    for ring in [0, 3] {
        let first = start(ring);
        let function = first.wrapping_add(0x2800);
        let mut callee = Code::at(function);
        callee.put(&[0xb8, 1, 0, 0, 0, 0xc3]); // mov eax, 1; ret
        let mut caller = Code::at(first);
        caller.call(function).int3();
        let guest = Guest::new().code(&caller).code(&callee);
        let mut machine = if ring == 0 {
            guest.in_ring_0()
        } else {
            guest.in_ring_3()
        };
        assert_eq!(run_again(&mut machine, first), 1);
        machine
            .write(function.wrapping_add(1), &7u32.to_le_bytes())
            .unwrap();
        assert_eq!(run_again(&mut machine, first), 7);
        // xor eax, eax; ret: other instructions of other lengths
        machine.write(function, &[0x31, 0xc0, 0xc3]).unwrap();
        assert_eq!(run_again(&mut machine, first), 0);
    }
}

#[test]
fn the_kernel_can_be_patched_while_user_mode_runs() {
    let mut user = Code::at(USER);
    user.syscall().int3();
    let entry = crate::guest::SYSTEM_CALL;
    let mut kernel = Code::at(entry);
    kernel.put(&[0xb8, 1, 0, 0, 0]).sysretq(); // mov eax, 1
    let mut machine = Guest::new().code(&user).code(&kernel).in_ring_3();
    for value in 1..5u32 {
        assert_eq!(machine.privilege_level(), 3);
        machine
            .write(entry.wrapping_add(1), &value.to_le_bytes())
            .unwrap();
        assert_eq!(run_again(&mut machine, USER), value.into());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An instruction that lies across two pages, patched byte by byte.
    #[test]
    fn a_patch_across_pages_runs_whole(
        before in 1u64..10,
        values in prop::collection::vec((0usize..8, any::<u8>()), 1..12),
        ring in prop::sample::select(vec![0u8, 3]),
    ) {
        // mov rax, imm64: ten bytes, `before` of them in the first page
        let at = start(ring).wrapping_add(0x1000 - before);
        let mut code = Code::at(at);
        let mut value = 0x1122_3344_5566_7788u64.to_le_bytes();
        code.load(Gpr::Rax, u64::from_le_bytes(value)).int3();
        let mut machine = guest(ring, &code);
        prop_assert_eq!(run_again(&mut machine, at), u64::from_le_bytes(value));
        for (index, byte) in values {
            value[index] = byte;
            machine.write(at.wrapping_add(2 + index as u64), &[byte]).unwrap();
            prop_assert_eq!(run_again(&mut machine, at), u64::from_le_bytes(value));
        }
        value = [0xa5; 8];
        machine.write(at.wrapping_add(2), &value).unwrap();
        prop_assert_eq!(run_again(&mut machine, at), u64::from_le_bytes(value));
    }
}

/// A loop that counts in its own immediate, once in front of and once behind the instruction that
/// changes it.
#[test]
fn code_that_changes_itself_works() {
    for ring in [0, 3] {
        let mut code = Code::at(start(ring));
        code.load(Gpr::Rdi, 100).load(Gpr::Rbx, 0);
        let top = code.here();
        let immediate = top.wrapping_add(1);
        code.put(&[0xb8, 0, 0, 0, 0]) // mov eax, 0
            .put(&[0x48, 0x01, 0xc3]) // add rbx, rax
            .load(Gpr::R8, immediate.0)
            .put(&[0x41, 0xff, 0x00]); // inc dword ptr [r8]
        // the same, right behind the write and in its block
        let second = code.here().wrapping_add(3 + 10 + 1);
        code.load(Gpr::R9, second.0)
            .put(&[0x41, 0xff, 0x01]) // inc dword ptr [r9]
            .put(&[0xb9, 0, 0, 0, 0]) // mov ecx, 0
            .put(&[0x48, 0xff, 0xcf]) // dec rdi
            .jump_if_not_zero(top)
            .int3();
        let mut machine = guest(ring, &code);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        let registers = machine.registers();
        assert_eq!(registers.get(Gpr::Rbx), (0..100).sum::<u64>());
        assert_eq!(registers.get(Gpr::Rcx), 100);
    }
}

/// Code that the guest writes and then calls, again and again at the same place.
#[test]
fn code_that_the_guest_generates_works() {
    for ring in [0, 3] {
        let function = start(ring).wrapping_add(0x3000);
        let mut code = Code::at(start(ring));
        code.load(Gpr::Rdi, 50)
            .load(Gpr::Rbx, 0)
            .load(Gpr::R8, function.0);
        let top = code.here();
        code.put(&[0x41, 0xc6, 0x00, 0xb8]) // mov byte ptr [r8], 0b8h: mov eax,
            .put(&[0x41, 0x89, 0x78, 0x01]) // mov [r8+1], edi:       edi
            .put(&[0x41, 0xc6, 0x40, 0x05, 0xc3]) // mov byte ptr [r8+5], 0c3h: ret
            .call(function)
            .put(&[0x48, 0x01, 0xc3]) // add rbx, rax
            .put(&[0x48, 0xff, 0xcf]) // dec rdi
            .jump_if_not_zero(top)
            .int3();
        let mut machine = guest(ring, &code);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        assert_eq!(machine.registers().get(Gpr::Rbx), (1..=50).sum::<u64>());
    }
}
