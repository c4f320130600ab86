//! Leaks: the ledger against a naive model and against the guest's own counters, the reports, and their
//! formats.

mod blocks;
mod formats;
mod guest;
mod hostile;
mod json;
mod json_values;
mod marks;
mod model;
mod profile;
mod states;

use poolhit::{Lab, Session};

/// A session of a lab that tracks leaks, at its first prompt.
fn tracked() -> Session {
    Session::new(Lab::builder().track_leaks().build().unwrap())
}

/// One whose program has leaked all it can.
fn leaked() -> Session {
    let mut session = tracked();
    session.go().unwrap();
    session
}

/// Compares a text with a file beside the tests, or writes it there if `POOLHIT_REWRITE` is 1.
#[track_caller]
fn check_file(name: &str, text: &str) {
    let path = format!("{}/tests/leaks/expected/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("POOLHIT_REWRITE").is_some_and(|value| value == "1") {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "tests/leaks/expected/{name} should be:\n{text}"
    );
}
