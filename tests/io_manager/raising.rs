//! Fast routines that raise, and callbacks of the registry that are taken back while they are called. WDK:
//! "IRPs Are Different From Fast I/O", "CmUnRegisterCallback".

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{Request, RequestStop};

const RAISES: u32 = 0x851;
const FAST_CONTROL: u32 = 0;
const FAST_READ: u32 = 1;
const CALLED_ELSEWHERE: u32 = 2;
const UNREGISTERS_ITSELF: u32 = 3;
const ACCESS_DENIED: u32 = 0xc000_0022;
const INVALID_PARAMETER: u32 = 0xc000_000d;

#[track_caller]
fn numbers(lab: &mut Lab, what: u32) -> [u32; 6] {
    let handle = open(lab, "IoTest");
    let answer = control(lab, handle, code(RAISES, BUFFERED), &what.to_le_bytes(), 24);
    assert!(answer.is_success(), "{answer:?}");
    close(lab, handle);
    let (words, _) = answer.data().as_chunks();
    std::array::from_fn(|at| u32::from_le_bytes(words[at]))
}

/// The file is not locked any more, and nobody refers to it but its handle.
#[test]
fn a_file_whose_fast_routine_raises_is_let_go_of() {
    for what in [FAST_CONTROL, FAST_READ] {
        let [raised, again, closes, ..] = numbers(&mut lab(), what);
        assert_eq!((raised, again, closes), (ACCESS_DENIED, 0, 1), "{what}");
    }
}

#[test]
fn a_registry_callback_that_is_taken_back_has_returned() {
    let [registered, entered, taken, inside, again, later] = numbers(&mut lab(), CALLED_ELSEWHERE);
    assert_eq!((registered, taken), (0, 0));
    assert_eq!((entered, inside), (1, 0));
    assert_eq!(again, INVALID_PARAMETER);
    // the operation's second half is not told to a callback that is gone
    assert_eq!(later, 1);
}

/// "That call will result in a deadlock."
#[test]
fn a_registry_callback_that_takes_itself_back_waits_for_ever() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let what = UNREGISTERS_ITSELF.to_le_bytes();
    let request = Request::ioctl(handle, code(RAISES, BUFFERED), &what, 24);
    let error = lab.request(&request).unwrap_err();
    let stopped = error.stopped().unwrap();
    assert!(
        matches!(stopped.reason, RequestStop::WaitsForEver),
        "{error}"
    );
    let stack = stopped.stack.join("\n");
    assert!(stack.contains("CmUnRegisterCallback"), "{stack}");
}
