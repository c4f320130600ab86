//! The guest's own bookkeeping over the whole program, against the model.

use crate::schedule::{self, Counters, CountersByTag, LEAK, LEAK_PAGED, NO_TAG, Path};
use crate::{session, symbol, tracker};
use poolhit::memory::ReadMemory;
use poolhit::tag::Tag;
use poolhit::{Session, StopReason};
use std::collections::BTreeMap;

const DONE: StopReason = StopReason::Idle {
    exit_status: Some(0),
};

/// What was added to the counters since `before`; tags that nothing happened to are left out.
fn added(before: &CountersByTag, after: &CountersByTag) -> CountersByTag {
    let since = |tag, pool: usize, after: Counters| {
        let before = before.get(tag).copied().unwrap_or_default()[pool];
        Counters {
            allocations: after.allocations - before.allocations,
            frees: after.frees - before.frees,
            bytes: after.bytes.wrapping_sub(before.bytes),
        }
    };
    after
        .iter()
        .map(|(tag, pools)| (*tag, [since(tag, 0, pools[0]), since(tag, 1, pools[1])]))
        .filter(|(_, pools)| *pools != [Counters::default(); 2])
        .collect()
}

/// The pools' own sums agree with the sums over all tags.
fn check_sums(session: &Session) {
    for pool in 0..2 {
        let mut sum = Counters::default();
        for counters in tracker::counters(session).values() {
            let one = counters[pool as usize];
            sum.allocations += one.allocations;
            sum.frees += one.frees;
            sum.bytes += one.bytes;
        }
        assert_eq!(tracker::descriptor(session, pool), sum, "pool {pool}");
    }
}

#[test]
fn nothing_hits_by_default_and_every_allocation_is_counted() {
    let mut session = Session::new(poolhit::Lab::builder().build().unwrap());
    let hit_tag = session
        .lab()
        .machine()
        .read_u32(symbol(&session, "nt!PoolHitTag"))
        .unwrap();
    assert_eq!(Tag(hit_tag), NO_TAG);
    let before = tracker::counters(&session);
    check_sums(&session);
    assert_eq!(session.go().unwrap().reason, DONE);
    let after = tracker::counters(&session);
    check_sums(&session);
    assert_eq!(added(&before, &after), schedule::counters());
}

/// The tag that hits is no other for the pool: hits change nothing that is counted.
#[test]
fn hits_change_no_counter() {
    let mut session = session(LEAK);
    let before = tracker::counters(&session);
    while session.go().unwrap().reason == StopReason::BreakInstruction {}
    assert_eq!(session.lab().program_exit_status(), Some(0));
    let after = tracker::counters(&session);
    assert_eq!(added(&before, &after), schedule::counters());
}

/// What is left of whole pages in the end is what the program has leaked.
#[test]
fn the_big_pages_left_are_the_leaks() {
    let mut session = session(NO_TAG);
    assert_eq!(session.go().unwrap().reason, DONE);
    let mut left = BTreeMap::<(Tag, u64), i64>::new();
    for entry in tracker::big_pages(&session) {
        *left.entry((entry.tag, entry.bytes)).or_default() += 1;
    }
    let mut leaked = BTreeMap::<(Tag, u64), i64>::new();
    for one in schedule::operations() {
        let count = match one.path {
            Path::BigPool => 1,
            Path::FreeBig => -1,
            _ => 0,
        };
        *leaked.entry((one.tag, one.bytes)).or_default() += count;
    }
    left.retain(|(tag, _), _| [LEAK, LEAK_PAGED].contains(tag));
    leaked.retain(|_, count| *count != 0);
    assert_eq!(left, leaked);
}
