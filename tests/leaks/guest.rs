//! What the ledger has is what the guest's own counters say.

use poolhit::guest::pool::PoolKind;
use poolhit::leaks::{Growth, Held, LeakError, LeakFilter};
use poolhit::tag::Tag;
use poolhit::{Lab, Session, StopReason};
use std::collections::BTreeMap;

fn tracked() -> Session {
    Session::new(Lab::builder().track_leaks().build().unwrap())
}

/// Allocations, frees and bytes by tag, as the pool's own trackers have them.
fn counted(lab: &Lab) -> BTreeMap<Tag, (u64, u64)> {
    let trackers = lab.pool().unwrap().trackers().unwrap();
    let used = trackers.iter().map(|tracker| {
        let uses = PoolKind::ALL.map(|kind| *tracker.in_pool(kind));
        let sum = |what: fn(&poolhit::guest::pool::PoolUse) -> u32| -> u64 {
            uses.iter().map(|used| u64::from(what(used))).sum()
        };
        (
            tracker.tag,
            (sum(|used| used.allocs), sum(|used| used.frees)),
        )
    });
    used.filter(|(_, counts)| *counts != (0, 0)).collect()
}

/// The same by the ledger.
fn booked(lab: &Lab) -> BTreeMap<Tag, (u64, u64)> {
    let filter = LeakFilter {
        kernel: true,
        ..LeakFilter::default()
    };
    let report = lab.leaks_of(&filter).unwrap();
    let tags = report.tags.iter().map(|tag| {
        let totals = &tag.account.totals;
        (tag.tag, (totals.allocations, totals.frees))
    });
    tags.collect()
}

#[test]
fn all_pool_calls_are_in_the_ledger() {
    let mut session = tracked();
    assert_eq!(booked(session.lab()), counted(session.lab()));
    session.set_budget(1 << 20);
    for _ in 0..3 {
        session.go().unwrap();
        assert_eq!(booked(session.lab()), counted(session.lab()));
    }
    println!("{}", session.leaks().unwrap());
}
