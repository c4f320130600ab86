//! `poolhit leaks` as a user runs it: status, forms, files, scenarios, and what goes wrong.

mod endings;
mod options;
mod requests;
mod stops;
mod warnings;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The built-in driver: 0x222004 leaks nonpaged pool, 0x222008 paged, 0x22200c allocates and frees, and
/// 0x222010 frees the last paged block (`fixtures/guest/include/myfault.h`).
fn driver() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prebuilt/myfault.sys");
    path.to_str().unwrap().to_owned()
}

/// Another of the drivers that come with the project.
fn prebuilt(name: &str) -> String {
    driver().replace("myfault.sys", name)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolhit"));
    command.arg("leaks").args(arguments);
    command.env_remove("GITHUB_WORKSPACE");
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Status, standard output and standard error.
fn texts(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    (status, text(output.stdout), text(output.stderr))
}

/// The request whose error path leaks in `leaky.sys` (`fixtures/guest/leaky/leaky.c`), as a step.
const LEAKY_STEP: &str = "[[step]]\nioctl = 0x222044\ninput = 'ad 0b 00 00'\nexpect = 0xC000000D\n";
const LEAK: &str = "0x222004:40000000";
const CLEAN: &str = "0x22200c:40000000";

#[test]
fn a_leak_is_status_1_and_shown_with_its_stack() {
    let (status, out, errors) = texts(run(&[&driver(), "--ioctl", LEAK, "--repeat", "8"]));
    assert_eq!((status, &*errors), (1, ""), "{out}");
    assert!(
        out.starts_with("myfault.sys leaks 512 bytes in 8 blocks, by 1 code path.\n"),
        "{out}"
    );
    assert!(
        out.contains("grows by 1 block, 64 bytes with each repetition"),
        "{out}"
    );
    for frame in [
        "nt!ExAllocatePoolWithTag",
        "myfault+0x1884",
        "nt!IopXxxControlFile+0x607",
        "ntdll!ZwDeviceIoControlFile+0xa",
        "kernel32!DeviceIoControlImplementation+0x7f",
        "Requester!",
    ] {
        assert!(out.contains(frame), "no {frame} in\n{out}");
    }
}

#[test]
fn no_leak_is_status_0() {
    let arguments = ["--ioctl", CLEAN, "--repeat", "8", "--unload"];
    let (status, out, errors) = texts(run(&[&[&*driver()], &arguments[..]].concat()));
    assert_eq!((status, &*errors), (0, ""), "{out}");
    assert!(out.starts_with("myfault.sys: nothing leaked.\n"), "{out}");
    // Not even asked for anything, it gives all back when it is unloaded.
    let (status, out, _) = texts(run(&[&driver(), "--unload"]));
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("was unloaded and left nothing"), "{out}");
}

#[test]
fn tags_choose_what_is_reported() {
    let both = ["--ioctl", LEAK, "--ioctl", "0x222008:40000000"];
    let with = |tag: &str| {
        let (status, out, _) = texts(run(&[&[&*driver()], &both[..], &["--tag", tag]].concat()));
        (status, out.contains("tag Leak"), out.contains("tag Lea2"))
    };
    assert_eq!(with("*"), (1, true, true));
    assert_eq!(with("Lea2"), (1, false, true));
    assert_eq!(with("Zz??"), (0, false, false));
    let (status, _, errors) = texts(run(&[&driver(), "--tag", "toolong"]));
    assert_eq!(status, 2);
    assert!(errors.starts_with("poolhit: --tag toolong: "), "{errors}");
}

#[test]
fn every_form_is_printed_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["l.txt", "l.json", "l.html", "l.svg", "l.folded", "l.pb.gz"];
    let files: Vec<String> = names
        .iter()
        .map(|name| folder.path().join(name).to_str().unwrap().to_owned())
        .collect();
    let driver = driver();
    let mut arguments = vec![&*driver, "--ioctl", LEAK, "--format", "github"];
    for file in &files {
        arguments.extend(["-o", file]);
    }
    let (status, out, errors) = texts(run(&arguments));
    assert_eq!((status, &*errors), (1, ""));
    assert!(
        out.starts_with("::error title=Pool leak in myfault"),
        "{out}"
    );
    let forms = ["text", "json", "html", "svg", "folded", "pprof"];
    let starts: [&[u8]; 6] = [
        b"myfault.sys leaks 64 bytes in 1 block, by 1 code path.\n",
        b"{\n  \"version\": 1,",
        b"<!DOCTYPE html>",
        b"<svg xmlns=",
        b"kept;nt!KiSystemStartup;",
        b"\x1f\x8b",
    ];
    for ((file, form), start) in files.iter().zip(forms).zip(starts) {
        let written = fs::read(file).unwrap();
        let shown = String::from_utf8_lossy(&written);
        assert!(written.starts_with(start), "{file}: {shown}");
        let printed = run(&[&driver, "--ioctl", LEAK, "--format", form]);
        assert_eq!(printed.stdout, written, "{form}: not the same bytes");
    }
    let svg = fs::read_to_string(&files[3]).unwrap();
    assert!(
        svg.contains(">leaked</text>") && svg.ends_with("</svg>\n"),
        "{svg}"
    );
    let folded = fs::read_to_string(&files[4]).unwrap();
    let mut leaked = folded.lines().filter(|row| row.starts_with("leaked;"));
    let row = leaked.next().unwrap();
    assert!(
        row.ends_with(";nt!ExAllocatePoolWithTag;tag Leak 64"),
        "{row}"
    );
    assert_eq!(leaked.next(), None);
    let (status, _, errors) = texts(run(&[&driver, "-o", "leaks.doc"]));
    assert_eq!(status, 2);
    assert!(
        errors.contains("leaks.doc: a report's name ends in .txt"),
        "{errors}"
    );
    let nowhere = folder.path().join("no/such.json");
    let (status, _, errors) = texts(run(&[&driver, "-o", nowhere.to_str().unwrap()]));
    assert_eq!(status, 2);
    assert!(errors.starts_with("poolhit: cannot write "), "{errors}");
}

#[test]
fn a_scenario_is_done_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(driver(), folder.path().join("my.sys")).unwrap();
    let file = folder.path().join("scenario.toml");
    let scenario = |text: &str| {
        fs::write(&file, text).unwrap();
        texts(run(&["--scenario", file.to_str().unwrap()]))
    };
    // Each repetition takes two blocks and gives one back.
    let (status, out, errors) = scenario(
        r"
        driver = 'my.sys'
        repeat = 6
        [[setup]]
        open = '\\.\Myfault'
        as = 'one'
        [[step]]
        open = '\\.\Myfault'
        as = 'two'
        [[step]]
        ioctl = 0x222008
        input = '00 10 00 00'
        on = 'one'
        expect = 'success'
        [[step]]
        ioctl = 0x222008
        input = '00 10 00 00'
        on = 'two'
        [[step]]
        ioctl = 0x222010
        input = '00 00 00 00'
        [[step]]
        ioctl = 0x222004
        expect = 0xC000000D
        [[step]]
        sleep = 1
        [[step]]
        close = 'two'
        [[teardown]]
        close = 'one'
        ",
    );
    assert_eq!((status, &*errors), (1, ""), "{out}");
    assert!(out.starts_with("my.sys leaks"), "{out}");
    assert!(out.contains("in 6 blocks"), "{out}");

    let (status, _, errors) =
        scenario("driver = 'my.sys'\n[[step]]\nioctl = 0x222004\nexpect = 0\n");
    assert_eq!(status, 2);
    assert_eq!(
        errors,
        "poolhit: the run stopped: step 1 of repetition 1: ioctl 0x00222004 (0 bytes in, room for 0) \
         gave error 87 ERROR_INVALID_PARAMETER (status 0xc000000d STATUS_INVALID_PARAMETER), and not success\n"
    );
    let (status, _, errors) = scenario("driver = 'my.sys'\n[[step]]\nopen = 'x'\non = 'y'\n");
    assert_eq!(status, 2);
    assert!(
        errors.contains("scenario.toml: [[step]] 1: open has no on"),
        "{errors}"
    );
    let (status, _, errors) = scenario("driver = 'my.sys'\n[[step]]\nread = 1\non = 'y'\n");
    assert_eq!(status, 2);
    assert!(
        errors.contains("no open handle is called \"y\""),
        "{errors}"
    );
    let (status, _, errors) = scenario("repeat = 1\n");
    assert_eq!(status, 2);
    assert!(errors.contains("no driver"), "{errors}");
}

#[test]
fn what_cannot_run_is_status_2() {
    for (arguments, expected) in [
        (&["no/such.sys"][..], "cannot read no/such.sys"),
        (&[], "DRIVER.sys"),
        (&["x.sys", "--ioctl", "zz"], "no control code"),
        (&["x.sys", "--repeat", "0"], "--repeat"),
        (&["--scenario", "no/such.toml"], "no/such.toml"),
        (&["Cargo.toml"], "Cargo.toml: "),
    ] {
        let (status, out, errors) = texts(run(arguments));
        assert_eq!((status, &*out), (2, ""), "{arguments:?}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
    let arguments = [&*driver(), "--ioctl", LEAK, "--device", r"\\.\Other"];
    let (status, _, errors) = texts(run(&arguments));
    assert_eq!(status, 2);
    assert!(
        errors.contains("repetition 1: opening a device failed with error 2"),
        "{errors}"
    );
}
