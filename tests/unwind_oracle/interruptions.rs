//! Interrupts and faults, which come between any two instructions.

use crate::VISITS;
use crate::guest::Guest;
use poolhit::address::Va;
use poolhit::guest::{BugCheck, CallError};
use poolhit::machine::Exit;
use poolhit::memory::{ReadMemory, WriteMemory};

/// The clock ticks after every so many bytes of code, now and then with someone who breaks in.
#[test]
fn the_clock_ticks_while_the_program_runs() {
    let mut guest = Guest::boot(Some(VISITS));
    guest.set_tag(b"Leak");
    guest.pass_break_instruction();
    let break_in = guest.lab.kernel_symbol("RtlpBreakWithStatusInstruction");
    let (mut ticks, mut break_ins, mut hits) = (0, 0, 0);
    let mut distance = 1;
    while ticks < 1500 {
        distance = distance * 5 % 1021;
        let limit = guest.lab.machine().work() + distance;
        match guest.run(limit) {
            Exit::Limit => ticks += u32::from(guest.clock(ticks % 8 == 0)),
            Exit::HardcodedBreakpoint { address } => {
                *match Some(address) == break_in {
                    true => &mut break_ins,
                    false => &mut hits,
                } += 1;
                guest.pass_break_instruction();
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(break_ins > 100 && hits > 20, "{break_ins} and {hits}");
    guest.finish();
}

/// A tick in front of instructions that are chosen whatever they are: in prologues and epilogues, too.
#[test]
fn the_clock_ticks_in_front_of_any_instruction() {
    const EVERY: usize = 3;
    let mut first = Guest::boot(Some(1));
    let mut places = first.code_of_run(0x2_0000);
    places.sort_unstable();
    let places: Vec<Va> = places.into_iter().step_by(EVERY).collect();
    assert!(places.len() > 500, "{}", places.len());

    let mut guest = Guest::boot(Some(VISITS));
    for place in &places {
        guest.lab.machine_mut().set_breakpoint(*place).unwrap();
    }
    guest.pass_break_instruction();
    let limit = guest.lab.machine().work() + 0x20_0000;
    // What is executed at boot alone is not come to any more.
    let (mut ticks, mut reached) = (0, 0);
    loop {
        match guest.run(limit) {
            Exit::Breakpoint { address } => {
                reached += 1;
                guest.lab.machine_mut().clear_breakpoint(address).unwrap();
                ticks += usize::from(guest.clock(false));
            }
            Exit::Limit => break,
            other => panic!("{other:?}"),
        }
    }
    // Not in the handler itself, nor where the kernel has interrupts off.
    assert!(reached > 500, "{reached} of {}", places.len());
    assert!(ticks > reached / 2, "{ticks} of {reached}");
    guest.finish();
}

/// Runs to the kernel's bug check.
fn bug_check(guest: &mut Guest) -> BugCheck {
    loop {
        let exit = guest.go();
        assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
        if let Some(check) = guest.lab.bug_check() {
            return check;
        }
    }
}

#[test]
fn the_kernel_faults_in_the_pool() {
    let tag = u64::from(u32::from_le_bytes(*b"Test"));
    // Blocks that are not mapped, and whole pages that are not.
    for block in [0xfffffa80_0ff00010, 0x18, 0xfffff8a0_0ff00008] {
        let mut guest = Guest::boot(Some(1));
        let called = guest.call("ExFreePoolWithTag", &[block, tag]);
        assert!(
            matches!(called, Err(CallError::BugCheck { .. })),
            "{called:?}"
        );
        guest.finish();
    }
}

/// A system service that leads nowhere: the processor faults behind a call, at an address that has no
/// code and no image.
#[test]
fn the_kernel_calls_into_nowhere() {
    let mut guest = Guest::boot(Some(VISITS));
    let table = guest.lab.kernel_symbol("KiServiceTable").unwrap();
    let nowhere = table.wrapping_add(0x600_0000);
    let machine = guest.lab.machine_mut();
    assert!(machine.read_u8(nowhere).is_err());
    // Service 4, NtDeviceIoControlFile, with its six arguments on the stack.
    let entry = 0x600_0000u32 << 4 | 6;
    machine
        .write(table.wrapping_add(4 * 4), &entry.to_le_bytes())
        .unwrap();
    let check = bug_check(&mut guest);
    assert_eq!(check.code, 0x50);
    assert_eq!(check.parameters[0], nowhere.0);
    guest.finish();
}
