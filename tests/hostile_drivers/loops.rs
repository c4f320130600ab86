//! Loops and waits without end: a limit ends them, and says where the guest is.

use crate::driver::Way;
use crate::driver::{Act, act, lab, stack, works_again};
use crate::ended::ends;
use poolhit::address::Va;
use poolhit::guest::{CallError, REQUEST_WORK};
use poolhit::machine::Exit;

/// It stops so, and where; the stack from there, which `frames` are on, ends where the call began.
#[track_caller]
fn stops(what: Act, expected: Exit, frames: &[&str]) -> Va {
    let mut lab = lab();
    let saved = lab.save().unwrap();
    let hash = lab.machine().state_hash();
    let error = act(&mut lab, what, 0, 0).unwrap_err();
    let text = error.to_string();
    let CallError::Stopped { exit, at, .. } = error else {
        panic!("{what:?}: {error:?}");
    };
    assert_eq!(exit, expected, "{what:?}");
    let place = format!("; the guest is at {at}\n    ");
    assert!(text.contains(&place), "{text}");
    for frame in frames {
        assert!(text.contains(frame), "{what:?}: no {frame} in\n{text}");
    }
    // In the same place each time, and the next stop is a little further on.
    let mut other = self::lab();
    let again = act(&mut other, what, 0, 0).unwrap_err();
    assert_eq!(again.to_string(), text);
    let stack = stack(other);
    for frame in frames {
        assert!(stack.contains(frame), "{what:?}: no {frame} in\n{stack}");
    }
    works_again(lab, &saved, hash);
    at
}

#[test]
fn loops_at_every_level_run_into_the_limit() {
    use Act::*;
    for what in [Loop, LoopApc, LoopDispatch, LoopHigh, LoopCli] {
        let at = stops(what, Exit::Limit, &["hostile"]);
        let driver = lab().bases().driver;
        assert!(
            (driver..driver.wrapping_add(0x4000)).contains(&at),
            "{what:?}: {at}"
        );
    }
}

#[test]
fn a_loop_in_a_deferred_procedure_runs_into_the_limit() {
    stops(Act::LoopDpc, Exit::Limit, &["hostile", "nt!KiRetireDpcs"]);
}

#[test]
fn a_loop_in_a_worker_runs_into_the_limit() {
    stops(
        Act::LoopWorker,
        Exit::Limit,
        &["hostile", "nt!ExpWorkerThread", "nt!PspSystemThreadStartup"],
    );
}

#[test]
fn a_wait_for_nothing_ends_with_the_processor_idle() {
    stops(Act::WaitForEver, Exit::Halt, &["nt!KiIdleLoop"]);
}

/// The same in a request: its budget is used up, and the stack leads from the loop to the program.
#[test]
fn loops_in_a_request_run_into_its_budget() {
    use Act::*;
    for what in [Loop, LoopApc, LoopDispatch, LoopHigh, LoopCli, LoopDpc] {
        let mut ended = ends(Way::Request, what, 0, 0);
        assert_eq!(ended.exit(), Exit::Limit, "{what:?}");
        let reason = format!(": no end after {REQUEST_WORK} bytes of code at ");
        assert!(ended.text.contains(&reason), "{}", ended.text);
        let at = ended.lab.machine().registers().rip;
        assert_eq!(ended.instruction(), at, "{}", ended.text);
        ended.stack_is_whole();
        ended.works_again();
    }
}

/// The worker's stack; the program waits for it, and is not on it.
#[test]
fn a_loop_in_a_worker_runs_into_a_requests_budget() {
    let ended = ends(Way::Request, Act::LoopWorker, 0, 0);
    assert_eq!(ended.exit(), Exit::Limit);
    ended.instruction();
    assert!(ended.text.contains("\n    nt!ExpWorkerThread+"));
    ended.works_again();
}

/// The stack is that of the program's thread, where it waits.
#[test]
fn a_request_that_waits_for_nothing_says_so() {
    let ended = ends(Way::Request, Act::WaitForEver, 0, 0);
    assert_eq!(ended.exit(), Exit::Halt);
    let reason = ": the program waits for what never comes: ioctl 0x0022004c not completed by hostile.sys \
                  (\\Device\\Hostile, IRP ";
    assert!(ended.text.contains(reason), "{}", ended.text);
    ended.instruction();
    for frame in ["nt!KeWaitForSingleObject+", "Requester!"] {
        assert!(ended.text.contains(frame), "{}", ended.text);
    }
    ended.works_again();
}
