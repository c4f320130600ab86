//! What drivers do wrong, and the bug checks that Windows has for it ("Bug Check Code Reference").

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{BugCheck, Request, RequestError, RequestStop};

fn misuse(lab: &mut Lab, what: u64) -> BugCheck {
    let handle = open(lab, "IoTest");
    let symbols = &lab.images().program.symbols;
    let pages = lab.bases().program + symbols.by_name("RequesterInput").unwrap().rva;
    let input = [what, pages.0].map(u64::to_le_bytes).concat();
    let request = Request::ioctl(handle, code(MISUSE, BUFFERED), &input, 0);
    let error = match lab.request(&request) {
        Err(error) => error,
        // What is wrong shows later.
        Ok(_) => lab.request(&Request::Exit { code: 0 }).unwrap_err(),
    };
    match error.stopped().map(|stopped| &stopped.reason) {
        Some(RequestStop::BugCheck(check)) => *check,
        _ => panic!("no bug check but {error}"),
    }
}

#[test]
fn completing_twice() {
    let check = misuse(&mut lab(), 1);
    assert_eq!((check.code, &check.parameters[1..]), (0x44, &[0; 3][..]));
}

#[test]
fn no_stack_location_left() {
    assert_eq!(misuse(&mut lab(), 2).code, 0x35);
}

/// PROCESS_HAS_LOCKED_PAGES: 0, the process, and how many.
#[test]
fn pages_that_stay_locked() {
    let mut lab = lab();
    let check = misuse(&mut lab, 3);
    assert_eq!(
        (check.code, check.parameters[0], check.parameters[2]),
        (0x76, 0, 3)
    );
    assert_eq!(check.parameters[3], 0);
}

/// 1, the list, and how many the process has locked.
#[test]
fn unlocking_twice() {
    let check = misuse(&mut lab(), 4);
    assert_eq!(
        (check.code, check.parameters[0], check.parameters[2]),
        (0x76, 1, 0)
    );
}

/// PFN_LIST_CORRUPT: "A driver has unlocked a page more times than it locked it."
#[test]
fn unlocking_what_was_not_locked() {
    let check = misuse(&mut lab(), 5);
    assert_eq!((check.code, check.parameters[0]), (0x4e, 7));
}

#[test]
fn cancelling_what_is_complete() {
    assert_eq!(misuse(&mut lab(), 6).code, 0x48);
}

#[test]
fn freeing_a_request_twice() {
    assert_eq!(misuse(&mut lab(), 7).code, 0x44);
}

#[test]
fn a_part_larger_than_its_list() {
    assert_eq!(misuse(&mut lab(), 9).code, 0x40);
}

/// WDK, "IoAllocateIrp": the completion routine frees the request and returns
/// STATUS_MORE_PROCESSING_REQUIRED. Windows queues a procedure call to no thread.
#[test]
fn a_request_of_the_drivers_own_that_completes_to_its_end() {
    let check = misuse(&mut lab(), 11);
    assert_eq!((check.code, check.parameters[1]), (0xa, 2));
    assert!(check.parameters[0] < 0x1000);
}

/// KERNEL_APC_PENDING_DURING_EXIT: 0, procedure calls that are disabled, the level.
#[test]
fn a_thread_that_ends_at_a_raised_level() {
    let check = misuse(&mut lab(), 12);
    assert_eq!((check.code, check.parameters), (0x20, [0, 0, 2, 0]));
}

/// APC_INDEX_MISMATCH: the service, 0, procedure calls that are disabled, 0 for a system call.
#[test]
fn a_critical_region_that_is_not_left() {
    let mut lab = lab();
    let check = misuse(&mut lab, 13);
    let service = lab.kernel_symbol("NtDeviceIoControlFile").unwrap().0;
    assert_eq!((check.code, check.parameters), (1, [service, 0, 0xffff, 0]));
    assert_eq!(check.name(), Some("APC_INDEX_MISMATCH"));
}

/// A timer that outlives its driver.
#[test]
fn a_driver_that_is_gone_is_called() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let input = 8_u64.to_le_bytes();
    assert!(control(&mut lab, handle, code(MISUSE, BUFFERED), &input, 0).is_success());
    close(&mut lab, handle);
    let error = match lab.unload_driver() {
        Err(poolhit::guest::DriverCallError::Request(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(()) => lab
            .request(&Request::Sleep { milliseconds: 5 })
            .unwrap_err(),
    };
    let Some(RequestStop::BugCheck(check)) = error.stopped().map(|stopped| stopped.reason.clone())
    else {
        panic!("{error}");
    };
    // DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS: the address, the level, execution.
    let driver = lab.bases().driver.0;
    assert_eq!(
        (check.code, check.parameters[1], check.parameters[2]),
        (0xce, 2, 8)
    );
    assert!((driver..driver + 0x10000).contains(&check.parameters[0]));
}

#[test]
fn nothing_comes_behind_a_bug_check() {
    let mut lab = lab();
    misuse(&mut lab, 1);
    let again = lab
        .request(&Request::Sleep { milliseconds: 1 })
        .unwrap_err();
    assert!(
        matches!(&again, RequestError::Stopped(stopped)
        if matches!(stopped.reason, RequestStop::BugCheck(BugCheck { code: 0x44, .. }))),
        "{again}"
    );
}
