//! What the guest prints for a debugger. WDK: "DbgPrint", "DbgPrintEx", "Reading and Filtering Debugging
//! Messages".

use poolhit::address::Va;
use poolhit::guest::{ImageFile, RegistryValue};
use poolhit::memory::WriteMemory;
use poolhit::{Lab, Session, StopReason};
use poolhit_fixtures::prebuilt;

const TAG: u64 = u32::from_le_bytes(*b"TstP") as u64;
const IHVDRIVER: u64 = 77;
const DEFAULT: u64 = 101;
const INVALID_PARAMETER_1: u32 = 0xc000_00ef;

/// A zero-terminated text in nonpaged pool.
fn text(lab: &mut Lab, bytes: &[u8]) -> u64 {
    let size = bytes.len() as u64 + 1;
    let called = lab.call_kernel("ExAllocatePoolWithTag", &[0, size, TAG]);
    let at = called.unwrap().value;
    let bytes = [bytes, &[0]].concat();
    lab.machine_mut().write(Va(at), &bytes).unwrap();
    at
}

fn lab() -> Lab {
    Lab::builder().memory(16 << 20).build().unwrap()
}

#[test]
fn arguments_are_formatted() {
    let mut lab = lab();
    let wide: Vec<u8> = "wide\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (wide, narrow) = (text(&mut lab, &wide), text(&mut lab, b"narrow"));
    let format = text(&mut lab, b"%d %08x %s %ws %p %I64x\n");
    let arguments = [format, -5i64 as u64, 0xbeef, narrow, wide, 0x1234, u64::MAX];
    assert_eq!(lab.call_kernel("DbgPrint", &arguments).unwrap().value, 0);
    let expected = "-5 0000beef narrow wide 0000000000001234 ffffffffffffffff\n";
    assert_eq!(lab.debug_output(), expected);
}

#[test]
fn a_message_has_512_bytes_at_most() {
    let mut lab = lab();
    let long = text(&mut lab, &[b'x'; 600]);
    let format = text(&mut lab, b"%s");
    lab.call_kernel("DbgPrint", &[format, long]).unwrap();
    assert_eq!(lab.debug_output(), "x".repeat(512));
    let prefix = text(&mut lab, &[b'p'; 600]);
    let arguments = text(&mut lab, &long.to_le_bytes());
    let call = [prefix, DEFAULT, 0, format, arguments];
    lab.call_kernel("vDbgPrintExWithPrefix", &call).unwrap();
    assert_eq!(lab.debug_output()[512..], "p".repeat(512));
    let call = [DEFAULT, 0, format, arguments];
    lab.call_kernel("vDbgPrintEx", &call).unwrap();
    assert_eq!(lab.debug_output()[1024..], "x".repeat(512));
}

#[test]
fn bytes_are_the_ansi_page_s() {
    let mut lab = lab();
    let format = text(&mut lab, b"\x80 \xfc\n");
    lab.call_kernel("DbgPrint", &[format]).unwrap();
    assert_eq!(lab.debug_output(), "€ ü\n");
}

/// A message is shown if its level's bit is in its component's mask or in the system's.
#[test]
fn components_and_levels() {
    let mut lab = lab();
    let prints = |lab: &mut Lab, component: u64, level: u64| {
        let format = text(lab, b"!");
        let before = lab.debug_output().len();
        let value = lab.call_kernel("DbgPrintEx", &[component, level, format]);
        assert_eq!(value.unwrap().value as u32, 0);
        lab.debug_output().len() > before
    };
    for component in [0, IHVDRIVER, DEFAULT, 154] {
        let shown = [0, 1, 2, 3, 4, 31].map(|level| prints(&mut lab, component, level));
        let default = component == DEFAULT;
        assert_eq!(shown, [true, default, default, default, false, false]);
        // bits, not a number
        assert!(prints(&mut lab, component, 0x8000_0001));
        assert!(!prints(&mut lab, component, 0x8000_0000));
    }
    // no component
    assert!(!prints(&mut lab, 155, 0));
}

#[test]
fn filters_can_be_asked_and_set() {
    let mut lab = lab();
    let state = |lab: &mut Lab, component: u64, level: u64| {
        let call = lab.call_kernel("NtQueryDebugFilterState", &[component, level]);
        call.unwrap().value as u32
    };
    // Level 3 is information; a level of 32 and more is bits.
    assert_eq!(state(&mut lab, IHVDRIVER, 3), 0);
    assert_eq!(state(&mut lab, IHVDRIVER, 0x8000_0001), 1);
    let set = |lab: &mut Lab, on: u64| {
        let call = lab.call_kernel("NtSetDebugFilterState", &[IHVDRIVER, 3, on]);
        assert_eq!(call.unwrap().value as u32, 0);
    };
    set(&mut lab, 1);
    assert_eq!(state(&mut lab, IHVDRIVER, 3), 1);
    assert_eq!(state(&mut lab, IHVDRIVER, 2), 0);
    set(&mut lab, 0);
    assert_eq!(state(&mut lab, IHVDRIVER, 3), 0);
    assert_eq!(state(&mut lab, 155, 0), INVALID_PARAMETER_1);
    assert_eq!(state(&mut lab, u64::from(u32::MAX), 0), INVALID_PARAMETER_1);
}

/// The debugger's user sets a mask by its name, as in WinDbg.
#[test]
fn masks_have_names() {
    let mut session = Session::new(lab());
    session.execute("ed nt!Kd_IHVDRIVER_Mask 8").unwrap();
    session.execute("ed nt!Kd_DEFAULT_Mask 0").unwrap();
    let mut lab = session.into_lab();
    let shown = text(&mut lab, b"shown\n");
    let hidden = text(&mut lab, b"hidden\n");
    lab.call_kernel("DbgPrintEx", &[IHVDRIVER, 3, shown])
        .unwrap();
    lab.call_kernel("DbgPrint", &[hidden]).unwrap();
    assert_eq!(lab.debug_output(), "shown\n");
}

/// A lab with the driver that prints, and a scenario of its.
fn printer(scenario: u32) -> Session {
    const SERVICE: &str = r"\Registry\Machine\System\CurrentControlSet\Services\printer";
    let driver = ImageFile::parse("printer.sys", prebuilt::PRINTER.bytes.to_vec(), None).unwrap();
    let builder = Lab::builder().driver(driver).memory(16 << 20);
    let scenario = RegistryValue::Dword(scenario);
    let lab = builder.registry_value(SERVICE, "Scenario", scenario);
    Session::new(lab.build().unwrap())
}

#[test]
fn a_session_shows_what_is_printed_while_it_goes() {
    let mut session = printer(1);
    assert_eq!(session.lab().debug_output(), "entry\n");
    let all = "before 1\nafter 1\nbefore 2\nafter 2\nbefore 3\nafter 3\n";
    let text = session.execute("g").unwrap();
    assert!(
        text.starts_with(&format!("{all}The guest is idle")),
        "{text}"
    );
    let stop = session.last_stop().unwrap();
    assert_eq!(stop.printed, all);
    assert_eq!(session.lab().debug_output(), format!("entry\n{all}"));
    // nothing is shown twice
    assert!(
        session
            .execute("g")
            .unwrap()
            .starts_with("The guest is idle")
    );
}

#[test]
fn stops_come_between_lines() {
    let mut session = printer(1);
    session.execute("ed nt!PoolHitTag 746e7250").unwrap();
    for number in 1..=3 {
        let stop = session.go().unwrap();
        assert_eq!(stop.reason, StopReason::BreakInstruction);
        assert_eq!(stop.printed, format!("before {number}\n"));
        // the block is freed
        let stop = session.go().unwrap();
        assert_eq!(stop.reason, StopReason::BreakInstruction);
        assert_eq!(stop.printed, format!("after {number}\n"));
    }
}

/// Listings of breakpoints that pass come where they belong, as if each were a stop.
#[test]
fn listings_and_lines_are_in_order() {
    let run = |command: &str| {
        let mut session = printer(1);
        let set = format!("bp nt!ExAllocatePoolWithTag \"{command}\"");
        session.execute(&set).unwrap();
        session.execute("g").unwrap()
    };
    let passing = run("k 1;g");
    // an expression makes it a stop, with the same text
    assert_eq!(
        passing,
        run("k 1;? 0;g").replace("Evaluate expression: 0 = 00000000`00000000\n", "")
    );
    let rows: Vec<&str> = passing
        .lines()
        .filter(|line| !line.starts_with("Child-SP"))
        .collect();
    let at = |text: &str| rows.iter().position(|row| *row == text).unwrap();
    for number in 1..=3 {
        let (before, after) = (
            at(&format!("before {number}")),
            at(&format!("after {number}")),
        );
        assert_eq!(after, before + 2, "{passing}");
        assert!(
            rows[before + 1].ends_with("nt!ExAllocatePoolWithTag"),
            "{passing}"
        );
    }
}

#[test]
fn a_saved_lab_keeps_what_was_printed() {
    let mut session = printer(1);
    let saved = session.save().unwrap();
    session.go().unwrap();
    let all = session.lab().debug_output();
    session.restore(&saved).unwrap();
    assert_eq!(session.lab().debug_output(), "entry\n");
    session.go().unwrap();
    assert_eq!(session.lab().debug_output(), all);
    let mut copy = Session::new(saved.lab().unwrap());
    assert_eq!(copy.go().unwrap().printed, all["entry\n".len()..]);
}
