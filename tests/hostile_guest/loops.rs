//! Guests that never end.

use crate::support::*;
use poolhit::address::Va;
use poolhit::frontends::console::{BREAK_IN_KEY, ConsoleOptions, run};
use poolhit::{Session, StopReason};

/// `jmp $`.
const LOOP: [u8; 2] = [0xeb, 0xfe];

#[test]
fn a_program_that_loops_uses_up_its_budget() {
    let mut session = with_program(&LOOP);
    for _ in 0..3 {
        let error = session.execute("g").unwrap_err().to_string();
        assert!(
            error.contains(&format!("{BUDGET} bytes of code")) && error.contains("hostile+0x1000"),
            "{error}"
        );
        assert_eq!(
            session.execute("u 140001000 l1").unwrap(),
            "hostile+0x1000:\n00000001`40001000 ebfe            jmp     hostile+0x1000 (00000001`40001000)\n"
        );
    }
    session.execute("eb 140001000 0f 0b").unwrap();
    assert_eq!(fault(&mut session), (6, None));
    fresh_lab_works();
}

/// Breaks in, and checks that the kernel's own break has stopped it, called by the clock.
#[track_caller]
fn breaks_in(session: &mut Session, under: &str) {
    session.break_in_after(10_000);
    let stop = go(session);
    assert_eq!(stop.reason, StopReason::BreakIn);
    assert_eq!(
        session.resolve("nt!RtlpBreakWithStatusInstruction"),
        Some(stop.address)
    );
    let stack = session.stack(64);
    let names: Vec<_> = stack.frames.iter().map(|frame| frame.to_string()).collect();
    assert!(names[0].starts_with("nt!RtlpBreakWithStatusInstruction"));
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("nt!KiClockInterrupt")),
        "{names:?}"
    );
    assert!(names.iter().any(|name| name == under), "{names:?}");
}

#[test]
fn break_in_reaches_a_program_that_loops() {
    let mut session = with_program(&LOOP);
    for _ in 0..3 {
        breaks_in(&mut session, "hostile+0x1000");
    }
    // it goes on where it was
    assert_eq!(go(&mut session).reason, StopReason::Budget { work: BUDGET });
    assert_eq!(session.registers().rip, PROGRAM_CODE);
}

#[test]
fn break_in_reaches_a_system_call_that_loops() {
    let (mut session, at) = with_system_call(&LOOP);
    assert_eq!(go(&mut session).reason, StopReason::Budget { work: BUDGET });
    breaks_in(&mut session, "nt!NtDeviceIoControlFile");
    assert_eq!(go(&mut session).reason, StopReason::Budget { work: BUDGET });
    assert_eq!(session.registers().rip(), at);
}

/// With interrupts off no handler can run, so the guest is stopped where it is.
#[test]
fn break_in_stops_a_loop_with_interrupts_off() {
    let (mut session, at) = with_system_call(&[0xfa, 0xeb, 0xfe]);
    assert_eq!(go(&mut session).reason, StopReason::Budget { work: BUDGET });
    session.set_budget(10 << 20);
    session.break_in_after(10_000);
    let stop = go(&mut session);
    assert_eq!(
        (stop.reason, stop.address),
        (StopReason::BreakIn, at.wrapping_add(1))
    );
    look(&mut session);
}

#[test]
fn a_scripts_break_key_reaches_a_loop() {
    let mut session = with_program(&LOOP);
    let script = format!("g\n{BREAK_IN_KEY}\nk\n? @rip\n");
    let options = ConsoleOptions {
        interactive: false,
        strict: false,
        break_in_after: 5000,
    };
    let mut out = Vec::new();
    let failed = run(&mut session, script.as_bytes(), &mut out, options).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(failed, 0, "{text}");
    assert!(
        text.starts_with("1: kd> g\n<Ctrl+Break>\nBreak instruction exception"),
        "{text}"
    );
    assert!(text.contains(" nt!KiClockInterrupt"), "{text}");
    assert!(text.contains(" hostile+0x1000\n"), "{text}");
}

/// Every stop at the breakpoint is but two bytes of work, and prints.
#[test]
fn a_breakpoint_whose_commands_go_on_for_ever_uses_up_the_budget() {
    let mut session = with_program(&LOOP);
    session.set_budget(50 * 8192);
    session.execute("bp 140001000 \"? 1;g\"").unwrap();
    let mut text = String::new();
    let error = session.execute_to("g", &mut text).unwrap_err();
    assert!(error.to_string().contains("hostile+0x1000"), "{error}");
    assert_eq!(text.lines().count(), 50);
}

/// Where a budget ends is no place that the guest has been through: an `int 3` there still comes.
#[test]
fn a_budget_that_ends_at_a_break_instruction_does_not_hide_it() {
    // jmp to the int 3, so that it starts a block
    let mut session = with_program(&[0xeb, 0x00, 0xcc, 0xeb, 0xfe]);
    let at = Va(PROGRAM_CODE + 2);
    session.execute(&format!("bp {PROGRAM_CODE:x}")).unwrap();
    go(&mut session);
    session.set_budget(2);
    let stop = go(&mut session);
    assert_eq!(
        (stop.reason, stop.address),
        (StopReason::Budget { work: 2 }, at)
    );
    session.set_budget(BUDGET);
    let stop = go(&mut session);
    assert_eq!(
        (stop.reason, stop.address),
        (StopReason::BreakInstruction, at)
    );
}

#[test]
fn a_driver_that_loops_does_not_boot() {
    for code in [&[0xfa, 0xeb, 0xfe], &[0xfb, 0xeb, 0xfe]] {
        let error = boot_error(code);
        assert!(
            error.contains("no end after 16777216 bytes of code"),
            "{error}"
        );
        assert!(
            error.contains(" at fffff880`0496e001 (hostile+0x1001)\n    hostile+0x1001\n"),
            "{error}"
        );
    }
    fresh_lab_works();
}
