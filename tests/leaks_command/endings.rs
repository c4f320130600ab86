//! Runs that do not come to their end: the report is written as far as it goes, and the status is 2.

use crate::{LEAK, command, driver, prebuilt, run, texts};
use std::fs;
use std::process::Stdio;

/// Of the driver that does what no driver may: the number of what it is to do, and two words.
fn act(what: u32, words: [u64; 2]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    let input: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    format!("{:#x}:{input}", 0x222000 | what << 2)
}

const LOOP: u32 = 0;
const ALLOCATE: u32 = 15;
const FREE: u32 = 16;

/// A driver that never comes back: where it is, and what it has until there.
#[test]
fn a_driver_that_hangs_is_status_2_with_its_stack_and_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("l.json");
    let (allocate, hang) = (act(ALLOCATE, [0, 64]), act(LOOP, [0, 0]));
    let (status, out, errors) = texts(run(&[
        &prebuilt("hostile.sys"),
        "--ioctl",
        &allocate,
        "--ioctl",
        &hang,
        "-o",
        file.to_str().unwrap(),
    ]));
    assert_eq!(status, 2);
    assert!(
        out.starts_with(
            "hostile.sys: stopped: no end after 67108864 bytes of code at hostile!HostileAct+0x"
        ),
        "{out}"
    );
    assert!(
        out.contains("; until then it leaks 64 bytes in 1 block, by 1 code path.\n"),
        "{out}"
    );
    let json = fs::read_to_string(file).unwrap();
    assert!(
        json.contains("\"leaked\": {\"blocks\": 1, \"bytes\": 64}"),
        "{json}"
    );
    assert!(
        errors.contains("no end after 67108864 bytes of code"),
        "{errors}"
    );
    assert!(errors.contains("hostile!HostileAct+"), "{errors}");
    assert!(errors.contains("Requester!"), "{errors}");
}

#[test]
fn a_budget_ends_it_sooner() {
    let hang = act(LOOP, [0, 0]);
    let hostile = prebuilt("hostile.sys");
    let (status, out, errors) = texts(run(&[&hostile, "--ioctl", &hang, "--budget", "1000000"]));
    assert_eq!(status, 2);
    assert!(
        out.starts_with("hostile.sys: stopped: no end after 1000000 bytes of code at hostile!"),
        "{out}"
    );
    assert!(errors.contains("no end after 1000000 bytes"), "{errors}");
}

/// The kernel stops at the second free of a block: the report has it, the first, and the allocation.
#[test]
fn a_bad_free_is_in_the_report_of_the_run_that_it_stops() {
    let hostile = prebuilt("hostile.sys");
    let allocate = act(ALLOCATE, [0, 64]);
    let (_, out, _) = texts(run(&[&hostile, "--ioctl", &allocate]));
    let block = out.lines().find_map(|line| line.strip_prefix("  blocks  "));
    let block = u64::from_str_radix(&block.unwrap().replace('`', ""), 16).unwrap();
    let free = act(FREE, [block, 0]);
    let steps = ["--ioctl", &allocate, "--ioctl", &free, "--ioctl", &free];
    let (status, out, errors) = texts(run(&[&[&*hostile][..], &steps].concat()));
    assert_eq!(status, 2);
    assert!(errors.contains("BAD_POOL_CALLER"), "{errors}");
    assert!(
        out.starts_with("hostile.sys: stopped: bug check 0x000000c2 BAD_POOL_CALLER (0x7, "),
        "{out}"
    );
    let bad = &out[out.find("\nBad free: block ").expect(&out)..];
    for text in [
        ", freed a second time",
        "nt!ExFreePoolWithTag",
        "\nfirst freed by pool call ",
        "\nallocated by\n",
        "nt!ExAllocatePoolWithTag",
    ] {
        assert!(bad.contains(text), "no {text} in\n{bad}");
    }
}

/// One that nothing provides, and that DriverEntry calls.
#[test]
fn an_unprovided_import_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.sys");
    let mut bytes = fs::read(driver()).unwrap();
    let name = b"IoCreateSymbolicLink\0";
    let place = bytes.windows(name.len()).position(|at| at == name).unwrap();
    bytes[place..][..3].copy_from_slice(b"XxX");
    fs::write(&file, bytes).unwrap();
    let (status, out, errors) = texts(run(&[file.to_str().unwrap()]));
    assert_eq!(status, 2);
    assert!(out.starts_with("my.sys: stopped: "), "{out}");
    let first = out.lines().next().unwrap();
    assert!(first.contains("XxXreateSymbolicLink is called"), "{out}");
    assert!(first.contains("; until then nothing leaked, "), "{out}");
    assert!(
        errors.contains("XxXreateSymbolicLink is called"),
        "{errors}"
    );
}

#[test]
fn a_driver_without_unload_routine_is_status_2_with_the_report() {
    let hostile = prebuilt("hostile.sys");
    let (status, out, errors) = texts(run(&[&hostile, "--unload"]));
    assert_eq!(status, 2);
    assert!(
        out.starts_with("hostile.sys: stopped: unload: the driver has no DriverUnload; "),
        "{out}"
    );
    assert!(!out.contains("was unloaded"), "{out}");
    assert_eq!(
        errors,
        "poolhit: the run stopped: unload: the driver has no DriverUnload\n"
    );
}

/// Whoever reads the report may stop reading: the status is what it would have been.
#[test]
fn a_broken_pipe_does_not_change_the_status() {
    for (code, expected) in [(LEAK, 1), ("0x22200c:40000000", 0), ("0x1", 2)] {
        let arguments = ["--ioctl", code, "--format", "html"];
        let mut command = command(&[&[&*driver()], &arguments[..]].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(expected), "{code}");
    }
}
