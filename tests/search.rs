//! `s` in all of the kernel's half, and more hits than are shown. What is found and how it is shown
//! is in `tests/transcripts/s.kd`.

use poolhit::address::Va;
use poolhit::{Lab, Session};

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

/// The places that a search showed.
fn places(output: &str) -> Vec<Va> {
    let address = |line: &str| {
        let address = line.get(..17)?.replace('`', "");
        u64::from_str_radix(&address, 16).ok().map(Va)
    };
    output.lines().filter_map(address).collect()
}

#[test]
fn a_pattern_across_pages_and_gaps_in_memory() {
    let mut session = session();
    let at = session.resolve("myfault").unwrap();
    let border = at.wrapping_add(0xffe);
    session.write(border, b"Xy12").unwrap();
    let line = format!("s -a {at} l2000 \"Xy12\"");
    assert_eq!(places(&session.execute(&line).unwrap()), [border]);
    // All of the kernel's half, nearly nothing of which is mapped.
    let all = session
        .execute("s -a fffff800`00000000 L?800`00000000 \"Xy12\"")
        .unwrap();
    assert!(places(&all).contains(&border), "{all}");
}

#[test]
fn hits_are_bounded() {
    let mut session = session();
    let mut out = String::new();
    let line = "s -b nt L300000 0";
    let error = session.execute_to(line, &mut out).unwrap_err().to_string();
    assert!(
        error.starts_with("the pattern is at more than 65536 places"),
        "{error}"
    );
    assert_eq!(out.lines().count(), 65_536);
}
