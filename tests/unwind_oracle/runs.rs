//! The runs that are watched.

use crate::VISITS;
use crate::guest::Guest;
use poolhit::machine::Exit;

fn program(tag: &[u8; 4], visits: Option<u32>) {
    let mut guest = Guest::boot(visits);
    println!("boot {:?}", guest.watch.oracle().counts);
    guest.set_tag(tag);
    let mut hits = 0;
    loop {
        match guest.go() {
            Exit::HardcodedBreakpoint { .. } => hits += 1,
            Exit::Halt => break,
            other => panic!("{other:?}"),
        }
    }
    let mut oracle = guest.watch.oracle();
    println!("{hits} hits");
    for exempt in &oracle.exempt {
        println!("{}: {}", exempt.reason, exempt.count);
    }
    let counts = oracle.finish();
    println!("{counts:?}");
}

#[test]
fn quick() {
    program(b"None", Some(VISITS));
}

#[test]
#[ignore]
fn all() {
    program(b"None", None);
}
