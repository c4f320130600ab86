//! Threads: each has a stack of its own, which a walk follows to the thread's start.

use crate::VISITS;
use crate::guest::Guest;
use poolhit::Lab;
use poolhit::guest::{GuestImages, ImageFile};
use poolhit::machine::Exit;
use poolhit_fixtures::prebuilt;

/// In front of the number of what the driver is to do.
const MARK: [u8; 8] = 0xa1b2_c3d4_e4d5_c6b7_u64.to_le_bytes();

/// A guest at its first prompt, whose driver is going to do that.
pub fn boot(scenario: u8) -> Guest {
    let mut bytes = prebuilt::SCHEDULER.bytes.to_vec();
    let mark = bytes.windows(8).position(|window| window == MARK).unwrap();
    bytes[mark + 8] = scenario;
    let images = GuestImages {
        driver: ImageFile::parse("scheduler.sys", bytes, None).unwrap(),
        ..GuestImages::built_in().clone()
    };
    Guest::boot_with(Lab::builder().images(images), Some(VISITS))
}

fn watch(scenario: u8) {
    let mut guest = boot(scenario);
    assert_eq!(guest.go(), Exit::Halt);
    guest.finish();
}

/// Events, timeouts, several objects, timers, deferred procedure calls, locks, work items, a deadlock;
/// and a mixture of all.
#[test]
fn threads_that_wait_and_are_interrupted() {
    for scenario in [1, 2, 3, 4, 5, 7, 8, 9, 30] {
        watch(scenario);
    }
}
