//! `k;g` at a breakpoint lists source lines as a stop does.

use crate::driver::{DEVICE, error_path, lab, line};
use poolhit::{Lab, Session};

/// A session in which requests print stacks, and what `go` prints.
fn printed(commands: &str, lines: bool) -> String {
    let mut session = Session::new(Lab::builder().build().unwrap());
    session.show_source_lines(lines);
    session
        .execute(&format!("bp nt!ObReferenceHandle \"{commands}\""))
        .unwrap();
    session.break_in_after(200_000);
    session.execute("g").unwrap()
}

#[test]
fn what_passes_prints_what_stops_print() {
    let [passing, stopping] = ["k 4; g", "k 4; ? 1; g"].map(|commands| printed(commands, true));
    let is_value = |line: &&str| !line.starts_with("Evaluate expression");
    let stopping: Vec<&str> = stopping.lines().filter(is_value).collect();
    let passing: Vec<&str> = passing.lines().collect();
    let frames = |text: &[&str]| -> Vec<String> {
        let lines = text
            .iter()
            .filter(|line| line.contains("nt!ObReferenceHandle"));
        lines.map(|line| line.to_string()).collect()
    };
    let (passing, stopping) = (frames(&passing), frames(&stopping));
    let both = passing.len().min(stopping.len());
    assert!(both > 3, "{passing:?}");
    assert_eq!(passing[..both], stopping[..both]);
    assert!(
        passing[0].contains(" [/guest/ntoskrnl/ob_handle.c @ "),
        "{}",
        passing[0]
    );
    assert!(!printed("k 4; g", false).contains(".c @ "));
}

/// Lines can be switched on by a breakpoint's own commands while another one passes.
#[test]
fn the_switch_counts_from_the_next_hit_on() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    session
        .execute("bp nt!NtDeviceIoControlFile \".lines -e; g\"")
        .unwrap();
    session
        .execute("bp nt!ObReferenceHandle \"k 1; g\"")
        .unwrap();
    session.break_in_after(200_000);
    let text = session.execute("g").unwrap();
    let mut rows = text
        .lines()
        .filter(|line| line.contains("nt!ObReferenceHandle"));
    assert!(
        rows.next().is_some() && rows.all(|row| row.ends_with(']')),
        "{text}"
    );
}

#[test]
fn a_session_names_the_line_of_a_call() {
    let mut lab = lab();
    let device = lab.open_device(DEVICE).unwrap();
    error_path(&mut lab, device);
    let report = lab.leaks().unwrap();
    let path = report.leaks().find(|path| path.tag.to_string() == "Lky1");
    let frames = &path.unwrap().stack.as_ref().unwrap().frames;
    let session = Session::new(lab);
    let found = session.source_line(frames[1].code()).unwrap();
    assert_eq!(found.line, line("error path"));
}
