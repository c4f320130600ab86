//! The driver, and calls of it.

use poolhit::guest::{BugCheck, CallError, Called, GuestImages, ImageFile};
use poolhit::{Lab, Session};
use poolhit_fixtures::prebuilt;

/// What the driver does: `fixtures/guest/include/hostile.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code)]
#[repr(u32)]
pub enum Act {
    Loop,
    LoopApc,
    LoopDispatch,
    LoopHigh,
    LoopCli,
    LoopDpc,
    LoopWorker,
    Recurse,
    DeepFrame,
    Jump,
    Write,
    Read,
    FillStack,
    FillAndFault,
    AllocateAll,
    Allocate,
    Free,
    FreeStack,
    WaitDispatch,
    WaitForEver,
    LockTwice,
    LoadCr3,
    NoInterrupts,
    BugCheck,
    LowerIrql,
}

/// A lab with the driver, at its first prompt.
pub fn lab() -> Lab {
    let driver = ImageFile::parse("hostile.sys", prebuilt::HOSTILE.bytes.to_vec(), None).unwrap();
    let images = GuestImages {
        driver,
        ..GuestImages::built_in().clone()
    };
    Lab::builder()
        .images(images)
        .memory(64 << 20)
        .build()
        .unwrap()
}

/// Has the driver do it.
pub fn act(lab: &mut Lab, what: Act, address: u64, value: u64) -> Result<Called, CallError> {
    let function = lab.driver_function("HostileAct").unwrap();
    lab.call(function, &[what as u64, address, value])
}

/// The bug check that it ends in; and the lab goes on from the state before as if nothing had been.
#[track_caller]
pub fn bug_check(what: Act, address: u64, value: u64) -> BugCheck {
    let mut lab = lab();
    let saved = lab.save().unwrap();
    let hash = lab.machine().state_hash();
    let check = match act(&mut lab, what, address, value) {
        Err(CallError::BugCheck(check)) => check,
        other => panic!("{what:?}: {other:?}"),
    };
    works_again(lab, &saved, hash);
    check
}

/// The lab, restored, is what it was, and does what it did; so does another.
#[track_caller]
pub fn works_again(mut lab: Lab, saved: &poolhit::guest::SavedLab, hash: u128) {
    lab.restore(saved).unwrap();
    assert_eq!(lab.machine().state_hash(), hash);
    for mut lab in [lab, self::lab()] {
        let block = act(&mut lab, Act::Allocate, 0, 0x100).unwrap().value;
        assert_ne!(block, 0);
        act(&mut lab, Act::Free, block, 0).unwrap();
    }
}

/// The stack of a session at this lab.
pub fn stack(lab: Lab) -> String {
    Session::new(lab).execute("k").unwrap()
}
