//! All that a guest can see.

use crate::{LEAK, lab};
use poolhit::{Session, StopReason};
use std::process::Command;

/// The hash of all the guest can see, at several points of a session.
fn hashes() -> Vec<u128> {
    let mut session = Session::new(lab(LEAK));
    let mut hashes = vec![session.lab().machine().state_hash()];
    for line in [
        "g",
        "eb nt+298f6 90",
        "bp nt+298f6",
        "g",
        "g",
        "bc *;ed nt!PoolHitTag ffffff0f",
    ] {
        session.execute(line).unwrap();
        hashes.push(session.lab().machine().state_hash());
    }
    session.break_in_after(50_000);
    assert_eq!(session.go().unwrap().reason, StopReason::BreakIn);
    hashes.push(session.lab().machine().state_hash());
    session.go().unwrap();
    hashes.push(session.lab().machine().state_hash());
    hashes
}

/// Set for a process that is to print its hashes.
const PRINT_HASHES: &str = "POOLHIT_TEST_PRINT_HASHES";

#[test]
fn repeat_within_and_between_processes() {
    let hashes = hashes();
    let line = format!("hashes {hashes:x?} end");
    if std::env::var_os(PRINT_HASHES).is_some() {
        println!("{line}");
        return;
    }
    assert_eq!(hashes, self::hashes());
    let mut distinct = hashes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    // A breakpoint alone changes nothing that the guest can see.
    assert_eq!(hashes[2], hashes[3]);
    assert_eq!(distinct.len(), hashes.len() - 1);
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "states::repeat_within_and_between_processes",
            "--exact",
            "--nocapture",
        ])
        .env(PRINT_HASHES, "x".repeat(3000))
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.contains(&line), "{line} is not in {output}");
}
