//! What stops a run, and requests that are forgotten, have the driver's line.

use crate::driver::{DEVICE, FILE, error_path, lab, line};
use poolhit::address::Va;
use poolhit::leaks::{LeakReport, RequestFault};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::report::leaks::{to_github_in, to_html, to_json};
use poolhit::scenario::Scenario;
use poolhit::{Lab, assert_no_leaks};

fn symbol(lab: &Lab, name: &str) -> Va {
    let symbols = &lab.images().driver.symbols;
    lab.bases().driver + symbols.by_name(name).unwrap().rva
}

/// The list that the driver adds to leads nowhere: its bug check, and the error of the run.
fn stopped() -> (Lab, LeakReport, String) {
    let mut lab = lab();
    let entries = symbol(&lab, "Entries");
    let nowhere = 0xffff_fa90_0000_0000_u64.to_le_bytes();
    let last = entries.wrapping_add(8);
    lab.machine_mut().write(last, &nowhere).unwrap();
    let scenario = Scenario {
        device: Some(DEVICE.into()),
        steps: vec!["0x222050:01000000".parse().unwrap()],
        ..Scenario::default()
    };
    let error = scenario.run(&mut lab, |_| ()).unwrap_err();
    let mut report = lab.leaks().unwrap();
    let own = report.end.stop().unwrap().clone();
    report.end = error.end(&lab);
    let told = report.end.stop().unwrap();
    // The report knows of a bug check without being told, but not what was being done.
    assert_eq!((own.bug_check, &own.stack), (told.bug_check, &told.stack));
    assert_eq!(own.step, None);
    let step = "step 1 of repetition 1: ioctl 0x00222050 (4 bytes in, room for 0)";
    assert_eq!(told.step.as_deref(), Some(step));
    (lab, report, error.to_string())
}

/// The line behind the one that allocates, and behind that the value and the list.
fn faulting() -> u32 {
    line("list") + 4
}

#[test]
fn every_form_names_the_line_that_stopped_the_run() {
    let (_, report, error) = stopped();
    let stop = report.end.stop().unwrap();
    let place = stop.place.as_ref().unwrap();
    assert_eq!(place.symbol.as_deref(), Some("AddEntry"));
    let source = place.source.as_ref().unwrap();
    // InsertTailList is inlined: its line is in a header, or the call's.
    assert!(
        source.line == faulting() || !source.file.ends_with("leaky.c"),
        "{source}"
    );
    let at = format!("{place} [{source}]");
    let text = report.to_string();
    assert!(
        text.starts_with("leaky.sys: stopped: bug check 0x000000"),
        "{text}"
    );
    let first = text.lines().next().unwrap();
    assert!(first.contains(&format!(" at {at}; until then ")), "{text}");
    assert!(to_html(&report).contains(&format!("[{source}]; until then ")));
    let annotations = to_github_in(&report, "/guest");
    let first = annotations.lines().next().unwrap();
    let file = source.file.strip_prefix("/guest/").unwrap();
    let expected = format!("::error file={file},line={},", source.line);
    assert!(first.starts_with(&expected), "{annotations}");
    assert!(
        first.contains("title=Stopped%3A bug check "),
        "{annotations}"
    );
    let json: serde_json::Value = serde_json::from_str(&to_json(&report)).unwrap();
    assert_eq!(json["end"]["place"]["line"], source.line);
    // The error's stack has it, too, and the line of the caller.
    assert!(error.contains(&format!("\n    {at}\n")), "{error}");
    assert!(
        error.contains("\n    leaky!LeakyDeviceControl+0x"),
        "{error}"
    );
    assert_eq!(error.matches(&format!(" [{FILE} @ ")).count(), 2, "{error}");
}

#[test]
#[should_panic(expected = "whether pool leaks cannot be told: the run did not end")]
fn a_bug_check_is_no_test_passed() {
    let (lab, ..) = stopped();
    assert_no_leaks!(lab, "Tst*");
}

/// The driver's routine does nothing but return success.
#[test]
fn a_forgotten_request_has_its_routines_line() {
    let mut lab = lab();
    let device = lab.open_device(DEVICE).unwrap();
    let routine = symbol(&lab, "LeakyDeviceControl");
    let mut code = [0; 3];
    lab.machine().read(routine, &mut code).unwrap();
    // xor eax, eax; ret
    lab.machine_mut()
        .write(routine, &[0x31, 0xc0, 0xc3])
        .unwrap();
    error_path(&mut lab, device);
    lab.machine_mut().write(routine, &code).unwrap();
    let report = lab.leaks().unwrap();
    let [kind] = &report.requests[..] else {
        panic!("{report}");
    };
    assert_eq!((kind.why, kind.count), (RequestFault::NeverPended, 1));
    assert_eq!(kind.routine, "leaky!LeakyDeviceControl");
    let source = kind.source.as_ref().unwrap();
    assert_eq!(source.file, FILE);
    assert!(!report.is_clean());
    let annotations = to_github_in(&report, "/guest");
    let place = format!(
        "::error file=leaky/leaky.c,line={},title=Never completed",
        source.line
    );
    assert!(annotations.contains(&place), "{annotations}");
}
