//! What stops a request on its way, and how it goes on.

use crate::guest::*;
use poolhit::guest::{DriverCallError, Request, RequestError, RequestStop};
use poolhit::memory::WriteMemory;
use poolhit::{Session, StopReason};

#[test]
fn a_hit_inside_a_request_has_the_whole_stack() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let hit_tag = lab.kernel_symbol("PoolHitTag").unwrap();
    lab.machine_mut().write(hit_tag, b"Leak").unwrap();
    let size = 0x80_u32.to_le_bytes();
    let request = Request::ioctl(handle, code(LEAK, BUFFERED), &size, 0);
    let error = lab.request(&request).unwrap_err();
    let stopped = error.stopped().unwrap();
    assert_eq!(stopped.reason, RequestStop::BreakInstruction);
    let modules: Vec<&str> = stopped
        .stack
        .iter()
        .map(|place| place.split(['!', '+']).next().unwrap())
        .collect();
    let mut runs: Vec<&str> = modules.clone();
    runs.dedup();
    assert_eq!(
        runs,
        [
            "nt",
            "iotest",
            "nt",
            "ntdll",
            "KERNELBASE",
            "kernel32",
            "Requester"
        ],
        "{error}"
    );
    assert!(lab.resume_request().unwrap().is_success());
    assert!(matches!(
        lab.resume_request(),
        Err(RequestError::NothingToResume)
    ));
}

/// Each hit of a request stops; with more than one it is resumed more than once.
#[test]
fn a_breakpoint_stops_a_request_of_a_session() {
    let mut session = Session::new(lab());
    let open = Request::Open {
        name: r"\\.\IoTest",
        access: 0xc000_0000,
        overlapped: false,
    };
    let handle = session.request(&open).unwrap().handle.unwrap();
    let at = session.resolve("nt!IofCompleteRequest").unwrap();
    session.set_breakpoint(at, "").unwrap();
    let echo = Request::ioctl(handle, code(ECHO, BUFFERED), b"stop", 8);
    session.request(&echo).unwrap_err();
    assert_eq!(
        session.last_stop().unwrap().reason,
        StopReason::Breakpoint { number: 0 }
    );
    assert_eq!(
        session.stack(2).frames[0].to_string(),
        "nt!IofCompleteRequest"
    );
    let response = session.resume_request().unwrap();
    assert_eq!(response.data(), b"stop");
    session.clear_breakpoint(0).unwrap();
    assert_eq!(session.request(&echo).unwrap().data(), b"stop");
}

#[test]
fn a_breakpoint_stops_an_unload() {
    let mut session = Session::new(lab());
    let delete = session.resolve("nt!IoDeleteDevice").unwrap();
    session.set_breakpoint(delete, "").unwrap();
    let error = session.with_driver(|lab| lab.unload_driver()).unwrap_err();
    assert!(
        matches!(error, DriverCallError::Request(RequestError::Stopped(_))),
        "{error}"
    );
    assert_eq!(
        session.last_stop().unwrap().reason,
        StopReason::Breakpoint { number: 0 }
    );
    let modules: Vec<_> = session
        .stack(32)
        .frames
        .iter()
        .filter_map(|frame| frame.module.clone())
        .collect();
    assert!(
        modules.iter().any(|module| module == "iotest"),
        "{modules:?}"
    );
    session.clear_breakpoint(0).unwrap();
    session.with_driver(|lab| Ok(lab.resume_kernel()?)).unwrap();
    assert!(session.resolve("iotest").is_none());
}

#[test]
fn requests_that_do_not_fit_change_nothing() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let long = vec![0; poolhit::guest::REQUEST_BUFFER + 1];
    for request in [
        Request::ioctl(handle, 0, &long, 0),
        Request::ioctl(handle, 0, &[], long.len()),
        Request::Open {
            name: &"x".repeat(256),
            access: 0,
            overlapped: false,
        },
    ] {
        let error = lab.request(&request).unwrap_err();
        assert!(matches!(error, RequestError::TooLong { .. }), "{error}");
    }
    let short = Request::Ioctl {
        handle,
        code: 0,
        input: &[],
        output_length: 1,
        output: b"ab",
    };
    assert!(matches!(
        lab.request(&short),
        Err(RequestError::OutputTooShort {
            given: 2,
            length: 1
        })
    ));
    let response = control(&mut lab, handle, code(ECHO, BUFFERED), b"fine", 8);
    assert_eq!(response.data(), b"fine");
}

#[test]
fn a_saved_lab_knows_what_is_on_its_way() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let wanted = Pend {
        way: BY_TIMER,
        microseconds: 2_000,
        status: 0,
        value: 42,
    };
    let ticket = control(&mut lab, handle, code(PEND, BUFFERED), &wanted.bytes(), 4)
        .ticket
        .unwrap();
    let saved = lab.save().unwrap();
    for _ in 0..2 {
        let mut copy = saved.lab().unwrap();
        assert_eq!(word(&result(&mut copy, ticket), 0), 42);
    }
    assert_eq!(word(&result(&mut lab, ticket), 0), 42);
    lab.restore(&saved).unwrap();
    assert_eq!(word(&result(&mut lab, ticket), 0), 42);
}
