//! Breakpoints with `k;g`: executed inside the run, they print what they print with stops.

use poolhit::{Lab, Session, StopReason};
use proptest::prelude::*;

/// Counts that come to the same as none, but are no constants: these commands are executed at stops.
const SLOW_COUNT: &str = "@rip-@rip+100";

/// Functions of the kernel, of a library in user mode, and the five hits.
const PLACES: [&str; 9] = [
    "nt!ExAllocatePoolWithTag",
    "nt!NtDeviceIoControlFile",
    "nt!KiSystemServiceCopyEnd",
    "ntdll!ZwDeviceIoControlFile",
    "KERNELBASE!DeviceIoControl",
    "fffff800`014798f6",
    "fffff800`01479900",
    "fffff800`0160f5b7",
    "fffff800`0160f5dd",
];

#[derive(Clone, Debug)]
struct Case {
    places: Vec<(usize, bool)>,
    tag: &'static str,
    /// The frames shown, if not all.
    count: Option<u8>,
    budget: u64,
    break_in: Option<u64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let place = (0..PLACES.len(), any::<bool>());
    (
        prop::collection::vec(place, 1..5),
        prop::sample::select(vec!["ffffff0f", "3261654c", "6b61654c"]),
        prop::option::of(1u8..0x20),
        1u64 << 12..1 << 21,
        prop::option::of(1u64..400_000),
    )
        .prop_map(|(places, tag, count, budget, break_in)| Case {
            places,
            tag,
            count,
            budget,
            break_in,
        })
}

/// What the case prints, and the guest's state behind it.
fn play(case: &Case, is_slow: bool) -> (String, u128) {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let mut out = String::new();
    session
        .execute(&format!("ed nt!PoolHitTag {}", case.tag))
        .unwrap();
    for (place, is_patched) in &case.places {
        let place = PLACES[*place];
        if *is_patched && place.starts_with('f') {
            session.execute(&format!("eb {place} 90")).unwrap();
        }
        let stack = match (is_slow, case.count) {
            (false, None) => "k".to_string(),
            (false, Some(count)) => format!("k {count:x}"),
            (true, None) => format!("k {SLOW_COUNT}"),
            (true, Some(count)) => format!("k @rip-@rip+{count:x}"),
        };
        let set = format!("bp {place} \"{stack};g\"");
        session.execute(&set).unwrap();
    }
    session.set_budget(case.budget);
    for _ in 0..4 {
        if let Some(work) = case.break_in {
            session.break_in_after(work);
        }
        match session.execute_to("g", &mut out) {
            Ok(_) => out.push_str("stopped\n"),
            Err(error) => out.push_str(&format!("{error}\n")),
        }
    }
    (out, session.lab().machine().state_hash())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn passing_and_stopping_print_the_same(case in cases()) {
        let (fast, slow) = (play(&case, false), play(&case, true));
        prop_assert_eq!(fast.0, slow.0);
        prop_assert_eq!(fast.1, slow.1, "the states differ");
    }
}

/// The golden session's breakpoints, to the program's end: many buffers of output.
#[test]
fn a_long_run_prints_the_same() {
    let case = Case {
        places: vec![(5, true), (7, true), (0, false), (3, false)],
        tag: "3261654c",
        count: None,
        budget: 1 << 31,
        break_in: None,
    };
    let (fast, slow) = (play(&case, false), play(&case, true));
    assert!(fast.0.len() > 1 << 20, "{} bytes", fast.0.len());
    assert!(fast.0 == slow.0 && fast.1 == slow.1);
}

/// A breakpoint on an `int 3` goes on to it, and the `int 3` stops the guest.
#[test]
fn a_break_instruction_behind_a_breakpoint_still_stops() {
    let case = Case {
        places: vec![(5, false)],
        tag: "3261654c",
        count: None,
        budget: 1 << 31,
        break_in: None,
    };
    let (fast, slow) = (play(&case, false), play(&case, true));
    assert_eq!(fast, slow);
    assert!(fast.0.contains("Break instruction exception"));
}

/// [`Session::go`] stops at breakpoints whatever their commands are, also after they were executed.
#[test]
fn going_on_by_hand_stops_at_breakpoints() {
    let stops_at = |is_armed: bool| {
        let mut session = Session::new(Lab::builder().build().unwrap());
        let bp = "bp nt!NtDeviceIoControlFile \"k;g\"";
        session.execute(bp).unwrap();
        if is_armed {
            session.set_budget(60_000);
            let text = session.execute("g").unwrap_err().to_string();
            assert!(text.contains("budget"), "{text}");
        }
        session.set_budget(1 << 20);
        let stop = session.go().unwrap();
        // Nothing of it is printed later.
        session.execute("bc *").unwrap();
        session.set_budget(1);
        let mut printed = String::new();
        let _ = session.execute_to("g", &mut printed);
        assert_eq!(printed, "");
        stop.reason
    };
    let expected = StopReason::Breakpoint { number: 0 };
    assert_eq!(stops_at(false), expected);
    assert_eq!(stops_at(true), expected);
}

/// A breakpoint's commands may give others other commands.
#[test]
fn breakpoints_change_while_the_guest_goes_on() {
    let play = |count: &str| {
        let mut session = Session::new(Lab::builder().build().unwrap());
        for set in [
            format!("bp nt!ExAllocatePoolWithTag \"k {count};g\""),
            format!("bp nt!KiSystemServiceCopyEnd \"k {count};g\""),
            // The second time, this is no breakpoint any more.
            format!(
                "bp nt!NtDeviceIoControlFile \"bp nt!ExAllocatePoolWithTag \\\"? 1;g\\\"; \
                 bp ntdll!ZwDeviceIoControlFile \\\"k {count};g\\\"; bc 1; g\""
            ),
        ] {
            session.execute(&set).unwrap();
        }
        session.set_budget(1 << 18);
        let mut out = String::new();
        let error = session.execute_to("g", &mut out).unwrap_err();
        (out, error.to_string(), session.lab().machine().state_hash())
    };
    let (fast, slow) = (play("5"), play("@rip-@rip+5"));
    assert!(fast.0.contains("Evaluate expression: 1"), "{}", fast.0);
    assert_eq!(fast, slow);
}
