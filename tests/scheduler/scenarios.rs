//! One driver's doing at a time, and what the documentation says of it.

use crate::guest::{Note, of, pairs, run};

const SUCCESS: i64 = 0;
const TIMEOUT: i64 = 0x102;
const DELETE_PENDING: i64 = 0xc000_0056_u32 as i32 as i64;
const END: (u32, i64) = (9999, 0);

/// More than any of these things takes to do, in units of 100 ns.
const SOON: u64 = 500;

/// A note's time after another one's, in units of 100 ns.
fn since(notes: &[Note], event: u32, before: u32) -> u64 {
    of(notes, event).time - of(notes, before).time
}

/// Something came so many microseconds after something else, and not much later.
#[track_caller]
fn took(notes: &[Note], event: u32, before: u32, microseconds: u64) {
    let passed = since(notes, event, before);
    let least = microseconds * 10;
    assert!(
        (least..least + SOON).contains(&passed),
        "{event} came {passed} after {before}"
    );
}

#[test]
fn events_wake_all_who_wait_or_one() {
    let expected = [
        // A notification event: nobody of a lower priority runs before this thread waits.
        (1, 0),
        (2, 1),
        (100, SUCCESS),
        (101, SUCCESS),
        (102, SUCCESS),
        (3, 1),
        (4, TIMEOUT),
        // A synchronization event: one each, at once if it has the higher priority.
        (103, SUCCESS),
        (5, 0),
        (6, 0),
        (104, SUCCESS),
        (7, 0),
        (105, SUCCESS),
        (8, 0),
        // Nobody waits: a pulse is lost, and a set event waits for who waits.
        (9, 0),
        (10, 0),
        (11, 0),
        (12, SUCCESS),
        (13, 0),
        END,
    ];
    assert_eq!(pairs(&run(1)), expected);
}

#[test]
fn waits_end_when_their_time_is_over() {
    let notes = run(2);
    let expected = [
        (1, TIMEOUT),
        (2, TIMEOUT),
        (3, TIMEOUT),
        (4, SUCCESS),
        (100, 0),
        (5, 0),
        (6, TIMEOUT),
        (7, TIMEOUT),
        (8, 0),
        (9, 0),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    took(&notes, 2, 1, 10_000);
    took(&notes, 3, 2, 100_000);
    took(&notes, 4, 3, 2_000); // the event is set before the time is over
    took(&notes, 6, 5, 3_000); // until a time of the clock
    took(&notes, 7, 6, 0);
    took(&notes, 8, 7, 1);
    took(&notes, 9, 8, 3_600_000_000); // an hour
}

#[test]
fn waits_for_several_objects_take_one_or_all() {
    let notes = run(3);
    let expected = [
        // Any: the mutex, twice, by its index.
        (1, 2),
        (2, 2),
        (3, -1),
        (4, 1),
        // All: nothing is taken while one is missing.
        (5, 0),
        (6, 0),
        (7, 2),
        (8, 1),
        (9, -1),
        (10, 0),
        (100, SUCCESS),
        (110, 1),
        (120, 0),
        (11, 1),
        (12, 0),
        (13, 1),
        (14, 0),
        (15, 1),
        (16, TIMEOUT),
        // Both are signaled: the first counts, the other stays.
        (17, 0),
        (18, 1),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    took(&notes, 16, 15, 3_000);
}

#[test]
fn timers_expire_when_they_are_due() {
    let notes = run(4);
    let expected = [
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 1),
        (201, 0), // who waited has taken the synchronization timer's signal
        (5, SUCCESS),
        (6, 0),
        (200, 1),
        (7, SUCCESS),
        (8, 1),
        (9, 1),
        (10, 0),
        (11, TIMEOUT),
        (12, 0),
        (203, 0),
        (20, SUCCESS),
        (203, 0),
        (21, SUCCESS),
        (203, 0),
        (22, SUCCESS),
        (203, 0),
        (23, SUCCESS),
        (13, 1),
        (14, 0),
        (202, 1),
        (200, 1),
        (201, 1),
        (15, 0),
        (16, 0),
        (200, 1),
        (17, 1),
        (200, 1),
        (18, 1),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    took(&notes, 5, 2, 2_000);
    took(&notes, 7, 1, 3_000);
    took(&notes, 20, 12, 1_000);
    for (number, round) in (21..24).enumerate() {
        // Whoever waits runs a moment after the timer has expired, and not always the same one.
        const MOMENT: u64 = 10;
        let due = 50_000 * (number as u64 + 1);
        let passed = since(&notes, round, 20);
        assert!((due - MOMENT..due + SOON).contains(&passed), "{passed}");
    }
    took(&notes, 14, 13, 20_000);
    took(&notes, 17, 16, 0);
    let calls = notes.iter().filter(|note| note.event / 100 == 2);
    assert!(calls.clone().count() == 11 && calls.into_iter().all(|note| note.irql == 2));
    // The last one interrupted the driver 50 microseconds into two hundred.
    let last = notes.iter().rfind(|note| note.event == 200).unwrap();
    let passed = of(&notes, 18).time - last.time;
    assert!((1300..1600).contains(&passed), "{passed}");
}

#[test]
fn deferred_procedure_calls_come_when_the_level_is_lowered() {
    let notes = run(5);
    let expected = [
        (300, 102),
        (1, 1),
        (2, 1),
        (3, 0),
        (4, 1),
        (5, 1),
        (6, 1),
        (7, 0),
        (8, 1),
        (303, 910),
        (301, 304),
        (304, 101),
        (350, 1),
        (305, 505),
        (9, 0),
        (10, 0),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    let in_calls = |note: &&Note| (300..400).contains(&note.event);
    assert!(notes.iter().filter(in_calls).all(|note| note.irql == 2));
    assert_eq!(of(&notes, 9).irql, 0);
}

#[test]
fn threads_run_by_priority_and_take_turns() {
    let notes = run(6);
    let expected = [
        (120, 0),
        (1, SUCCESS),
        // They yield to each other; first comes the one that had been preempted, and not waited yet.
        (112, 0),
        (111, 0),
        (112, 1),
        (111, 1),
        (112, 2),
        (111, 2),
        (2, 0),
        // Who is woken by a thread of a lower priority goes on in its place.
        (3, SUCCESS),
        (133, 0),
        (143, 0),
        (4, 20),
        (5, 20),
        (6, 10),
        (105, 0),
        (104, 0),
    ];
    assert_eq!(pairs(&notes)[..expected.len()], expected);
    took(&notes, 1, 120, 1_000);
    // 100 ms of two threads in quanta of 31.25 ms.
    let turns = of(&notes, 7).value;
    assert!((4..=6).contains(&turns), "{turns} turns: {notes:?}");
    assert_eq!(pairs(&notes)[expected.len() + 1..], [(8, 0), END]);
}

#[test]
fn locks_exclude_and_hand_over_in_order() {
    let notes = run(7);
    let expected = [
        (1, 0),
        (2, 3),
        (100, 0),
        (110, 0),
        (101, 0),
        (111, 0),
        (102, 0),
        (112, 0),
        (3, 1),
        (4, 0),
        (5, 1),
        (6, 0),
        (7, 0),
        (8, 1),
        (9, 0),
        // Two readers; a writer; the reader that came behind it.
        (123, 1),
        (124, 1),
        (10, 0),
        (11, 0),
        (133, 0),
        (134, 0),
        (145, 1),
        (155, 0),
        (126, 1),
        (136, 0),
        (12, 1),
        (13, 1),
        (14, 0),
        (15, SUCCESS),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    // A fast mutex raises to APC_LEVEL, a spin lock to DISPATCH_LEVEL.
    let levels = [1, 100, 110, 7, 8, 9].map(|event| of(&notes, event).irql);
    assert_eq!(levels, [1, 1, 0, 2, 2, 0]);
    took(&notes, 155, 145, 1_000);
}

#[test]
fn work_items_run_in_worker_threads() {
    let notes = run(8);
    let expected = [
        (1, 0),
        // The critical one first; one that waits does not hold up the next.
        (403, 0),
        (413, 0),
        (400, 0),
        (410, 0),
        (401, 0),
        (402, 0),
        (412, 0),
        (411, 0),
        (2, 0),
        (3, SUCCESS),
        (4, SUCCESS),
        (420, 1),
        (5, DELETE_PENDING),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    assert!(notes.iter().all(|note| note.irql == 0));
    took(&notes, 411, 401, 5_000);
}
