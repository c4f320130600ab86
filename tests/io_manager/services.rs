//! System services that a driver calls, where something is not as it should be.

use crate::guest::*;
use poolhit::Lab;

const SERVICES: u32 = 0x830;

const INVALID_PARAMETER: u32 = 0xc000_000d;

fn of(lab: &mut Lab, case: u32) -> Vec<u32> {
    numbers(lab, "IoTest", SERVICES, &case.to_le_bytes())
}

/// A result that cannot be told is no exception: the file's lock and references are given back, and it can be
/// used and closed.
#[test]
fn a_result_that_cannot_be_told_leaves_the_file_usable() {
    let mut lab = lab();
    let before = outstanding(&lab);
    let violation = 0xc000_0005;
    let expected = [0, violation, violation, 0, 0, 0, 1, 0];
    assert_eq!(of(&mut lab, 1), expected);
    assert_eq!(outstanding(&lab), before);
}

/// The same where the request ends in a wait for something else: STATUS_PENDING, STATUS_TIMEOUT, at
/// PASSIVE_LEVEL, with the data and the event.
#[test]
fn a_result_that_cannot_be_told_later_disturbs_nobody() {
    let mut lab = lab();
    let before = outstanding(&lab);
    assert_eq!(of(&mut lab, 2), [0x103, 0x102, 0, 5, 0, 0, 0, 0]);
    assert_eq!(outstanding(&lab), before);
}

/// Without pool, a file that is closed by the close of another one.
#[test]
fn a_close_inside_a_close_needs_no_pool() {
    let driver = driver(0, 0);
    let builder = Lab::builder().driver(driver).requester();
    let mut lab = builder.nonpaged_pool_limit(4 << 20).build().unwrap();
    assert_eq!(of(&mut lab, 3)[..5], [0, 0, 0, 2, 2]);
}

/// WDK, "NtCreateFile": what has to be set in DesiredAccess is not there by a generic right, and which options
/// go with FILE_DIRECTORY_FILE.
#[test]
fn options_that_do_not_go_together_are_refused() {
    let expected = [
        1, // the caller is the program
        INVALID_PARAMETER,
        0,
        INVALID_PARAMETER,
        0,
        INVALID_PARAMETER,
        0,
        INVALID_PARAMETER,
    ];
    assert_eq!(of(&mut lab(), 4), expected);
}

#[test]
fn a_name_that_is_not_there_leaves_nothing() {
    let mut lab = lab();
    let before = outstanding(&lab);
    assert_eq!(of(&mut lab, 5)[0], 0xc000_0005);
    assert_eq!(outstanding(&lab), before);
}
