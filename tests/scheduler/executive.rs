//! Locks, queues and calls between threads. WDK: "Run-Down Protection", "ExAcquireSharedStarveExclusive",
//! "KeInitializeQueue", "Introduction to Threaded DPCs", "Types of APCs".

use crate::guest::{pairs, run};

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
    let expected: [(u32, i64); 0] = [];
    assert_eq!(pairs(&run(33)), expected);
}

#[test]
fn calls_that_are_put_off() {
    let notes = run(34);
    let expected: [(u32, i64); 0] = [];
    assert_eq!(pairs(&notes), expected);
}

#[test]
fn asynchronous_procedure_calls_come_where_they_may() {
    let notes = run(35);
    let expected: [(u32, i64); 0] = [];
    assert_eq!(pairs(&notes), expected);
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
        (7, 0),
        END,
    ];
    assert_eq!(pairs(&run(36)), expected);
}
