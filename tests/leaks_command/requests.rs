//! Requests that a driver never completes (`fixtures/guest/iotest/forget.c`).

use crate::{prebuilt, run, texts};
use serde_json::Value;
use std::fs;

const DEVICE: [&str; 2] = ["--device", r"\\.\IoTest"];

/// The request that is forgotten in this way.
fn forget(way: u8) -> String {
    format!("0x222100:{way:02x}000000")
}

fn report(way: u8, more: &[&str]) -> (i32, String, String) {
    let (driver, forget) = (prebuilt("iotest.sys"), forget(way));
    let arguments = [&[&*driver], &DEVICE[..], &["--ioctl", &forget], more].concat();
    texts(run(&arguments))
}

#[test]
fn a_request_that_is_not_completed_is_a_leak() {
    let (status, out, errors) = report(1, &["--repeat", "6"]);
    assert_eq!((status, &*errors), (1, ""), "{out}");
    assert!(out.starts_with("iotest.sys leaks 6 requests.\n"), "{out}");
    let kind = out.split("\nNever completed: ").nth(1).expect(&out);
    assert!(
        kind.starts_with("6 requests, ioctl 0x00222100, to \\Device\\IoTest of iotest.sys\n"),
        "{out}"
    );
    for text in [
        "neither completed nor marked pending\n  routine iotest+0x",
        "\n  IRPs    fffffa80`",
        ", repetition 4)\n          and 2 more\n",
    ] {
        assert!(kind.contains(text), "no {text} in\n{kind}");
    }
}

#[test]
fn a_request_that_is_pending_when_its_file_is_closed_is_a_leak() {
    let (status, out, errors) = report(2, &[]);
    assert_eq!((status, &*errors), (1, ""), "{out}");
    assert!(
        out.contains("pending, though the last handle to the file is closed"),
        "{out}"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    let driver = prebuilt("iotest.sys");
    for (way, close, expected) in [(3, true, 1), (4, true, 1), (3, false, 0), (4, false, 0)] {
        let open = r"open = '\\.\IoTest'";
        let mut text = format!("driver = '{driver}'\n[[setup]]\n{open}\noverlapped = true\n");
        text += &format!("[[step]]\nioctl = 0x222100\ninput = '0{way} 00 00 00'\n");
        if close {
            text += "[[teardown]]\nclose = true\n";
        }
        fs::write(&file, text).unwrap();
        let (status, out, errors) = texts(run(&["--scenario", file.to_str().unwrap()]));
        assert_eq!((status, &*errors), (expected, ""), "{way} {close}: {out}");
        // A file that is open still may get its answer.
        assert_eq!(out.contains("Never completed: 1 request"), close, "{out}");
    }
}

#[test]
fn programs_and_annotations_are_told_too() {
    let (status, out, _) = report(1, &["--repeat", "2", "--format", "json"]);
    assert_eq!(status, 1);
    let json: Value = serde_json::from_str(&out).unwrap();
    let [kind] = &json["requests"].as_array().unwrap()[..] else {
        panic!("{out}");
    };
    assert_eq!(
        (&kind["why"], &kind["count"]),
        (&"never_pended".into(), &2.into())
    );
    assert_eq!(
        (&kind["ioctl"], &kind["major"]),
        (&0x222100.into(), &14.into())
    );
    assert_eq!(kind["device"], r"\Device\IoTest");
    assert_eq!(kind["irps"][1]["repeat"], 1);

    let (status, out, _) = report(1, &["--format", "github"]);
    assert_eq!((status, out.lines().count()), (1, 1), "{out}");
    let start =
        r"::error title=Never completed%3A 1 request%2C ioctl 0x00222100%2C to \Device\IoTest of";
    assert!(out.starts_with(start), "{out}");
    let (status, out, _) = report(1, &["--format", "html"]);
    assert_eq!(status, 1);
    assert!(
        out.contains("<td>ioctl 0x00222100</td><td>\\Device\\IoTest</td>"),
        "{out}"
    );
}

#[test]
fn a_tag_chooses_requests_by_that_of_their_packets() {
    assert_eq!(report(1, &["--tag", "Irp?"]).0, 1);
    assert_eq!(report(1, &["--tag", "Leak"]).0, 0);
}

/// Who waits for ever is told for what; who keeps the driver loaded is told by which request.
#[test]
fn what_is_waited_for_is_named() {
    let (status, out, errors) = report(3, &[]);
    assert_eq!(status, 2);
    let culprit = "the program waits for what never comes: ioctl 0x00222100 pending in iotest.sys \
                   (\\Device\\IoTest, IRP fffffa80`";
    assert!(errors.contains(culprit), "{errors}");
    assert!(
        out.starts_with(&format!("iotest.sys: stopped: {culprit}")),
        "{out}"
    );

    let (status, out, errors) = report(1, &["--unload"]);
    assert_eq!(status, 2);
    let kept = "unload: the driver is still loaded:\n    \\Device\\IoTest: ioctl 0x00222100 not \
                completed by iotest.sys (";
    assert!(errors.contains(kept), "{errors}");
    assert!(
        out.starts_with("iotest.sys: stopped: unload: the driver is still loaded: "),
        "{out}"
    );
}
