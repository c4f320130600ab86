//! What stops a run is in every form of the report.

use crate::{prebuilt, run, texts};
use serde_json::Value;
use std::fs;

/// `KeBugCheckEx` by the driver, with code 3Bh.
const BUG_CHECK: &str = "0x22205c:00000000000000003b00000000000000";

#[test]
fn every_form_says_what_stopped_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["l.txt", "l.json", "l.html", "l.folded"].map(|name| folder.path().join(name));
    let hostile = prebuilt("hostile.sys");
    let mut arguments = vec![&*hostile, "--ioctl", BUG_CHECK, "--format", "github"];
    for file in &files {
        arguments.extend(["-o", file.to_str().unwrap()]);
    }
    let (status, out, errors) = texts(run(&arguments));
    assert_eq!(status, 2);
    assert!(errors.contains("SYSTEM_SERVICE_EXCEPTION"), "{errors}");
    let [text, json, html, folded] = files.map(|file| fs::read_to_string(file).unwrap());

    let reason = "stopped: bug check 0x0000003b SYSTEM_SERVICE_EXCEPTION (0x0, 0x0, 0x0, 0x0) at \
                  hostile!HostileAct+0x";
    assert!(
        text.starts_with(&format!("hostile.sys: {reason}")),
        "{text}"
    );
    let first = text.lines().next().unwrap();
    assert!(first.contains("; until then nothing leaked, "), "{text}");
    let stack = &text[text.find("\nStopped: ").expect(&text)..];
    assert!(stack.contains("\n  in      step 1 of repetition 1: ioctl 0x0022205c"));
    assert!(stack.contains(" nt!KeBugCheckEx+0x"), "{stack}");

    assert!(
        html.contains(&format!("<p class=\"bad\">hostile.sys: {reason}")),
        "{html}"
    );
    assert!(html.contains("<h2>Stopped</h2>"), "{html}");

    let json: Value = serde_json::from_str(&json).unwrap();
    let end = &json["end"];
    assert_eq!(
        (&end["kind"], &end["bug_check"]["code"]),
        (&"stopped".into(), &0x3b.into())
    );
    assert_eq!(end["place"]["symbol"], "HostileAct");
    assert!(end["stack"]["frames"].as_array().unwrap().len() > 5);

    let title =
        "::error title=Stopped%3A bug check 0x0000003b SYSTEM_SERVICE_EXCEPTION (0x0%2C 0x0%2C ";
    assert!(out.starts_with(title), "{out}");
    assert_eq!(out.lines().count(), 1, "{out}");
    // Nothing is added to what is a sum.
    assert!(!folded.contains("0x0000003b"), "{folded}");
}

#[test]
fn a_driver_that_fails_to_load_is_no_clean_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("failing.sys");
    let mut bytes = fs::read(prebuilt("iotest.sys")).unwrap();
    let mark = 0x5b6a_7988_1f2e_3d4c_u64.to_le_bytes();
    let place = bytes.windows(8).position(|at| at == mark).unwrap();
    bytes[place + 8] = 8; // its DriverEntry fails
    fs::write(&file, bytes).unwrap();
    let (status, out, _) = texts(run(&[file.to_str().unwrap()]));
    assert_eq!(status, 2);
    assert!(
        out.contains(": stopped: failing.sys is not loaded: its DriverEntry, or the kernel"),
        "{out}"
    );
}

#[test]
fn a_run_that_came_to_its_end_says_so() {
    let (status, out, _) = texts(run(&[&prebuilt("myfault.sys"), "--format", "json"]));
    assert_eq!(status, 0);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["end"], serde_json::json!({ "kind": "complete" }));
    assert_eq!(json["requests"], serde_json::json!([]));
}
