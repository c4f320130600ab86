//! The program's run from the kernel's first instruction to the end, and calls of the pool.

use crate::VISITS;
use crate::guest::Guest;
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::machine::Exit;
use std::collections::BTreeSet;

/// A small part of the program's run, in bytes of code: all it does, many times.
const A_PART: u64 = 1 << 20;

/// Runs on to the program's end or for so much work; gives the break instructions it comes to.
fn run(guest: &mut Guest, work: u64) -> BTreeSet<Va> {
    let limit = guest.lab.machine().work().saturating_add(work);
    let mut hits = BTreeSet::new();
    loop {
        guest.pass_break_instruction();
        match guest.run(limit) {
            Exit::HardcodedBreakpoint { address } => hits.insert(address),
            Exit::Halt | Exit::Limit => return hits,
            other => panic!("{other:?}"),
        };
    }
}

/// The whole run, and how many boundaries it has.
fn whole_run(tag: &[u8; 4], hits: usize, visits: Option<u32>) {
    let mut guest = Guest::boot(visits);
    guest.set_tag(tag);
    assert_eq!(run(&mut guest, u64::MAX).len(), hits);
    assert_eq!(guest.lab.program_exit_status(), Some(0));
    let counts = guest.finish();
    assert!(counts.boundaries > 4_000_000, "{counts:?}");
    if visits.is_none() {
        assert_eq!(counts.boundaries, counts.compared + counts.exempt);
        // Of a thousand boundaries, six are inside what is one instruction, or where the processor
        // has left the caller's state in registers.
        assert!(counts.exempt * 1000 < counts.boundaries * 6, "{counts:?}");
    }
}

#[test]
fn from_the_first_instruction_to_the_end() {
    whole_run(b"None", 0, Some(VISITS));
}

#[test]
#[ignore = "half a minute in a release build"]
fn every_boundary_without_hits() {
    whole_run(b"None", 0, None);
}

#[test]
#[ignore = "half a minute in a release build"]
fn every_boundary_with_hits_at_all_sites() {
    whole_run(b"Leak", 5, None);
}

#[test]
#[ignore = "half a minute in a release build"]
fn every_boundary_with_hits_in_paged_pool() {
    whole_run(b"Lea2", 2, None);
}

#[test]
fn hits_at_all_five_sites() {
    for (tag, sites) in [(b"Leak", 5), (b"Lea2", 2)] {
        let mut guest = Guest::boot(Some(VISITS));
        guest.set_tag(tag);
        assert_eq!(run(&mut guest, A_PART).len(), sites);
        guest.finish();
    }
}

#[test]
fn every_boundary_of_the_boot_and_the_first_requests() {
    let mut guest = Guest::boot(None);
    run(&mut guest, 0x4_0000);
    let counts = guest.finish();
    assert_eq!(counts.boundaries, counts.compared + counts.exempt);
    assert!(counts.deepest >= 14, "{counts:?}");
}

#[test]
fn images_at_other_bases() {
    let builder = Lab::builder()
        .base("ntoskrnl.exe", Va(0xfffff800_02a00000))
        .base("myfault.sys", Va(0xfffff880_06000000))
        .base("ntdll.dll", Va(0x7fe_00000000));
    let mut guest = Guest::boot_with(builder, Some(VISITS));
    guest.set_tag(b"Leak");
    assert_eq!(run(&mut guest, A_PART / 2).len(), 5);
    guest.finish();
}

/// Requests to the pool from outside: each path, small and large, in both pools.
#[test]
fn calls_of_the_pool() {
    let mut guest = Guest::boot(Some(VISITS));
    guest.set_tag(b"Test");
    let tag = u64::from(u32::from_le_bytes(*b"Test"));
    let mut hits = BTreeSet::new();
    for pool in [0, 1] {
        let mut blocks = Vec::new();
        for bytes in [1, 0x10, 0x100, 0x100, 0xfe0, 0xff0, 0x1000, 0x5000] {
            let called = guest.call("ExAllocatePoolWithTag", &[pool, bytes, tag]);
            let called = called.unwrap();
            assert_ne!(called.value, 0);
            hits.extend(called.hits);
            blocks.push(called.value);
        }
        for block in &blocks {
            let called = guest.call("ExFreePoolWithTag", &[*block, tag]).unwrap();
            hits.extend(called.hits);
        }
        let again = guest.call("ExAllocatePoolWithTag", &[pool, 0x100, tag]);
        hits.extend(again.unwrap().hits);
        let all = guest.call("ExAllocatePoolWithTag", &[pool, 1 << 40, tag]);
        assert_eq!(all.unwrap().value, 0);
    }
    assert_eq!(hits.len(), 5, "{hits:x?}");
    // And the program goes on as if nothing had been.
    run(&mut guest, A_PART / 4);
    guest.finish();
}
