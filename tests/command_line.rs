//! The program itself: what it prints, where, and with which exit status, above all when what it is
//! given makes no sense.

use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn poolhit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolhit"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it; whatever happens, it does not panic.
#[track_caller]
fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(poolhit(arguments).output().unwrap())
}

#[track_caller]
fn finish(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code().unwrap(), out, err)
}

/// Refused: status 2, nothing on standard output, one message on standard error.
#[track_caller]
fn refuses(arguments: &[&str], message: &str) {
    let (status, out, err) = run(arguments);
    assert_eq!((status, out.as_str()), (2, ""), "{err}");
    assert!(err.contains(message), "{err}");
    assert_eq!(
        err.matches("poolhit: ").count() + err.matches("error: ").count(),
        1,
        "{err}"
    );
    assert!(!err.ends_with("\n\n"), "{err:?}");
}

/// A file in a folder that goes away with it.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Scratch {
        Scratch(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        text(&path)
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A driver that imports `functions` and succeeds.
fn driver(functions: &[&str]) -> Vec<u8> {
    let mut builder = PeBuilder::new(0xfffff880_0496d000);
    let text = builder.section(".text", CODE, vec![0x31, 0xc0, 0xc3], 3);
    builder.import("ntoskrnl.exe", functions.iter().copied());
    builder.import("HAL.dll", ["KfRaiseIrql"]);
    builder.entry_point(text).build()
}

#[test]
fn commands_print_a_transcript() {
    let (status, out, err) = run(&["debug", "-c", "? 2*8"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "1: kd> ? 2*8\nEvaluate expression: 16 = 00000000`00000010\n"
    );
}

#[test]
fn commands_that_fail_are_told_where_they_stand() {
    let (status, out, err) = run(&["debug", "-c", "zz top"]);
    assert_eq!((status, err.as_str()), (1, ""));
    assert_eq!(out, "1: kd> zz top\n       ^ Syntax error in 'zz top'\n");
    let (status, out, _) = run(&["debug", "-c", "ed 10 0"]);
    assert_eq!(status, 1);
    assert!(out.contains("^ Memory access error in 'ed 10 0'"), "{out}");
    let (status, out, _) = run(&["debug", "--budget", "1000", "-c", "g"]);
    assert_eq!(status, 1);
    assert!(
        out.contains("the guest has run 1000 bytes of code"),
        "{out}"
    );
}

/// The defaults that it tells are those in force.
#[test]
fn help_tells_defaults_and_units() {
    let (status, out, err) = run(&["debug", "--help"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let unit = "after WORK bytes of code executed, a decimal number";
    for text in [
        format!("Stop a `g` {unit} [default: 2147483648; at a prompt: no limit]"),
        format!("take effect {unit} [default: 1000000]"),
        "a decimal number of mebibytes [default: 64]".to_string(),
    ] {
        assert!(words.contains(&text), "{out}");
    }
    let break_in = |options: &[&str]| {
        let scratch = Scratch::new();
        let script = scratch.file("g.kd", b"g\n<Ctrl+Break>\n!poolused\n");
        run(&[&["debug", "--script", &script], options].concat())
    };
    assert_eq!(break_in(&[]), break_in(&["--break-after", "1000000"]));
    assert_ne!(break_in(&[]), break_in(&["--break-after", "900000"]));
}

#[test]
fn arguments_that_do_not_parse() {
    refuses(&["debugg"], "unrecognized subcommand");
    refuses(&["debug", "--frob"], "--frob");
    refuses(
        &["debug", "-c", "k", "--script", "a"],
        "cannot be used with",
    );
    refuses(&["debug", "--kernel-pdb", "a.pdb"], "--kernel <FILE>");
    for number in ["", "-1", "x", "99999999999999999999"] {
        refuses(&["debug", &format!("--memory={number}")], "--memory <MIB>");
        refuses(&["debug", &format!("--budget={number}")], "--budget <WORK>");
    }
    for address in [
        "",
        "0x",
        "xyz",
        "-1",
        "1 2",
        "fffff800`00000000`1",
        "1fffff80000000000",
    ] {
        refuses(
            &["debug", &format!("--nt-base={address}")],
            "not an address",
        );
        refuses(
            &["debug", &format!("--driver-base={address}")],
            "not an address",
        );
    }
    // without any the usage is the answer
    let (status, out, err) = run(&[]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("Usage: poolhit <COMMAND>"), "{err}");
}

#[test]
fn bases_that_cannot_be() {
    for (option, base, message) in [
        (
            "--nt-base",
            "fffff80001450001",
            "a base is a multiple of 1000",
        ),
        (
            "--nt-base",
            "400000",
            "ntoskrnl.exe cannot be at 00000000`00400000: it belongs between",
        ),
        ("--nt-base", "7fff00000000000", "it belongs between"),
        ("--nt-base", "fffffffffffff000", "it belongs between"),
        ("--nt-base", "fffff8800496d000", "overlaps"),
        ("--nt-base", "fffff68000000000", "overlaps the page tables"),
        (
            "--nt-base",
            "fffff7fffff00000",
            "overlaps the machine's gate",
        ),
        ("--driver-base", "fffff80001450000", "overlaps ntoskrnl.exe"),
        ("--driver-base", "fffff8a000000000", "overlaps paged pool"),
        ("--driver-base", "0", "it belongs between"),
    ] {
        refuses(&["debug", option, base, "-c", "k"], message);
    }
}

#[test]
fn memory_that_is_too_small_or_too_large() {
    refuses(&["debug", "--memory", "0"], "guest memory of 0 bytes");
    refuses(&["debug", "--memory", "1"], "1 MiB of memory are too small");
    refuses(&["debug", "--memory", "4097"], "to 4096 MiB");
    refuses(
        &["debug", "--memory", "18446744073709551615"],
        "to 4096 MiB",
    );
}

#[test]
fn files_that_are_not_there_or_not_what_they_should_be() {
    let scratch = Scratch::new();
    let folder = text(scratch.0.path());
    let words = scratch.file("words.sys", b"These are words, and no image.");
    let empty = scratch.file("empty.sys", b"");
    for option in ["--kernel", "--driver", "--program"] {
        refuses(
            &["debug", option, "no/such/file.sys"],
            "cannot read no/such/file.sys: ",
        );
        refuses(
            &["debug", option, &folder],
            &format!("cannot read {folder}: "),
        );
        refuses(
            &["debug", option, &words],
            &format!("{words}: words.sys is not a PE image"),
        );
        refuses(
            &["debug", option, &empty],
            &format!("{empty}: empty.sys is not a PE image"),
        );
    }
    refuses(
        &["debug", "--script", "no/such/script"],
        "cannot read no/such/script: ",
    );
    refuses(
        &["debug", "--script", &folder],
        &format!("cannot read {folder}: "),
    );
    let driver = scratch.file("a.sys", &driver(&["DbgPrint"]));
    refuses(
        &["debug", "--driver", &driver, "--driver-pdb", "no/such.pdb"],
        "cannot read no/such.pdb",
    );
    refuses(
        &["debug", "--driver", &driver, "--driver-pdb", &words],
        "a.sys: its PDB cannot be read",
    );
}

/// Devices that never end.
#[cfg(target_os = "linux")]
#[test]
fn endless_files() {
    refuses(
        &["debug", "--driver", "/dev/zero"],
        "cannot read /dev/zero: it is larger than 256 MiB",
    );
    let (status, _, err) = run(&["debug", "--script", "/dev/zero"]);
    assert_eq!(status, 2);
    assert_eq!(err, "poolhit: a line of the input is longer than 16 MiB\n");
}

#[test]
fn imports_that_nothing_provides_are_all_named() {
    let scratch = Scratch::new();
    let path = scratch.file(
        "leaky.sys",
        &driver(&["ExAllocatePoolWithTag", "Gone", "GoneToo"]),
    );
    let arguments = ["debug", "--driver", &path, "--refuse-unprovided", "-c", "k"];
    let (status, out, err) = run(&arguments);
    assert_eq!((status, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "poolhit: leaky.sys needs ntoskrnl.exe!Gone, which nothing provides (it has no such export)\n\
         leaky.sys needs ntoskrnl.exe!GoneToo, which nothing provides (it has no such export)\n"
    );
    // It never calls them.
    let (status, _, err) = run(&["debug", "--driver", &path, "-c", "k"]);
    assert_eq!(status, 0);
    // The program has nothing to do with this driver.
    assert_eq!(
        err,
        "poolhit: the built-in program opens \\\\.\\Myfault, which leaky.sys has not made: --ioctl makes \
         requests of leaky.sys, --program FILE runs another program\n"
    );
    let (_, _, err) = run(&["debug", "--driver", &path, "--unload", "-c", "k"]);
    assert_eq!(err, "");
}

#[test]
fn a_driver_that_does_not_boot_comes_to_the_prompt_where_it_stands() {
    let scratch = Scratch::new();
    let mut builder = PeBuilder::new(0xfffff880_0496d000);
    let code = builder.section(".text", CODE, vec![0x0f, 0x0b], 2);
    let path = scratch.file("ud2.sys", &builder.entry_point(code).build());
    let (status, out, err) = run(&["debug", "--driver", &path, "-c", "k"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let check = "\n*** Fatal System Error: 0x0000007e\n                       \
                 (0xFFFFFFFFC000001D,0xFFFFF8800496E000,0x";
    assert!(out.starts_with(check), "{out}");
    let driver = out.lines().position(|line| line.contains(" ud2+0x1000"));
    let loader = out
        .lines()
        .position(|line| line.contains(" nt!IopLoadDriver+"));
    assert!(driver.unwrap() < loader.unwrap(), "{out}");
}

fn script(bytes: &[u8]) -> (i32, String, String) {
    let scratch = Scratch::new();
    let path = scratch.file("script.kd", bytes);
    run(&["debug", "--script", &path])
}

#[test]
fn scripts_of_nothing() {
    assert_eq!(script(b""), (0, String::new(), String::new()));
    assert_eq!(script(b"\r\n").0, 0);
    assert_eq!(
        script(b"<Ctrl+Break>\n<Ctrl+Break>"),
        (0, String::new(), String::new())
    );
    let (status, out, _) = script(b"? 1\r\n? 2");
    assert_eq!(status, 0);
    assert!(
        out.contains("1: kd> ? 1\nEvaluate") && out.contains("1: kd> ? 2\nEvaluate"),
        "{out}"
    );
}

#[test]
fn scripts_of_noise() {
    let noise: Vec<u8> = (0u32..20_000)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let (status, out, err) = script(&[&noise[..], b"\n? 7"].concat());
    assert_eq!((status, err.as_str()), (1, ""));
    assert!(
        out.ends_with("Evaluate expression: 7 = 00000000`00000007\n"),
        "{out}"
    );
}

#[test]
fn lines_that_are_too_long() {
    let long = vec![b'k'; 1_000_000];
    let (status, out, err) = script(&[&long[..], b"\n? 7\n", &long[..]].concat());
    assert_eq!((status, err.as_str()), (1, ""));
    let error = "1: kd> Command line of 1000000 bytes is too long: the limit is 65536\n";
    assert_eq!(
        out,
        format!("{error}1: kd> ? 7\nEvaluate expression: 7 = 00000000`00000007\n{error}")
    );
    // as long as a line may be
    let spaces = " ".repeat(65_536 - "? 7".len());
    assert_eq!(script(format!("{spaces}? 7\r\n").as_bytes()).0, 0);
    assert_eq!(script(format!("{spaces}? 77\r\n").as_bytes()).0, 1);
}

/// Commands also come from standard input, if that is no terminal.
#[test]
fn commands_on_standard_input() {
    let mut child = poolhit(&["debug"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"? 3\nq\n? 4")
        .unwrap();
    let (status, out, err) = finish(child.wait_with_output().unwrap());
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "1: kd> ? 3\nEvaluate expression: 3 = 00000000`00000003\n1: kd> q\n"
    );
}

/// As `| head -1` does it.
#[test]
fn a_reader_that_has_seen_enough() {
    for arguments in [
        &["demo"][..],
        &["debug", "-c", "db nt l100000"],
        &["debug", "-c", "k;k;k;lm"],
    ] {
        let mut child = poolhit(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("1: kd> "), "{line}");
        let (status, _, err) = finish(child.wait_with_output().unwrap());
        assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}");
    }
}

/// The same command gives the same bytes.
#[test]
fn the_demonstration_is_the_same_each_time() {
    let first = run(&["demo"]);
    assert_eq!(first.0, 0);
    assert!(first.1.contains("myfault+0x1634"));
    assert_eq!(run(&["demo"]), first);
    // and from a script
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("harness/frontends/golden.kd");
    let golden = text(&golden);
    let same = run(&["debug", "--break-after", "60000", "--script", &golden]);
    assert_eq!(same, first);
}
