//! Locks, queues and calls between threads. WDK: "Run-Down Protection", "ExAcquireSharedStarveExclusive",
//! "KeInitializeQueue", "Introduction to Threaded DPCs", "Types of APCs".

use crate::guest::{of, pairs, run};

const END: (u32, i64) = (9999, 0);
const SUCCESS: i64 = 0;

#[test]
fn run_down_protection_waits_for_the_last_user() {
    let expected = [
        (100, 1),
        (101, 1),
        (1, 0),
        // who has it keeps it, and nobody gets it any more
        (110, 0),
        (111, 0),
        (2, 0),
        END,
    ];
    assert_eq!(pairs(&run(31)), expected);
}

#[test]
fn who_waits_for_a_resource_is_treated_as_the_caller_says() {
    let expected = [
        (100, 0),
        (1, 1),
        // one that reads before writers do gets in, and one that lets them go first does not
        (131, 1),
        (2, 0),
        (3, 1),
        (110, 0),
        (4, 2),
        (122, 1),
        (123, 1),
        (5, 0),
        (6, 1),
        (7, 1),
        END,
    ];
    assert_eq!(pairs(&run(32)), expected);
}

#[test]
fn a_queue_s_threads_take_entries_one_at_a_time() {
    let expected = [
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 3),
        (5, 2),
        // this thread waits for another one's start, and so does not count
        (100, 0),
        (101, 1),
        (110, 0),
        (111, 1),
        // it runs: entries are kept until it sleeps
        (13, 0),
        (14, 1),
        (15, 2),
        // whoever has begun to wait last is first
        (101, 3),
        (100, 4),
        (111, 3),
        (101, 5),
        (110, 4),
        (111, 5),
        (6, 0),
        (7, 0),
        // STATUS_ABANDONED, now and from now on
        (100, -0x80),
        (101, -0x80),
        (8, -0x80),
        // what was left is linked in a ring
        (9, 6),
        (10, 7),
        (20, 1),
        END,
    ];
    assert_eq!(pairs(&run(33)), expected);
}

#[test]
fn calls_that_are_put_off() {
    let notes = run(34);
    let expected = [
        (1, 1),
        (2, 0),
        (3, 1),
        // an ordinary one first, and the threaded one to its end before the flush is over
        (101, 7),
        (111, 1),
        (100, 5),
        (110, 0),
        (4, 0),
        (5, 1),
        (200, 9),
        (201, 1),
        (210, 41),
        (6, 42),
        (7, 0),
        (8, 1),
        (9, SUCCESS),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    let levels = [101, 100, 110, 200, 210].map(|event| of(&notes, event).irql);
    assert_eq!(levels, [2, 0, 0, 2, 14]);
}

#[test]
fn asynchronous_procedure_calls_come_where_they_may() {
    let notes = run(35);
    let expected = [
        (10, 1),
        (11, 1),
        (11, 0),
        (13, 1),
        // the special one goes first; a normal one waits for the one before it
        (203, 43),
        (200, 40),
        (210, 42),
        (220, 1),
        (201, 41),
        (211, 43),
        (221, 1),
        // and the wait has gone on
        (100, SUCCESS),
        // a critical region holds off normal ones
        (12, 1),
        (1, 0),
        (13, 1),
        (203, 43),
        (110, 0),
        (202, 42),
        (120, 0),
        // a guarded one all
        (10, 1),
        (11, 1),
        (2, 1),
        (3, 0),
        (11, 1),
        (130, 0),
        // a thread that ends in a call runs down those that have waited for it
        (200, 40),
        (210, 42),
        (231, 0),
        END,
    ];
    assert_eq!(pairs(&notes), expected);
    let levels = [201, 211, 202].map(|event| of(&notes, event).irql);
    assert_eq!(levels, [1, 0, 1]);
}

#[test]
fn mutants_and_priorities() {
    let expected = [
        (1, 0),
        (2, 1),
        (3, 0),
        (4, -1),
        (100, SUCCESS),
        (110, 0),
        (5, 0),
        (6, 1),
        // from 24: steps from the process' 8, and to an end of the range
        (7, 16),
        (8, 11),
        (9, 3),
        (10, 1),
        (11, -16),
        (12, 15),
        (13, 1),
        (120, SUCCESS),
        END,
    ];
    assert_eq!(pairs(&run(36)), expected);
}

/// As drivers do that are compiled for x64, where KeQueryTickCount and the like are inline (wdm.h).
#[test]
fn the_time_in_the_shared_page_goes_on() {
    let expected = [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 1),
        (5, 64),
        (6, 1),
        // in deferred procedure calls, too
        (7, 1),
        (8, 1),
        (9, 1),
        // and with a call it is the same time
        (10, 1),
        (11, 1),
        (12, 1),
        END,
    ];
    assert_eq!(pairs(&run(37)), expected);
}
