//! When termination handlers run, and exceptions in filters and in them.

use crate::guest::{Place, Request, pairs, run};
use crate::status;

const LOCAL_UNWIND: u32 = 11;
const FINALLY_ORDER: u32 = 14;
const COLLISIONS: u32 = 15;
const END: (u32, u64) = (9999, 0);

/// 101: a round begins. 102: the inner block comes to its end. 103 and 105: the handlers, and whether the
/// block was left abnormally. 104 and 106: behind the inner and the outer block. 107: what is returned.
/// 108 and 109: filter and handler of the caller.
#[test]
fn termination_handlers_run_however_a_block_is_left() {
    let whole = |round| {
        [
            (101, round),
            (102, round),
            (103, 0),
            (104, round),
            (105, 0),
            (106, round),
        ]
    };
    let mut expected = vec![(100, 0)];
    expected.extend(whole(0));
    expected.extend(whole(1));
    expected.push((107, 8));
    // return, break, continue, leave, goto, fault
    expected.extend([(100, 1), (101, 0), (103, 1), (105, 1), (107, 7)]);
    expected.extend([(100, 2), (101, 0), (103, 1), (105, 1), (107, 8)]);
    expected.extend([(100, 3), (101, 0), (103, 1), (105, 1)]);
    expected.extend([(101, 1), (103, 1), (105, 1), (107, 8)]);
    expected.push((100, 4));
    for round in 0..2 {
        let left = whole(round).into_iter().filter(|note| note.0 != 102);
        expected.extend(left);
    }
    expected.push((107, 8));
    expected.extend([(100, 5), (101, 0), (103, 1), (105, 1), (107, 8)]);
    // The filter is asked before anything is unwound.
    expected.extend([(100, 6), (101, 0), (108, 0), (103, 1), (105, 1)]);
    expected.extend([(109, status::ACCESS_VIOLATION), END]);
    for place in [Place::Dispatch, Place::Thread] {
        let request = Request::new(FINALLY_ORDER, place, 0);
        assert_eq!(pairs(&run(&request)), expected);
    }
}

#[test]
fn exceptions_in_filters_and_termination_handlers() {
    let expected = [
        // A filter divides by zero: it is asked about that, too, and then the caller's.
        (111, 1),
        (111, 0),
        (118, status::INTEGER_DIVIDE_BY_ZERO),
        (112, 0),
        (119, status::INTEGER_DIVIDE_BY_ZERO),
        // A termination handler meets ud2: the unwind to the caller is given up, since a scope outside
        // the handler's wants that.
        (114, status::ACCESS_VIOLATION),
        (120, status::ACCESS_VIOLATION),
        (113, 0),
        (114, status::ILLEGAL_INSTRUCTION),
        (115, status::ILLEGAL_INSTRUCTION),
        (116, 0),
        (120, status::INTEGER_DIVIDE_BY_ZERO),
        (117, 0),
        (121, status::INTEGER_DIVIDE_BY_ZERO),
        END,
    ];
    for place in [Place::Dispatch, Place::Thread] {
        let request = Request::new(COLLISIONS, place, 0);
        assert_eq!(pairs(&run(&request)), expected);
    }
}

/// `_local_unwind`, as compilers call it to leave a scope for a place of the same function.
#[test]
fn a_scope_is_left_for_its_own_function() {
    let request = Request::new(LOCAL_UNWIND, Place::Dispatch, 0);
    assert_eq!(pairs(&run(&request)), [(61, 1), (62, 7), END]);
}
