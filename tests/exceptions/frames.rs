//! Handlers far above the exception, and what is kept for their callers.

use crate::guest::{Place, Request, pairs, run};
use crate::{kind, status_of};

const FAR_ABOVE: u32 = 2;
const REGISTERS: u32 = 12;

/// Through vector registers that were saved, chained unwind data, a dynamic stack, and a termination
/// handler on the way; and no register that functions keep is lost.
#[test]
fn a_handler_several_frames_above() {
    for place in [Place::Dispatch, Place::Thread, Place::WorkItem] {
        for kind in kind::ALL {
            let request = Request::new(FAR_ABOVE, place, kind);
            let expected = [(10, 2), (11, status_of(kind)), (12, 0), (9999, 0)];
            assert_eq!(pairs(&run(&request)), expected, "{kind}");
        }
    }
}

/// The same in one thread, one exception after the other.
#[test]
fn registers_are_kept_time_after_time() {
    let request = Request::new(REGISTERS, Place::Dispatch, 0);
    let mut expected: Vec<_> = kind::ALL
        .flat_map(|kind| [(10, 2), (11, status_of(kind)), (63, 0)])
        .collect();
    expected.push((9999, 0));
    assert_eq!(pairs(&run(&request)), expected);
}
