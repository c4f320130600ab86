//! Stacks inside functions that the host has called: they end with the function called. Above its
//! frame are the host's arguments, and no callers.

use poolhit::guest::{CallError, Lab};
use poolhit::stack::walk::WalkEnd;
use poolhit::{Session, StopReason};

#[test]
fn behind_a_bug_check() {
    let mut lab = Lab::builder().build().unwrap();
    let landing = lab.machine().return_landing();
    // Five arguments: the frame has some on the stack.
    let called = lab.call_kernel("ExFreePoolWithTag", &[0xfffffa80_0ff00010, 1, 2, 3, 4]);
    let Err(CallError::BugCheck { check, .. }) = called else {
        panic!("{called:?}");
    };
    let mut session = Session::new(lab);
    let stack = session.stack(64);
    let names: Vec<_> = stack
        .frames
        .iter()
        .map(|frame| frame.symbol.as_deref())
        .collect();
    assert_eq!(names.first(), Some(&Some("RtlpBreakWithStatusInstruction")));
    assert_eq!(names.last(), Some(&Some("ExFreePoolWithTag")), "{check:?}");
    let last = stack.frames.last().unwrap();
    assert_eq!(
        (last.return_address, stack.end),
        (landing, WalkEnd::Outside)
    );
    let text = session.execute("k").unwrap();
    assert_eq!(text.lines().count(), 1 + stack.frames.len(), "{text}");
    let end = format!(" {landing} {last}\n");
    assert!(text.ends_with(&end), "{text}");
}

/// The same stacks where commands are executed without a stop, with any number of frames.
#[test]
fn in_passing() {
    let mut lab = Lab::builder().build().unwrap();
    let landing = lab.machine().return_landing();
    let allocate = lab.kernel_symbol("ExAllocatePoolWithTag").unwrap();
    lab.machine_mut().set_breakpoint(allocate).unwrap();
    let called = lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x3261654c]);
    assert!(
        matches!(called, Err(CallError::Stopped { .. })),
        "{called:?}"
    );
    lab.machine_mut().clear_breakpoint(allocate).unwrap();
    let saved = lab.save().unwrap();
    for limit in 1..5 {
        // A count that is no constant: these commands are executed at stops.
        let [passed, stopped] = ["", "+@rip-@rip"].map(|more| {
            let mut session = Session::new(saved.lab().unwrap());
            session
                .execute(&format!("bp nt!ExpAllocateBigPool \"k {limit}{more};g\""))
                .unwrap();
            let text = session.execute("g").unwrap();
            let reason = &session.last_stop().unwrap().reason;
            assert_eq!(*reason, StopReason::Idle { exit_status: None });
            text.split_once("The guest").unwrap().0.to_string()
        });
        assert_eq!(passed, stopped);
        let rows: Vec<_> = passed.lines().skip(1).collect();
        assert_eq!(rows.len(), limit.min(2), "{passed}");
        assert!(rows[0].ends_with(" nt!ExpAllocateBigPool"), "{passed}");
        let last = format!(" {landing} nt!ExAllocatePoolWithTag+0x");
        assert_eq!(
            rows.iter().any(|row| row.contains(&last)),
            limit > 1,
            "{passed}"
        );
    }
}

/// A block is known whoever has called: the guest, or the host.
#[test]
fn blocks_of_calls_are_recorded() {
    use poolhit::hits::{Keep, Recorder};
    let mut lab = Lab::builder().build().unwrap();
    Recorder::attach(&mut lab, Keep::Last(10));
    let hit_tag = lab.kernel_symbol("PoolHitTag").unwrap();
    poolhit::memory::WriteMemory::write(lab.machine_mut(), hit_tag, b"Test").unwrap();
    for bytes in [0x10, 0x100, 0xff0, 0x2000] {
        let arguments = [0, bytes, 0x74736554];
        let called = lab
            .call_kernel("ExAllocatePoolWithTag", &arguments)
            .unwrap();
        let recorder = lab.machine().probe::<Recorder>().unwrap();
        let hit = recorder.hits().last().unwrap();
        let block = hit.block.map(|block| block.0);
        assert_eq!((hit.bytes, block), (Some(bytes), Some(called.value)));
    }
}
