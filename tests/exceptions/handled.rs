//! Exceptions of every kind, where they are handled, and filters that go on.

use crate::guest::{Place, Request, exported, lab, name_of, pairs, run};
use crate::{kind, status, status_of};
use poolhit::Lab;

/// The scenario's number in the driver.
const HANDLED: u32 = 1;
const CONTINUE_EXECUTION: u32 = 3;
const NESTED: u32 = 4;
const RAISE: u32 = 5;
const CONTEXTS: u32 = 6;
const INLINE: u32 = 17;
const END: (u32, u64) = (9999, 0);

/// What a filter is told: status, flags, address, count of parameters and the first two, and RIP.
struct Told {
    status: u64,
    flags: u64,
    address: u64,
    parameters: u64,
    information: [u64; 2],
    rip: u64,
}

fn told(lab: &Lab, kind: u64) -> Told {
    let at = |name| exported(lab, name).0;
    let (address, parameters, information) = match kind {
        kind::READ_NULL => (at("SehRead"), 2, [0, 8]),
        kind::READ_USER => (at("SehRead"), 2, [0, 0x1234_5678]),
        kind::WRITE_USER => (at("SehWrite"), 2, [1, 0x2345_6789]),
        kind::WRITE_READ_ONLY_USER => (at("SehWrite"), 2, [1, 0x7ffe_0010]),
        // The processor does not tell which address that is.
        kind::READ_NOT_CANONICAL => (at("SehRead"), 2, [0, u64::MAX]),
        kind::DIVIDE => (at("SehDivide") + 7, 0, [0, 0]),
        kind::UNDEFINED => (at("SehUndefined"), 0, [0, 0]),
        kind::CALL_NULL => (0, 2, [8, 0]),
        kind::RAISE_EXCEPTION => (u64::MAX, 2, [0x11, 0x22]),
        _ => (u64::MAX, 0, [0, 0]),
    };
    let noncontinuable = matches!(
        kind,
        kind::RAISE_STATUS | kind::RAISE_ACCESS_VIOLATION | kind::RAISE_MISALIGNMENT
    );
    Told {
        status: status_of(kind),
        flags: noncontinuable.into(),
        address,
        parameters,
        information,
        rip: address,
    }
}

#[track_caller]
fn check_told(lab: &Lab, kind: u64, notes: &[(u32, u64)]) {
    let expected = told(lab, kind);
    let [one, two, three, four, five, six, seven, eight] = notes[..] else {
        panic!("{notes:x?}");
    };
    assert_eq!(one, (1, expected.status), "{kind}");
    assert_eq!(two, (2, expected.flags), "{kind}");
    assert_eq!(four, (4, expected.parameters), "{kind}");
    assert_eq!(five, (5, expected.information[0]), "{kind}");
    assert_eq!(six, (6, expected.information[1]), "{kind}");
    assert_eq!(eight, (8, expected.status), "{kind}");
    if expected.address == u64::MAX {
        // Raised by software: behind the call, in the driver or in the kernel's own routine.
        let name = name_of(lab, three.1);
        let routine = match kind {
            kind::RAISE_ACCESS_VIOLATION => "nt!ExRaiseAccessViolation+",
            kind::RAISE_MISALIGNMENT => "nt!ExRaiseDatatypeMisalignment+",
            _ => "seh!",
        };
        assert!(name.starts_with(routine), "{kind}: {name}");
        assert_eq!(seven, (7, three.1), "{kind}");
    } else {
        assert_eq!((three, seven), ((3, expected.address), (7, expected.rip)));
    }
}

/// In every place but one at DISPATCH_LEVEL.
#[test]
fn the_caller_handles_each_kind() {
    for place in [Place::Dispatch, Place::Thread, Place::WorkItem] {
        let request = Request::new(HANDLED, place, 99);
        let lab = lab(&request);
        let notes = run(&request);
        assert!(notes.iter().all(|note| note.irql == 0));
        let notes = pairs(&notes);
        assert_eq!(notes.len() as u64, kind::ALL.end * 8 + 1);
        for (kind, notes) in kind::ALL.zip(notes.chunks(8)) {
            check_told(&lab, kind, notes);
        }
    }
}

#[test]
fn a_driver_entry_handles_each_kind() {
    for kind in kind::ALL {
        let request = Request::new(HANDLED, Place::DriverEntry, kind);
        let lab = lab(&request);
        let notes = pairs(&crate::guest::notes(&lab));
        assert_eq!(notes.last(), Some(&END));
        check_told(&lab, kind, &notes[..8]);
    }
}

/// At DISPATCH_LEVEL, and in a deferred procedure call: all but page faults.
#[test]
fn exceptions_are_handled_at_dispatch_level() {
    for place in [Place::DispatchLevel, Place::Dpc] {
        for kind in [
            kind::READ_NOT_CANONICAL,
            kind::DIVIDE,
            kind::UNDEFINED,
            kind::RAISE_STATUS,
            kind::RAISE_EXCEPTION,
            kind::RAISE_ACCESS_VIOLATION,
        ] {
            let request = Request::new(HANDLED, place, kind);
            let lab = lab(&request);
            let notes = run(&request);
            assert!(notes.iter().all(|note| note.irql == 2), "{notes:?}");
            check_told(&lab, kind, &pairs(&notes)[..8]);
        }
    }
}

/// The guarded function's own instructions raise it, not a call.
#[test]
fn instructions_in_the_guarded_block_raise_too() {
    for address in [0x10u64, 0x8000_0000_0000_0000] {
        let request = Request::new(INLINE, Place::Dispatch, address);
        let expected = [
            (130, status::ACCESS_VIOLATION),
            (131, 1),
            (132, status::ACCESS_VIOLATION),
            (133, 4),
            (134, status::INTEGER_DIVIDE_BY_ZERO),
            (135, 7),
            END,
        ];
        assert_eq!(pairs(&run(&request)), expected);
    }
}

/// A filter mends what was wrong in the registers, and the instruction is executed again, or another.
#[test]
fn filters_go_on_with_other_registers() {
    let expected = [
        (20, status::ACCESS_VIOLATION),
        (21, 0x600d),
        (20, status::ACCESS_VIOLATION), // not canonical
        (22, 0x600d),
        (20, status::INTEGER_DIVIDE_BY_ZERO),
        (23, 125),
        (20, status::ILLEGAL_INSTRUCTION),
        (24, 0),
        (20, status::ACCESS_VIOLATION), // a write
        (25, 0x900d),
        (20, status::ACCESS_VIOLATION), // a call
        (26, 0),
        (20, status::CONTINUABLE),
        (70, 0), // behind RtlRaiseException
        (27, 0),
        END,
    ];
    for place in [Place::Dispatch, Place::Thread] {
        let request = Request::new(CONTINUE_EXECUTION, place, 0);
        assert_eq!(pairs(&run(&request)), expected);
    }
}

/// Filters are asked from the inside out, until one wants the exception.
#[test]
fn the_right_scope_answers() {
    for kind in kind::ALL {
        let status = status_of(kind);
        let mut expected = vec![
            // The innermost: both others end as if nothing had been.
            (30, 0),
            (31, status),
            (32, 0),
            (35, 0),
            (30, 1),
            (33, 1),
            (34, status),
            (35, 1),
            (30, 2),
            (33, 2),
            (36, 2),
            (37, status),
        ];
        expected.push(END);
        let request = Request::new(NESTED, Place::Dispatch, kind);
        assert_eq!(pairs(&run(&request)), expected, "{kind}");
    }
}

/// `RtlRaiseStatus` may not be gone on from: that is STATUS_NONCONTINUABLE_EXCEPTION, about the first.
#[test]
fn what_is_not_continuable_is_not_continued() {
    let expected = [
        (40, status::NONCONTINUABLE_EXCEPTION),
        (40, status::RAISED),
        (41, 1),
        (42, status::NONCONTINUABLE_EXCEPTION),
        END,
    ];
    let request = Request::new(RAISE, Place::Dispatch, 0);
    assert_eq!(pairs(&run(&request)), expected);
}

/// `RtlCaptureContext` and `RtlRestoreContext`: back to where it was captured, three times.
#[test]
fn a_context_is_gone_back_to() {
    // CONTEXT_FULL | CONTEXT_SEGMENTS
    let round = |number| [(43, number), (44, 0x10_000f)];
    let mut expected: Vec<_> = (0..4).flat_map(round).collect();
    expected.extend([(45, 1), END]);
    let request = Request::new(CONTEXTS, Place::Dispatch, 0);
    assert_eq!(pairs(&run(&request)), expected);
}
