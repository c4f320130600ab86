//! Options of their own.

use crate::{CLEAN, command, driver, prebuilt, run, texts};
use std::fs;

#[test]
fn annotations_name_files_from_the_repository() {
    let leaky = prebuilt("leaky.sys");
    let arguments = [
        &*leaky,
        "--ioctl",
        "0x222044:ad0b0000",
        "--format",
        "github",
    ];
    let file = |output| {
        let (status, out, errors) = texts(output);
        assert_eq!((status, &*errors), (1, ""));
        let file = out.strip_prefix("::error file=").expect(&out);
        file.split_once(",line=").expect(&out).0.to_owned()
    };
    assert_eq!(file(run(&arguments)), "/guest/leaky/leaky.c");
    let root = [&arguments[..], &["--source-root", "/guest"]].concat();
    assert_eq!(file(run(&root)), "leaky/leaky.c");
    let mut job = command(&arguments);
    let output = job.env("GITHUB_WORKSPACE", "/guest/leaky").output();
    assert_eq!(file(output.unwrap()), "leaky.c");
    let mut job = command(&root);
    let output = job.env("GITHUB_WORKSPACE", "/guest/leaky").output();
    assert_eq!(file(output.unwrap()), "leaky/leaky.c");
}

#[test]
fn what_would_not_count_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    let open = "[[step]]\nopen = '\\\\.\\Myfault'\n[[step]]\nclose = true\n";
    fs::write(&file, open).unwrap();
    let scenario = file.to_str().unwrap();
    let driver = driver();
    for (arguments, expected) in [
        (
            &["--scenario", scenario, "--device", r"\\.\Myfault"][..],
            r"device \\.\Myfault: no step uses it",
        ),
        (
            &["--ioctl", CLEAN, "--return", "NoSuchFunction=1"],
            "--return NoSuchFunction: the driver does not import it",
        ),
        (
            &["--return", "NDIS.SYS!ExAllocatePoolWithTag=1"],
            "the driver does not import it",
        ),
    ] {
        let (status, out, errors) = texts(run(&[&[&*driver][..], arguments].concat()));
        assert_eq!((status, &*out), (2, ""), "{arguments:?}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
    // What it imports can be answered.
    let answered = ["--return", "ntoskrnl.exe!IoCreateSymbolicLink=0"];
    let (status, _, errors) = texts(run(&[&[&*driver][..], &answered].concat()));
    assert_eq!(status, 0, "{errors}");
    fs::write(&file, format!("device = \"\\u0000\"\n{open}")).unwrap();
    let (status, _, errors) = texts(run(&[&*driver, "--scenario", scenario]));
    assert_eq!(status, 2);
    assert!(errors.contains("has a NUL in it"), "{errors}");
}
