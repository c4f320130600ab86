//! Exceptions that nobody handles: which bug check that is depends on where the stack began.

use crate::guest::{Place, Request, crash, exported, name_of, notes, pairs};
use crate::{kind, status, status_of};
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::machine::Exit;
use poolhit::memory::ReadMemory;

const UNHANDLED: u32 = 8;
const EXHAUST: u32 = 9;

/// As most bug checks have it: sign-extended.
fn extended(status: u64) -> u64 {
    status as u32 as i32 as i64 as u64
}

/// `_CONTEXT.Rip` at an address.
fn context_rip(lab: &Lab, context: u64) -> u64 {
    lab.machine().read_u64(Va(context + 0xf8)).unwrap()
}

/// SYSTEM_SERVICE_EXCEPTION: status, address, context.
#[test]
fn in_a_system_call() {
    for kind in kind::ALL {
        let (check, lab) = crash(&Request::new(UNHANDLED, Place::Dispatch, kind));
        let [code, address, context, zero] = check.parameters;
        assert_eq!((check.code, code, zero), (0x3b, status_of(kind), 0));
        assert_eq!(context_rip(&lab, context), address);
        if kind == kind::DIVIDE {
            assert_eq!(address, exported(&lab, "SehDivide").0 + 7);
        }
        // The driver's own filter was asked first.
        assert_eq!(pairs(&notes(&lab)), [(48, status_of(kind))]);
    }
}

/// SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: status, address, exception record, context.
#[test]
fn in_system_threads() {
    for place in [Place::Thread, Place::WorkItem] {
        for kind in kind::ALL {
            let (check, lab) = crash(&Request::new(UNHANDLED, place, kind));
            let [code, address, record, context] = check.parameters;
            assert_eq!((check.code, code), (0x7e, extended(status_of(kind))));
            assert_eq!(context_rip(&lab, context), address);
            let read = |offset| lab.machine().read_u64(Va(record + offset)).unwrap();
            assert_eq!(read(0) & 0xffff_ffff, status_of(kind));
            assert_eq!(read(0x10), address);
            match kind {
                kind::WRITE_USER => assert_eq!((read(0x20), read(0x28)), (1, 0x2345_6789)),
                kind::RAISE_EXCEPTION => assert_eq!((read(0x20), read(0x28)), (0x11, 0x22)),
                _ => {}
            }
        }
    }
}

/// Drivers are loaded by a thread of the system's.
#[test]
fn in_driver_entry() {
    for kind in kind::ALL {
        let (check, _) = crash(&Request::new(UNHANDLED, Place::DriverEntry, kind));
        let [code, ..] = check.parameters;
        assert_eq!((check.code, code), (0x7e, extended(status_of(kind))));
    }
}

/// KMODE_EXCEPTION_NOT_HANDLED: status, address and parameters. A deferred procedure call is not asked of
/// the code that it interrupts.
#[test]
fn in_a_deferred_procedure_call() {
    for kind in [
        kind::READ_NOT_CANONICAL,
        kind::DIVIDE,
        kind::UNDEFINED,
        kind::RAISE_STATUS,
        kind::RAISE_EXCEPTION,
    ] {
        let (check, lab) = crash(&Request::new(UNHANDLED, Place::Dpc, kind));
        let [code, address, first, second] = check.parameters;
        assert_eq!((check.code, code), (0x1e, extended(status_of(kind))));
        let expected = match kind {
            kind::READ_NOT_CANONICAL => [0, u64::MAX],
            kind::RAISE_EXCEPTION => [0x11, 0x22],
            _ => [0, 0],
        };
        assert_eq!([first, second], expected);
        if kind == kind::UNDEFINED {
            assert_eq!(address, exported(&lab, "SehUndefined").0);
        }
    }
}

/// At DISPATCH_LEVEL a page fault is never an exception: DRIVER_IRQL_NOT_LESS_OR_EQUAL.
#[test]
fn page_faults_at_dispatch_level() {
    for place in [Place::Dpc, Place::DispatchLevel] {
        for (kind, address, write) in [
            (kind::READ_NULL, 8, 0),
            (kind::WRITE_USER, 0x2345_6789, 1),
            (kind::READ_KERNEL, 0xfffffa80_0fff0000, 0),
        ] {
            let (check, lab) = crash(&Request::new(UNHANDLED, place, kind));
            let name = if write == 1 { "SehWrite" } else { "SehRead" };
            let instruction = exported(&lab, name).0;
            assert_eq!(check.code, 0xd1);
            assert_eq!(check.parameters, [address, 2, write, instruction]);
            assert_eq!(notes(&lab), []);
        }
    }
}

/// Nor is one at an address of the kernel's: PAGE_FAULT_IN_NONPAGED_AREA, whoever would handle it.
#[test]
fn page_faults_at_the_kernels_addresses() {
    for (kind, write, name) in [
        (kind::READ_KERNEL, 0, "SehRead"),
        (kind::WRITE_KERNEL, 1, "SehWrite"),
    ] {
        let (check, lab) = crash(&Request::new(UNHANDLED, Place::Dispatch, kind));
        let instruction = exported(&lab, name).0;
        assert_eq!(check.code, 0x50);
        assert_eq!(
            check.parameters,
            [0xfffffa80_0fff0000, write, instruction, 0]
        );
        assert_eq!(notes(&lab), []);
    }
}

/// A stack that comes to its end is UNEXPECTED_KERNEL_MODE_TRAP with EXCEPTION_DOUBLE_FAULT, CR0, CR4 and
/// the instruction; nobody is asked.
#[test]
fn stacks_that_come_to_their_ends() {
    for place in [
        Place::DriverEntry,
        Place::Dispatch,
        Place::Thread,
        Place::WorkItem,
        Place::Dpc,
        Place::DispatchLevel,
    ] {
        let (check, lab) = crash(&Request::new(EXHAUST, place, 0));
        let [number, cr0, cr4, instruction] = check.parameters;
        assert_eq!((check.code, number), (0x7f, 8), "{place:?}");
        // Paging with write protection, and PAE.
        assert_eq!((cr0 & 0x8001_0001, cr4 & 0x20), (0x8001_0001, 0x20));
        let driver = lab.bases().driver.0;
        assert!(
            (driver..driver + 0x8000).contains(&instruction),
            "{check:?}"
        );
        if place != Place::DriverEntry {
            // The stack pointer is at the lowest page's start, and what is below is not there.
            let place = name_of(&lab, instruction);
            assert!(place.starts_with("seh"), "{place}");
        }
    }
}

/// Going on from a bug check is that bug check again.
#[test]
fn a_bug_check_is_the_end() {
    let (check, mut lab) = crash(&Request::new(UNHANDLED, Place::Dispatch, kind::UNDEFINED));
    assert_eq!(check.parameters[0], status::ILLEGAL_INSTRUCTION);
    for _ in 0..3 {
        crate::guest::pass_break_instruction(&mut lab);
        let exit = lab.run(u64::MAX).unwrap();
        assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }));
        assert_eq!(lab.bug_check(), Some(check));
    }
}
