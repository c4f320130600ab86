//! Steps take the guest the same way as a run does, and stop where a debugger's do.

use poolhit::address::Va;
use poolhit::debugger::{Breakpoint, StepEnd, Steps, breakpoint::BreakpointKind};
use poolhit::guest::SavedLab;
use poolhit::machine::DataAccess;
use poolhit::memory::ReadMemory;
use poolhit::registers::Gpr;
use poolhit::{Lab, Session, StopReason};
use proptest::prelude::*;

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

/// A session at the first hit of the golden one.
fn at_hit() -> Session {
    let mut session = session();
    session.execute("ed nt!PoolHitTag 3261654c; g").unwrap();
    session
}

/// Goes on to the same place as another session, without steps: the address has a breakpoint, and the
/// work tells which time it is.
fn go_to(saved: &SavedLab, address: Va, work: u64) -> Session {
    let mut session = Session::new(saved.lab().unwrap());
    session.set_budget(u64::MAX >> 1);
    session.set_breakpoint(address, "").unwrap();
    while session.lab().machine().work() < work || session.registers().rip() != address {
        let before = session.lab().machine().work();
        let stop = session.go().unwrap();
        let at_place = matches!(
            stop.reason,
            StopReason::Breakpoint { .. } | StopReason::BreakInstruction
        );
        assert!(at_place && stop.work <= work, "{stop:?} after {before}");
    }
    session
}

/// Steps, and compares with a run to the same place.
fn check_steps(start: u64, steps: Steps, tag: bool) -> Result<(), TestCaseError> {
    let mut session = session();
    if tag {
        session.execute("ed nt!PoolHitTag 3261654c").unwrap();
    }
    session.set_budget(start);
    session.go().unwrap();
    session.set_budget(1 << 31);
    // a saved lab does not know what its session has stopped at
    if session.last_stop().unwrap().reason == StopReason::BreakInstruction {
        let next = session.registers().rip().wrapping_add(1);
        session.set_instruction_pointer(next).unwrap();
    }
    let saved = session.save().unwrap();
    let mut stepping = Session::new(saved.lab().unwrap());
    let mut left = steps.count;
    while left > 0 {
        let stop = stepping.step(&Steps { count: 1, ..steps }).unwrap();
        match stop.reason {
            StopReason::Step => left -= 1,
            // what a debugger goes on from is not what is compared
            StopReason::BreakInstruction => {}
            _ => return Ok(()),
        }
    }
    let machine = stepping.lab().machine();
    let (address, work) = (machine.registers().rip(), machine.work());
    let running = go_to(&saved, address, work);
    let [one, other] = [&stepping, &running].map(|one| one.lab().machine());
    prop_assert_eq!(one.work(), other.work());
    prop_assert_eq!(one.registers(), other.registers());
    prop_assert_eq!(one.state_hash(), other.state_hash());
    Ok(())
}

fn into(count: u64) -> Steps {
    Steps {
        count,
        ..Steps::into_calls()
    }
}

/// The program's work from the first prompt to its end, about.
const WHOLE: u64 = 3_000_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 8, ..ProptestConfig::default() })]

    #[test]
    fn steps_come_to_where_a_run_comes(
        start in 0..WHOLE,
        count in prop::sample::select(vec![1_u64, 2, 3, 10, 100, 1000]),
        over: bool,
        tag: bool,
    ) {
        let count = if over { count.min(20) } else { count };
        check_steps(start, Steps { over, ..into(count) }, tag)?;
    }
}

#[test]
fn steps_from_the_first_prompt_through_system_calls() {
    for count in [1, 2, 3, 50, 1000, 20_000] {
        check_steps(0, into(count), false).unwrap();
        check_steps(0, into(count), true).unwrap();
    }
}

#[test]
fn a_call_is_stepped_over_up_to_a_hit() {
    let mut session = session();
    session
        .execute("ed nt!PoolHitTag 3261654c; g nt!NtDeviceIoControlFile; pc")
        .unwrap();
    let call = session.registers().rip();
    let stop = session.step(&Steps::over_calls()).unwrap();
    assert_eq!(stop.reason, StopReason::BreakInstruction);
    assert_eq!(
        session.stack(64).frames[5].to_string(),
        "nt!NtDeviceIoControlFile+0x56"
    );
    // on the way back is where the step would have ended
    session.execute("ed nt!PoolHitTag ffffff0f").unwrap();
    let behind = session.instruction(call).next_address();
    let text = session.execute(&format!("g {:x}", behind.0)).unwrap();
    assert!(
        text.starts_with("nt!NtDeviceIoControlFile+0x56:\n"),
        "{text}"
    );
}

#[test]
fn a_call_is_stepped_over_up_to_a_breakpoint_whose_commands_may_go_on_with_the_step() {
    let setup = "bc *; g nt!NtDeviceIoControlFile; pc";
    let mut session = session();
    session.execute(setup).unwrap();
    session
        .execute("bp nt!IofCompleteRequest \"? 7; gc\"")
        .unwrap();
    let text = session.execute("p").unwrap();
    let seven = "Evaluate expression: 7 = 00000000`00000007\n";
    assert!(
        text.starts_with(&format!("{seven}nt!NtDeviceIoControlFile+0x56:\n")),
        "{text}"
    );
    // `g` instead gives the step up
    session
        .execute("bc *; g nt!NtDeviceIoControlFile; pc")
        .unwrap();
    session
        .execute("bp nt!IofCompleteRequest \"? 7; g\"")
        .unwrap();
    let text = session.execute("p").unwrap();
    assert!(text.contains("The guest is idle"), "{text}");
}

#[test]
fn functions_are_left_one_by_one() {
    let mut session = at_hit();
    session.execute("ed nt!PoolHitTag ffffff0f").unwrap();
    let frames = session.stack(64).frames;
    for frame in &frames[..frames.len() - 1] {
        let stop = session.step_out().unwrap().unwrap();
        assert_eq!(stop.reason, StopReason::Step);
        assert_eq!(stop.address, frame.return_address);
    }
    assert!(session.step_out().unwrap().is_none());
    // and from the middle at once
    let mut session = at_hit();
    session
        .execute("ed nt!PoolHitTag ffffff0f; .frame 3; gu")
        .unwrap();
    assert_eq!(session.registers().rip(), frames[3].return_address);
}

#[test]
fn a_break_instruction_is_passed_by_a_step_and_executed_by_another() {
    let mut session = at_hit();
    let here = session.registers().rip();
    assert_eq!(
        session.step(&Steps::into_calls()).unwrap().address,
        here.wrapping_add(1)
    );
    // put back in front of it, the guest executes it
    session.set_instruction_pointer(here).unwrap();
    let stop = session.step(&Steps::into_calls()).unwrap();
    assert_eq!(
        (stop.reason, stop.address),
        (StopReason::BreakInstruction, here)
    );
    // patched, it is what it says
    session.execute("eb @rip 90").unwrap();
    let stop = session.step(&Steps::into_calls()).unwrap();
    assert_eq!(
        (stop.reason, stop.address),
        (StopReason::Step, here.wrapping_add(1))
    );
    // with a breakpoint on it, patched or not, the guest stops in front of it once
    for code in ["cc", "90"] {
        let mut session = self::session();
        session
            .execute(&format!("eb {:x} {code}; bp {:x}", here.0, here.0))
            .unwrap();
        session.execute("ed nt!PoolHitTag 3261654c; g").unwrap();
        let first = session.last_stop().unwrap().clone();
        assert_eq!(first.reason, StopReason::Breakpoint { number: 0 });
        let stop = session.step(&Steps::into_calls()).unwrap();
        let expected = match code {
            "cc" => (StopReason::BreakInstruction, here),
            _ => (StopReason::Step, here.wrapping_add(1)),
        };
        assert_eq!((stop.reason, stop.address), expected, "{code}");
    }
}

#[test]
fn a_step_ends_at_a_breakpoint_without_its_commands() {
    let mut session = session();
    session.execute("g nt!NtDeviceIoControlFile; pc").unwrap();
    session
        .execute("bp nt!IopXxxControlFile 2 \"? 7\"")
        .unwrap();
    // with passes left it is none
    let text = session.execute("t").unwrap();
    assert_eq!(session.last_stop().unwrap().reason, StopReason::Step);
    assert!(text.starts_with("nt!IopXxxControlFile:\n"), "{text}");
    let mut session = self::session();
    session.execute("g nt!NtDeviceIoControlFile; pc").unwrap();
    session.execute("bp nt!IopXxxControlFile \"? 7\"").unwrap();
    let text = session.execute("t 10").unwrap();
    assert!(
        text.starts_with("Breakpoint 0 hit\nnt!IopXxxControlFile:\n"),
        "{text}"
    );
    // and is passed
    session.execute("t").unwrap();
    assert_eq!(session.last_stop().unwrap().reason, StopReason::Step);
}

#[test]
fn data_is_used_behind_the_instruction() {
    let mut session = session();
    session.execute("g nt!NtDeviceIoControlFile").unwrap();
    let word = session.registers().rsp().wrapping_sub(8);
    let kind = BreakpointKind::Data {
        access: DataAccess::Write,
        size: 8,
    };
    let breakpoint = Breakpoint {
        kind,
        ..Breakpoint::new(word, "")
    };
    session.add_breakpoint(breakpoint, None).unwrap();
    // nothing has written but the instruction behind which the guest is: a debugger that looks at the
    // word after each step sees the same places
    let saved = session.save().unwrap();
    let mut looking = Session::new(saved.lab().unwrap());
    let mut writes = 0;
    while writes < 4 {
        let before = session.lab().machine().read_u64(word).unwrap();
        let stop = session.go().unwrap();
        if stop.reason != (StopReason::Breakpoint { number: 0 }) {
            break;
        }
        writes += 1;
        // near enough to look after each instruction
        let far = stop.work - looking.lab().machine().work();
        if far > 2000 {
            looking.set_budget(far - 1000);
            looking.go().unwrap();
            looking.set_budget(1 << 31);
        }
        while looking.lab().machine().work() < stop.work {
            let seen = looking.lab().machine().read_u64(word).unwrap();
            assert_eq!(seen, before);
            looking.step(&Steps::into_calls()).unwrap();
        }
        assert_eq!(looking.registers(), session.registers());
        let mut stepping = Session::new(session.save().unwrap().lab().unwrap());
        stepping.step(&Steps::into_calls()).unwrap();
        session.step(&Steps::into_calls()).unwrap();
        assert_eq!(session.registers(), stepping.registers());
    }
}

#[test]
fn watched_data_changes_nothing_but_where_the_guest_stops() {
    let mut plain = session();
    plain.go().unwrap();
    let mut watched = session();
    let tag = watched.resolve("nt!PoolHitTag").unwrap();
    watched
        .execute(&format!(
            "ba w4 {:x}; ba r4 {:x} \"gc\"; ba i1 60",
            tag.0, tag.0
        ))
        .unwrap();
    watched.execute("g").unwrap();
    let last = &watched.last_stop().unwrap().reason;
    assert_eq!(
        *last,
        StopReason::Idle {
            exit_status: Some(0)
        }
    );
    let [one, other] = [&plain, &watched].map(|one| one.lab().machine().state_hash());
    assert_eq!(one, other);
}

#[test]
fn every_read_of_the_tag_is_seen() {
    let mut session = session();
    session
        .execute("bp nt!ExAllocatePoolWithTag+66 \"gc\"")
        .unwrap();
    let compare = session
        .resolve("nt!ExAllocatePoolWithTag")
        .unwrap()
        .wrapping_add(0x66);
    assert!(
        session
            .instruction(compare)
            .to_string()
            .contains("PoolHitTag"),
        "{}",
        session.instruction(compare)
    );
    session.execute("bc *; ba r4 nt!PoolHitTag").unwrap();
    let behind = session.instruction(compare).next_address();
    let mut seen = 0;
    while let StopReason::Breakpoint { number: 0 } = session.go().unwrap().reason {
        seen += u64::from(session.registers().rip() == behind);
    }
    let mut counted = self::session();
    counted.set_breakpoint(compare, "").unwrap();
    let mut passed = 0;
    while let StopReason::Breakpoint { number: 0 } = counted.go().unwrap().reason {
        passed += 1;
    }
    assert!(passed > 10);
    assert_eq!(seen, passed);
}

#[test]
fn steps_end_where_they_say() {
    for (end, mnemonics) in [
        (StepEnd::Call, &["call"][..]),
        (StepEnd::Return, &["ret", "iretq", "sysretq"]),
        (StepEnd::CallOrReturn, &["call", "ret", "iretq", "sysretq"]),
    ] {
        for over in [false, true] {
            let mut session = session();
            session.execute("g nt!NtDeviceIoControlFile").unwrap();
            for count in [1, 2, 5] {
                let stop = session.step(&Steps { over, end, count }).unwrap();
                if matches!(stop.reason, StopReason::Idle { .. }) {
                    break;
                }
                let mnemonic = session.instruction(session.registers().rip());
                assert!(mnemonics.contains(&mnemonic.mnemonic()), "{mnemonic}");
            }
        }
    }
}

#[test]
fn a_system_call_is_one_step_or_all_of_its_own() {
    let mut session = session();
    session
        .execute("g ntdll!ZwDeviceIoControlFile; th")
        .unwrap();
    let call = session.instruction(session.registers().rip());
    assert_eq!(call.mnemonic(), "syscall");
    let saved = session.save().unwrap();
    session.step(&Steps::into_calls()).unwrap();
    assert_eq!(
        session.resolve("nt!KiSystemCall64"),
        Some(session.registers().rip())
    );
    assert_eq!(session.registers().get(Gpr::Rcx), call.next_address().0);
    let mut over = Session::new(saved.lab().unwrap());
    let stop = over.step(&Steps::over_calls()).unwrap();
    assert_eq!(
        (stop.reason, stop.address),
        (StopReason::Step, call.next_address())
    );
}

#[test]
fn a_number_of_steps_has_an_end() {
    let mut session = session();
    session.set_budget(1 << 22);
    session.execute("g nt!NtDeviceIoControlFile").unwrap();
    let error = session.execute("t ffffffff").unwrap_err();
    assert!(
        error.to_string().contains("the budget of one run"),
        "{error}"
    );
    let error = session.execute("ta 0").unwrap_err();
    assert!(
        error.to_string().contains("the budget of one run"),
        "{error}"
    );
}

#[test]
fn a_break_in_ends_steps() {
    let mut session = session();
    session.execute("g nt!NtDeviceIoControlFile").unwrap();
    session.break_in_after(5000);
    let steps = Steps {
        end: StepEnd::Address(Va(0)),
        ..Steps::into_calls()
    };
    assert_eq!(session.step(&steps).unwrap().reason, StopReason::BreakIn);
    assert_eq!(
        session.step(&Steps::into_calls()).unwrap().reason,
        StopReason::Step
    );
}
