//! What the ledger has is what the guest's own counters say.

use crate::{leaked, tracked};
use poolhit::address::Va;
use poolhit::guest::pool::{PoolBlock, PoolKind, PoolUse};
use poolhit::leaks::{Held, LeakFilter};
use poolhit::tag::Tag;
use poolhit::{Lab, Session, StopReason};
use std::collections::BTreeMap;

/// Allocations and frees by tag, as the pool's own trackers have them.
fn counted(lab: &Lab) -> BTreeMap<Tag, (u64, u64)> {
    let trackers = lab.pool().unwrap().trackers().unwrap();
    let used = trackers.iter().map(|tracker| {
        let sum = |what: fn(&PoolUse) -> u32| -> u64 {
            let uses = PoolKind::ALL.map(|kind| what(tracker.in_pool(kind)));
            uses.into_iter().map(u64::from).sum()
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

/// Goes on by so many requests of the program; whether there are more.
fn requests(session: &mut Session, count: usize) -> bool {
    let entry = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    session.set_breakpoint(entry, "").unwrap();
    (0..count).all(|_| matches!(session.go().unwrap().reason, StopReason::Breakpoint { .. }))
}

#[test]
fn all_pool_calls_are_in_the_ledger() {
    let mut session = tracked();
    let at_start = counted(session.lab());
    assert!(at_start.len() > 5, "{at_start:?}");
    assert_eq!(booked(session.lab()), at_start);
    while requests(&mut session, 500) {
        assert_eq!(booked(session.lab()), counted(session.lab()));
    }
    assert_eq!(booked(session.lab()), counted(session.lab()));
    let tracker = session.lab().leak_tracker().unwrap();
    assert_eq!(tracker.unseen(), 0);
    assert_eq!(tracker.ledger().lost(), Default::default());
    assert_eq!(tracker.ledger().bad_free_count(), 0);
}

#[test]
fn live_blocks_are_those_that_the_pool_has_in_use() {
    let session = leaked();
    let lab = session.lab();
    let ledger = lab.leak_tracker().unwrap().ledger();
    let mut known: BTreeMap<Va, Tag> = ledger
        .live_blocks()
        .map(|live| (live.block, ledger.paths()[live.path].tag))
        .collect();
    let view = lab.pool().unwrap();
    let big = view.big_pages().unwrap();
    for page in big.iter() {
        assert_eq!(known.remove(&page.address), Some(page.tag.unprotected()));
    }
    let mut unknown = Vec::new();
    for kind in PoolKind::ALL {
        let mut visit = |block: &PoolBlock| {
            let tag = block.header.tag.unprotected();
            if block.is_allocated() && known.remove(&block.contents()) != Some(tag) {
                unknown.push(*block);
            }
            true
        };
        view.visit_blocks(kind, &mut visit).unwrap();
    }
    assert_eq!(unknown, []);
    assert_eq!(known, BTreeMap::new());
}

#[test]
fn leaks_are_found_with_their_stacks() {
    let report = leaked().leaks().unwrap();
    let leaks: Vec<_> = report.leaks().collect();
    let [paged, nonpaged] = &leaks[..] else {
        panic!("{report}");
    };
    // 256 rounds, each with three paged blocks, one of which is freed, and two that are not paged
    let bytes = 256 * (0x2000 + 0x1000);
    assert_eq!(paged.leaked, Held { blocks: 512, bytes });
    assert_eq!(paged.account.sizes.distinct(), [0x1000, 0x1800, 0x2000]);
    assert_eq!(paged.account.totals.allocations, 768);
    assert!(paged.account.pools.contains(PoolKind::Paged));
    let bytes = 256 * (0x40 + 0x1400);
    assert_eq!(nonpaged.leaked, Held { blocks: 512, bytes });
    assert_eq!(nonpaged.account.totals.frees, 0);

    let frames = &paged.stack.as_ref().unwrap().frames;
    let shown: Vec<String> = frames.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown[..3],
        [
            "nt!ExAllocatePoolWithTag",
            "myfault+0x1634",
            "myfault+0x1727"
        ]
    );
    assert_eq!(shown.last().unwrap(), "NotMyfault+0x2384");
    assert_eq!(paged.drivers, ["myfault"]);
    // what it allocates and frees is a way of its own, with nothing outstanding
    let freed = report
        .paths
        .iter()
        .find(|path| path.account.totals.frees == 512);
    assert_eq!(freed.unwrap().account.totals.outstanding, Held::default());
}

#[test]
fn filters_choose() {
    let session = leaked();
    let report = |filter: &LeakFilter| session.lab().leaks_of(filter).unwrap();
    let all = report(&LeakFilter::default());
    let driver = Some("MYFAULT.SYS".to_owned());
    let of_driver = LeakFilter {
        driver,
        ..LeakFilter::default()
    };
    assert_eq!(report(&of_driver), all);
    let tags = Some("Lea2".parse().unwrap());
    let tagged = report(&LeakFilter {
        tags,
        ..LeakFilter::default()
    });
    assert_eq!((tagged.tags.len(), tagged.leaks().count()), (1, 1));
    let with_kernel = report(&LeakFilter {
        kernel: true,
        ..LeakFilter::default()
    });
    assert!(with_kernel.paths.len() > all.paths.len());
    assert_eq!(with_kernel.leaked, all.leaked);
    let driver = Some("NotMyfault".to_owned());
    let filter = LeakFilter {
        driver,
        ..LeakFilter::default()
    };
    let error = session.lab().leaks_of(&filter).unwrap_err().to_string();
    assert_eq!(
        error,
        "no driver called 'NotMyfault' has called the pool; those that have are myfault.sys"
    );
}

#[test]
#[should_panic(expected = "Leak 1 of 2: 3,145,728 bytes in 512 blocks, tag Lea2, paged pool")]
fn the_assertion_fails_with_the_report() {
    poolhit::assert_no_leaks!(leaked());
}

#[test]
#[should_panic(expected = "build it with Lab::builder().track_leaks()")]
fn the_assertion_needs_a_ledger() {
    poolhit::assert_no_leaks!(Lab::builder().build().unwrap(), "Lea*");
}

#[test]
#[should_panic(expected = "whether pool leaks cannot be told")]
fn the_assertion_does_not_pass_with_a_full_ledger() {
    let limits = poolhit::leaks::LedgerLimits {
        blocks: 5,
        ..Default::default()
    };
    let lab = Lab::builder().track_leaks_within(limits);
    poolhit::assert_no_leaks!(lab.build().unwrap());
}

#[test]
fn a_kernel_without_symbols_is_said_to_have_no_sites() {
    use poolhit::guest::{GuestImages, ImageFile};
    let kernel = &GuestImages::built_in().kernel;
    let bytes = poolhit_fixtures::prebuilt::KERNEL.bytes.to_vec();
    let stripped = ImageFile::parse(kernel.name(), bytes, None).unwrap();
    let booted = Lab::builder()
        .kernel(stripped)
        .track_leaks()
        .boot()
        .unwrap();
    let error = booted.lab.leaks().unwrap_err().to_string();
    assert!(error.contains("it has no symbols"), "{error}");
}
