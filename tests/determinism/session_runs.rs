//! Stopping a session on its way, by a budget or a break-in, loses no other stop.

use crate::{LEAK_PAGED, NO_TAG, first_difference, lab};
use poolhit::debugger::SessionError;
use poolhit::{Session, Stop, StopReason};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Where the big pool's break instruction is in the kernel.
const BIG_POOL_HIT: u64 = 0x2_98f6;

/// All stops to the program's end that are not due to a budget.
fn stops(session: &mut Session, budgets: impl IntoIterator<Item = u64>) -> Vec<Stop> {
    let mut budgets = budgets.into_iter();
    let mut stops = Vec::new();
    loop {
        session.set_budget(budgets.next().unwrap_or(u64::MAX));
        let stop = session.go().unwrap();
        match stop.reason {
            StopReason::Budget { .. } => continue,
            StopReason::Idle { .. } => {
                stops.push(stop);
                return stops;
            }
            _ => stops.push(stop),
        }
    }
}

/// A session with breakpoints on a cold block that is a break instruction, and on functions of
/// either ring; or without any.
fn session(breakpoints: bool) -> Result<Session, SessionError> {
    let mut session = Session::new(lab(LEAK_PAGED));
    let addresses = [
        session.lab().bases().kernel.wrapping_add(BIG_POOL_HIT),
        session.resolve("nt!NtDeviceIoControlFile").unwrap(),
        session.resolve("ntdll!ZwDeviceIoControlFile").unwrap(),
    ];
    for address in addresses.into_iter().filter(|_| breakpoints) {
        session.set_breakpoint(address, "")?;
    }
    Ok(session)
}

/// A budget that ends right in front of a break instruction or a breakpoint does not hide it.
#[test]
fn a_budget_does_not_hide_the_next_stop() -> Result<(), SessionError> {
    let mut in_front = 0;
    for breakpoints in [false, true] {
        let straight = stops(&mut session(breakpoints)?, []);
        for (number, next) in straight.iter().take(8).enumerate() {
            let mut session = session(breakpoints)?;
            for _ in 0..number {
                session.go()?;
            }
            let work = next.work - session.lab().machine().work();
            session.set_budget(work);
            let early = session.go()?;
            session.set_budget(u64::MAX);
            // The budget is looked at between blocks: it does not end in the middle of one.
            if early.reason == (StopReason::Budget { work }) {
                in_front += 1;
                assert_eq!((early.address, early.work), (next.address, next.work));
                assert_eq!(session.go()?, *next, "stop {number}");
            } else {
                assert_eq!(early, *next, "stop {number}");
            }
        }
    }
    assert!(in_front >= 8, "only {in_front} stops start a block");
    Ok(())
}

static STRAIGHT_STOPS: LazyLock<Vec<Stop>> =
    LazyLock::new(|| stops(&mut session(true).unwrap(), []));

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn budgets_lose_no_stop(budgets in vec(prop_oneof![1u64..300, 1u64..20_000], 0..2_000)) {
        let straight = &*STRAIGHT_STOPS;
        let stopped = stops(&mut session(true).unwrap(), budgets);
        prop_assert!(*straight == stopped, "{}", first_difference(straight, &stopped));
    }

    /// Break-ins leave their traces in the guest, but the same ones each time; and the program
    /// and what hits do not notice.
    #[test]
    fn break_ins_repeat(works in vec(1u64..60_000, 1..40)) {
        let run = || {
            let mut session = Session::new(lab(LEAK_PAGED));
            let mut works = works.iter().copied();
            let mut trace = Vec::new();
            let mut hits = 0;
            loop {
                if let Some(work) = works.next() {
                    session.break_in_after(work);
                }
                let stop = session.go().unwrap();
                hits += usize::from(stop.reason == StopReason::BreakInstruction);
                let end = matches!(stop.reason, StopReason::Idle { .. });
                trace.push((stop, session.registers()));
                if end {
                    return (trace, hits, session.lab().machine().state_hash());
                }
            }
        };
        let (trace, hits, hash) = run();
        prop_assert_eq!(hits, 256 * 4);
        let end = &trace.last().unwrap().0.reason;
        prop_assert_eq!(end, &StopReason::Idle { exit_status: Some(0) });
        prop_assert!(run() == (trace, hits, hash), "the same break-ins, another history");
    }
}

/// A guest that has interrupts off takes a break-in later, even if it comes to breakpoints that go
/// on by themselves in between.
#[test]
fn a_break_in_waits_for_interrupts_to_be_on() {
    let mut waited = 0;
    for work in (0..60).step_by(5) {
        let mut session = Session::new(lab(NO_TAG));
        let call = session.resolve("ntdll!ZwDeviceIoControlFile").unwrap();
        session.set_breakpoint(call, "").unwrap();
        assert_eq!(session.go().unwrap().address, call);
        session.clear_breakpoint(0).unwrap();
        // the kernel's entry has interrupts off
        let entry = session.resolve("nt!KiSystemCall64").unwrap();
        session.set_breakpoint(entry, "? 1;g").unwrap();
        session.break_in_after(work);
        let printed = session.execute("g").unwrap();
        waited += usize::from(printed.starts_with("Evaluate expression: 1 ="));
        assert_eq!(
            Some(session.registers().rip()),
            session.resolve("nt!RtlpBreakWithStatusInstruction"),
            "after {work}: {printed}"
        );
    }
    assert!(waited > 0);
}
