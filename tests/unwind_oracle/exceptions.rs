//! Exceptions: filters and termination handlers that run while frames are searched and unwound, and code
//! that goes on in a frame above, or with other registers.

use crate::VISITS;
use crate::guest::Guest;
use crate::oracle::watch::Counts;
use poolhit::Lab;
use poolhit::guest::{BugCheck, GuestImages, ImageFile};
use poolhit::machine::Exit;
use poolhit_fixtures::prebuilt;

/// In front of what the driver is to do: the scenario, the place, an argument.
const MARK: [u8; 8] = 0xa1b2_c3d5_e4d5_c6b8_u64.to_le_bytes();
const IN_DRIVER_ENTRY: u32 = 1;
const IN_DISPATCH: u32 = 2;
const IN_THREAD: u32 = 3;
const IN_DPC: u32 = 4;

fn guest(scenario: u32, place: u32, argument: u64) -> Guest {
    let mut bytes = prebuilt::SEH.bytes.to_vec();
    let mark = bytes.windows(8).position(|window| window == MARK).unwrap();
    let request = [scenario.to_le_bytes(), place.to_le_bytes()].concat();
    bytes[mark + 8..mark + 16].copy_from_slice(&request);
    bytes[mark + 16..mark + 24].copy_from_slice(&argument.to_le_bytes());
    let images = GuestImages {
        driver: ImageFile::parse("seh.sys", bytes, None).unwrap(),
        ..GuestImages::built_in().clone()
    };
    Guest::boot_with(Lab::builder().images(images), Some(VISITS))
}

/// A scenario that the guest comes through, watched for a part of the program's requests.
fn watch(scenario: u32, place: u32, argument: u64) -> Counts {
    let mut guest = guest(scenario, place, argument);
    guest.pass_break_instruction();
    let limit = guest.lab.machine().work() + (1 << 20);
    let exit = guest.run(limit);
    assert!(matches!(exit, Exit::Limit | Exit::Halt), "{exit:?}");
    assert_eq!(guest.lab.bug_check(), None);
    guest.finish()
}

#[test]
fn handlers_above_and_in_the_frame() {
    for (scenario, argument) in [(1, 99), (2, 0), (2, 5), (4, 6), (12, 0), (17, 8)] {
        for place in [IN_DISPATCH, IN_THREAD] {
            watch(scenario, place, argument);
        }
    }
    watch(1, IN_DPC, 5);
    watch(1, IN_DRIVER_ENTRY, 0);
}

/// The frames of interrupted code are changed, and contexts are captured and gone back to.
#[test]
fn code_that_goes_on_with_other_registers() {
    let counts = watch(3, IN_DISPATCH, 0);
    assert!(counts.rewriting > 100, "{counts:?}");
    // Of each exception, a page of instructions at most.
    assert!(counts.rewriting < 3000, "{counts:?}");
    watch(6, IN_DISPATCH, 0);
    watch(5, IN_THREAD, 0);
}

#[test]
fn termination_handlers_nested_exceptions_and_collided_unwinds() {
    for scenario in [11, 14, 15] {
        for place in [IN_DISPATCH, IN_THREAD] {
            let counts = watch(scenario, place, 0);
            assert_eq!(counts.rewriting, 0);
        }
    }
}

fn bug_check(scenario: u32, place: u32, argument: u64) -> BugCheck {
    let mut guest = guest(scenario, place, argument);
    let exit = guest.go();
    assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
    let check = guest.lab.bug_check().unwrap();
    guest.finish();
    check
}

#[test]
fn exceptions_that_nobody_handles() {
    assert_eq!(bug_check(8, IN_DISPATCH, 0).code, 0x3b);
    assert_eq!(bug_check(8, IN_THREAD, 7).code, 0x7e);
    assert_eq!(bug_check(8, IN_DPC, 6).code, 0x1e);
}

/// From the double fault's own stack back to the one that is used up.
#[test]
fn a_stack_that_is_used_up() {
    assert_eq!(bug_check(9, IN_DISPATCH, 0).code, 0x7f);
}
