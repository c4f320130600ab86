//! Where threads cannot go on: deadlocks, and what is a bug check.

use crate::guest::{ENOUGH, lab, notes, pairs};
use poolhit::machine::Exit;
use poolhit::memory::ReadMemory;

/// All threads wait, and nothing is going to wake them.
#[test]
fn a_deadlock_ends_idle() {
    let mut lab = lab(9, 0);
    assert_eq!(lab.run(ENOUGH).unwrap(), Exit::Halt);
    assert_eq!(pairs(&notes(&lab)), [(1, 0), (100, 0)]);
    assert_eq!(lab.bug_check(), None);
    // Both threads are in the system process' list, waiting, for different mutexes.
    let machine = lab.machine();
    let process = lab.kernel_symbol("PsInitialSystemProcess").unwrap();
    let head = machine.read_va(process).unwrap().wrapping_add(0x30);
    let mut link = machine.read_va(head).unwrap();
    let mut objects = Vec::new();
    while link != head {
        let thread = link.wrapping_sub(0x2f8);
        let state = machine.read_u8(thread.wrapping_add(0x164)).unwrap();
        let priority = machine.read_u8(thread.wrapping_add(0x7b)).unwrap();
        if state == 5 {
            let block = machine.read_va(thread.wrapping_add(0x98)).unwrap();
            let object = machine.read_va(block.wrapping_add(0x18)).unwrap();
            // The kernel's own threads wait for objects of its image.
            let modules = lab.modules();
            let module = modules.containing(object);
            if module.is_some_and(|module| module.base() == lab.bases().driver) {
                objects.push((priority, object));
            }
        }
        link = machine.read_va(link).unwrap();
    }
    objects.sort_unstable();
    let [(16, first), (20, second)] = objects[..] else {
        panic!("{objects:x?}");
    };
    assert_ne!(first, second);
}

/// The bug check of a scenario, and its parameters.
fn bug_check(scenario: u32) -> (u32, [u64; 4]) {
    let mut lab = lab(scenario, 0);
    let exit = lab.run(ENOUGH).unwrap();
    assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
    assert!(notes(&lab).iter().all(|note| note.event != 0xdead));
    let check = lab.bug_check().expect("a bug check");
    (check.code, check.parameters)
}

#[test]
fn waiting_at_dispatch_level_is_a_bug_check() {
    for scenario in [10, 11] {
        assert_eq!(bug_check(scenario).0, 0xb8); // ATTEMPTED_SWITCH_FROM_DPC
    }
}

#[test]
fn what_is_not_owned_cannot_be_released() {
    // Raised, and not handled: SYSTEM_THREAD_EXCEPTION_NOT_HANDLED with the status.
    let raised = |scenario| {
        let (code, parameters) = bug_check(scenario);
        (code, parameters[0] as u32)
    };
    assert_eq!(raised(12), (0x7e, 0xc000_0046)); // STATUS_MUTANT_NOT_OWNED
    assert_eq!(raised(13), (0x7e, 0xc000_0047)); // STATUS_SEMAPHORE_LIMIT_EXCEEDED
    assert_eq!(bug_check(15).0, 0x10); // SPIN_LOCK_NOT_OWNED
    assert_eq!(bug_check(17).0, 0xe3); // RESOURCE_NOT_OWNED
}

#[test]
fn a_spin_lock_taken_twice_is_a_bug_check() {
    assert_eq!(bug_check(14).0, 0xf); // SPIN_LOCK_ALREADY_OWNED
}

#[test]
fn a_thread_cannot_end_with_a_mutex() {
    let (code, parameters) = bug_check(16);
    assert_eq!((code, parameters[1]), (0x20, 0xffff)); // KERNEL_APC_PENDING_DURING_EXIT
}

#[test]
fn more_than_three_objects_need_room() {
    assert_eq!(bug_check(18).0, 0xc); // MAXIMUM_WAIT_OBJECTS_EXCEEDED
}
