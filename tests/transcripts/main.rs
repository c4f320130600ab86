//! Plays every transcript in this folder, and compares what is printed with it. A new file is
//! played without further ado; `POOLHIT_REWRITE=1 cargo test --test transcripts` writes what is
//! printed into the files.
//!
//! The folder that a file is in says what lab it is played in: see [`lab`]. In a file whose name
//! starts with `errors` no command can be executed, and none changes anything.

use poolhit::commands::{name_of, names};
use poolhit::debugger::command_line::commands;
use poolhit::guest::{ImageFile, Request, RequestStop};
use poolhit::transcript::{REWRITE, Transcript, check};
use poolhit::{Lab, Session};
use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn allocate(lab: &mut Lab, routine: &str, arguments: &[u64]) -> u64 {
    lab.call_kernel(routine, arguments).unwrap().value
}

/// Uses up what is free in a pool below a page whose address does not depend on what the kernel has done
/// before, and allocates a block of 0x20 bytes at its start.
fn begin_page(lab: &mut Lab, pool: u64, start: u64) {
    const FILL: u64 = 0x6c6c_6946;
    let mut block = |bytes: u64| allocate(lab, "ExAllocatePoolWithTag", &[pool, bytes, FILL]);
    while block(0x1000) != start - 0x1000 {}
    while block(0x20) != start + 0x10 {}
}

/// The lab for a folder; the top has none of its own, and a fresh lab.
fn lab(folder: &str) -> Lab {
    const TAGGED: &str = "ExAllocatePoolWithTag";
    const LEAK: u64 = 0x6b61_654c;
    const LEA2: u64 = 0x3261_654c;
    const PROTECTED_LEA1: u64 = 0xb161_654c;
    const PAGED: u64 = 1;
    const PAGE: u64 = 0xffff_f8a0_0010_0000;
    let mut lab = Lab::builder().build().unwrap();
    match folder {
        "" => {}
        // a page of nonpaged pool with room at its start, and no other
        "nonpaged" => {
            begin_page(&mut lab, 0, 0xffff_fa80_0010_0000);
            for _ in 0..11 {
                allocate(&mut lab, TAGGED, &[0, 0xf0, LEA2]);
            }
        }
        // a page of paged pool holds one block of every state
        "pool" => {
            begin_page(&mut lab, PAGED, PAGE);
            allocate(&mut lab, TAGGED, &[PAGED, 0x70, PROTECTED_LEA1]);
            allocate(&mut lab, TAGGED, &[PAGED, 0x100, LEA2]);
            let cached = allocate(&mut lab, TAGGED, &[PAGED, 0x40, PROTECTED_LEA1]);
            allocate(&mut lab, TAGGED, &[PAGED, 0x20, PROTECTED_LEA1]);
            // those that the kernel has freed and keeps come first
            let quota = [PAGED, 0x60, LEAK];
            while allocate(&mut lab, "ExAllocatePoolWithQuotaTag", &quota) & !0xfff != PAGE {}
            allocate(&mut lab, TAGGED, &[PAGED, 0x2000, LEA2]);
            allocate(&mut lab, TAGGED, &[PAGED, 0x1800, PROTECTED_LEA1]);
            allocate(&mut lab, "ExFreePoolWithTag", &[cached, PROTECTED_LEA1]);
        }
        // a driver with source lines, in the middle of a request
        "source_lines" => {
            let driver = ImageFile::parse(LEAKY.name, LEAKY.bytes, Some(LEAKY_PDB.bytes)).unwrap();
            let copy = driver.symbols.by_name("CopyInput").unwrap().rva;
            lab = Lab::builder().driver(driver).requester().build().unwrap();
            let device = lab.open_device(r"\\.\Leaky").unwrap();
            let copy = lab.bases().driver + copy;
            lab.machine_mut().set_breakpoint(copy).unwrap();
            let request = Request::ioctl(device, 0x222044, &[0; 4], 0);
            let stopped = lab.request(&request).unwrap_err();
            assert_eq!(stopped.stopped().unwrap().reason, RequestStop::Breakpoint);
            lab.machine_mut().clear_breakpoint(copy).unwrap();
        }
        // DISPATCH_LEVEL
        "raised_irql" => {
            allocate(&mut lab, "KfRaiseIrql", &[2]);
        }
        _ => panic!("there is no lab for the folder {folder}"),
    }
    lab
}

/// A transcript's file, and the session to play it in.
struct Case {
    path: PathBuf,
    folder: String,
}

impl Case {
    fn session(&self) -> Session {
        Session::new(lab(&self.folder))
    }

    fn is_of_errors(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("errors")
    }
}

fn cases() -> Vec<Case> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let (mut folders, mut cases) = (vec![top.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "kd") {
                let folder = folder.strip_prefix(&top).unwrap();
                let folder = folder.to_str().unwrap().to_string();
                cases.push(Case { path, folder });
            }
        }
    }
    cases.sort_by(|one, other| one.path.cmp(&other.path));
    cases
}

#[test]
fn every_transcript_passes() {
    let failures: Vec<String> = cases()
        .iter()
        .filter_map(|case| check(&case.path, &mut case.session()).err())
        .map(|error| error.to_string())
        .collect();
    assert!(
        failures.is_empty(),
        "{} transcripts fail\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_transcript_says_what_it_shows() {
    for case in cases() {
        let transcript = Transcript::read(&case.path).unwrap();
        let comments = transcript.comments();
        assert!(!comments.is_empty(), "{}", case.path.display());
    }
}

/// A command without a transcript that uses it, and in which it can be executed, is not finished.
#[test]
fn every_command_has_a_transcript() {
    let mut used = BTreeSet::new();
    for case in cases() {
        let played = Transcript::read(&case.path)
            .unwrap()
            .play(&mut case.session());
        for step in played.steps.iter().filter(|step| !step.failed) {
            used.extend(commands(&step.command).unwrap().filter_map(name_of));
            // those in blocks
            let words = step
                .command
                .split(|c: char| c.is_whitespace() || ";{}()".contains(c));
            used.extend(
                words
                    .filter(|word| word.starts_with('.'))
                    .filter_map(name_of),
            );
        }
    }
    // A transcript that is echoed cannot be told from one that is played: tests/programs.
    used.extend(["$$<", "$<"]);
    let all: BTreeSet<&str> = names().collect();
    let missing: Vec<_> = all.difference(&used).collect();
    assert!(missing.is_empty(), "no transcript uses {missing:?}");
}

#[test]
fn lines_that_fail_change_nothing() {
    let cases: Vec<Case> = cases().into_iter().filter(Case::is_of_errors).collect();
    assert!(!cases.is_empty());
    for case in cases {
        let mut session = case.session();
        let before = session.lab().machine().state_hash();
        let played = Transcript::read(&case.path).unwrap().play(&mut session);
        for step in played.steps {
            assert!(step.failed, "{}: {step}", case.path.display());
        }
        let after = session.lab().machine().state_hash();
        assert_eq!(after, before, "{}", case.path.display());
    }
}

/// Plays the file that the next test names.
#[test]
#[ignore = "only for the test of the switch, in a process of its own"]
fn play_one() {
    let path = std::env::var_os("POOLHIT_TEST_FILE").unwrap();
    check(path, &mut Session::new(Lab::builder().build().unwrap())).unwrap();
}

/// The switch is in the environment, which is a process's own.
#[test]
fn the_switch_rewrites_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sum.kd");
    let wrong = "$$ A sum.\n0: kd> ? 2*8\nEvaluate expression: 15\n";
    let right = "$$ A sum.\n1: kd> ? 2*8\nEvaluate expression: 16 = 00000000`00000010\n";
    fs::write(&path, wrong).unwrap();
    for (switch, passes, text) in [
        (None, false, wrong),
        (Some("0"), false, wrong),
        (Some("1"), true, right),
        (None, true, right),
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "play_one", "--ignored"]);
        child.env("POOLHIT_TEST_FILE", &path).env_remove(REWRITE);
        if let Some(value) = switch {
            child.env(REWRITE, value);
        }
        let output = child.output().unwrap();
        assert_eq!(output.status.success(), passes, "{switch:?} {output:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{switch:?}");
    }
}
