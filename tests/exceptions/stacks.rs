//! Stacks while an exception is on its way: from a filter or a termination handler through the dispatch
//! and the trap frame into the code that faulted, and on to the program.

use crate::guest::{Place, Request, builder, notes, pass_break_instruction};
use crate::kind;
use poolhit::machine::Exit;
use poolhit::{Session, StopReason};

const UNHANDLED: u32 = 8;
const EXHAUST: u32 = 9;
const FAR_ABOVE: u32 = 2;
const WALK_OWN_STACK: u32 = 10;

/// The names on the stack, the top first: the kernel's without distances, the modules of others.
fn names(session: &Session) -> Vec<String> {
    let stack = session.stack(100);
    let frames = stack.frames.iter();
    // The driver has symbols for its exports only.
    let names = frames.map(|frame| match frame.module.as_deref() {
        Some("seh") => frame.module.clone(),
        _ => frame.symbol.clone().or(frame.module.clone()),
    });
    names.map(Option::unwrap_or_default).collect()
}

/// A session that has stopped where the driver first notes something.
fn at_first_note(scenario: u32, place: Place, argument: u64) -> Session {
    let request = Request::new(scenario, place, argument);
    let mut session = Session::new(builder(&request).build().unwrap());
    // All notes say the level.
    session.execute("bp nt!KeGetCurrentIrqlExport").unwrap();
    let stop = session.go().unwrap();
    assert!(
        matches!(stop.reason, StopReason::Breakpoint { .. }),
        "{stop:?}"
    );
    session
}

const SYSTEM_CALL: [&str; 3] = [
    "IopXxxControlFile",
    "NtDeviceIoControlFile",
    "KiSystemServiceCopyEnd",
];
const PROGRAM: [&str; 4] = [
    "ZwDeviceIoControlFile",
    "DeviceIoControl",
    "DeviceIoControlImplementation",
    "NotMyfault",
];

#[track_caller]
fn check(names: &[String], parts: &[&[&str]]) {
    let expected: Vec<&str> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    assert_eq!(names, expected);
}

/// A filter of the driver's, asked about a page fault: to the instruction, and to the program.
#[test]
fn from_a_filter_to_the_program() {
    let dispatch = [
        "__C_specific_handler",
        "RtlpExecuteHandlerForException",
        "RtlDispatchException",
        "KiDispatchException",
        "KiDispatchTrap",
        "KiExceptionDispatch",
    ];
    for (kind, trap) in [
        (kind::READ_NULL, "KiPageFault"),
        (kind::READ_NOT_CANONICAL, "KiGeneralProtectionFault"),
        (kind::DIVIDE, "KiDivideErrorFault"),
        (kind::UNDEFINED, "KiInvalidOpcodeFault"),
    ] {
        let session = at_first_note(UNHANDLED, Place::Dispatch, kind);
        let names = names(&session);
        let at = names.iter().position(|name| name == trap).unwrap();
        let (above, below) = names.split_at(at + 1);
        // Note and the filter.
        let own = ["KeGetCurrentIrqlExport", "seh", "seh"];
        check(above, &[&own, &dispatch, &[trap]]);
        // The instruction's function, Fault, the scenario, and what calls it.
        let frames = below.iter().take_while(|name| *name == "seh").count();
        assert!((4..=6).contains(&frames), "{names:?}");
        check(&below[frames..], &[&SYSTEM_CALL, &PROGRAM]);
    }
}

/// A termination handler that runs while frames are unwound: two dispatches' worth of routines lie between
/// it and the fault, and nothing is missing below.
#[test]
fn from_a_termination_handler_to_the_program() {
    let session = at_first_note(FAR_ABOVE, Place::Dispatch, kind::READ_NULL);
    let names = names(&session);
    let mut kernel = names.iter().map(String::as_str).filter(|name| {
        let nt = name.starts_with("Rtl") || name.starts_with("Ki") || name.starts_with("__C");
        nt && *name != "KiSystemServiceCopyEnd"
    });
    for expected in [
        "__C_specific_handler",
        "RtlpExecuteHandlerForUnwind",
        "RtlUnwindEx",
        "__C_specific_handler",
        "RtlpExecuteHandlerForException",
        "RtlDispatchException",
        "KiDispatchException",
        "KiDispatchTrap",
        "KiExceptionDispatch",
        "KiPageFault",
    ] {
        assert_eq!(kernel.next(), Some(expected), "{names:?}");
    }
    assert_eq!(kernel.next(), None, "{names:?}");
    let end: Vec<String> = [&SYSTEM_CALL[..], &PROGRAM]
        .concat()
        .iter()
        .map(|it| it.to_string())
        .collect();
    assert!(names.ends_with(&end), "{names:?}");
}

/// From the double fault's own stack to the one that is used up.
#[test]
fn from_a_double_fault_to_the_program() {
    let request = Request::new(EXHAUST, Place::Dispatch, 0);
    let mut session = Session::new(builder(&request).build().unwrap());
    assert!(matches!(
        session.go().unwrap().reason,
        StopReason::BugCheck(_)
    ));
    let names: Vec<String> = session
        .stack(1000)
        .frames
        .iter()
        .map(|frame| frame.symbol.clone().unwrap_or_default())
        .collect();
    let top: Vec<&str> = names.iter().take(4).map(String::as_str).collect();
    assert_eq!(
        top,
        [
            "RtlpBreakWithStatusInstruction",
            "KeBugCheckEx",
            "KiDoubleFault",
            "KiDoubleFaultAbort"
        ]
    );
    assert!(
        names.iter().any(|name| name == "NtDeviceIoControlFile"),
        "{names:?}"
    );
}

/// The driver's own walk with the kernel's `RtlVirtualUnwind` gives the return addresses that the
/// debugger's gives.
#[test]
fn the_kernels_unwinder_agrees_with_the_debuggers() {
    for place in [Place::Dispatch, Place::Thread, Place::Dpc] {
        let request = Request::new(WALK_OWN_STACK, place, 0);
        let mut lab = builder(&request).build().unwrap();
        pass_break_instruction(&mut lab);
        let exit = lab.run(u64::MAX).unwrap();
        assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
        let session = Session::new(lab);
        let notes = notes(session.lab());
        assert!(notes.iter().all(|note| note.event == 60), "{notes:x?}");
        let walked: Vec<u64> = notes.iter().map(|note| note.value).collect();
        let stack = session.stack(100);
        let returns: Vec<u64> = stack
            .frames
            .iter()
            .map(|frame| frame.return_address.0)
            .collect();
        // The driver's first step is out of the function that walks; it stops at the first address that
        // is none of the kernel's.
        assert!(walked.len() >= 6);
        assert_eq!(walked, returns[..walked.len()], "{place:?}");
        assert!((*walked.last().unwrap() as i64) >= 0, "{walked:x?}");
    }
}
