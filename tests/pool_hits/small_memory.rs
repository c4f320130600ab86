//! Guests whose memory runs out: allocations fail, requests fail, nothing crashes, and what has
//! failed does not hit.

use crate::schedule::{LEAK, LEAK_PAGED, NO_TAG, Path, REQUESTS};
use crate::{path_at, session_in, tracker};
use poolhit::guest::LabError;
use poolhit::tag::Tag;
use poolhit::{Lab, Session, StopReason};
use std::collections::BTreeMap;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Enough to boot, and too little for all that the program leaks.
const SMALL: u64 = 8 * MIB;

fn small(bytes: u64, tag: Tag) -> Session {
    session_in(Lab::builder().memory(bytes).build().unwrap(), tag)
}

/// Goes on behind every hit to the program's end; gives its exit status and the hits by path.
fn run(session: &mut Session) -> (u32, BTreeMap<Path, u32>) {
    let mut hits = BTreeMap::new();
    loop {
        let stop = session.go().unwrap();
        match stop.reason {
            StopReason::BreakInstruction => *hits.entry(path_at(stop.address)).or_default() += 1,
            StopReason::Idle {
                exit_status: Some(status),
            } => return (status, hits),
            other => panic!("{other:?} at {}", stop.address),
        }
    }
}

/// The requests that the pool's counters know to have done their work: each that does makes one
/// allocation with one of the tags, or frees one of `Lea2`.
fn successes(session: &Session) -> u32 {
    let counters = tracker::counters(session);
    let of = |tag| counters.get(&tag).copied().unwrap_or_default();
    of(LEAK)[0].allocations + of(LEAK_PAGED)[1].allocations + of(LEAK_PAGED)[1].frees
}

#[test]
fn what_fails_is_counted_by_the_program() {
    let mut session = small(SMALL, NO_TAG);
    let (failures, hits) = run(&mut session);
    assert!(hits.is_empty());
    assert!(failures > 0 && failures < REQUESTS as u32, "{failures}");
    assert_eq!(failures, REQUESTS as u32 - successes(&session));
    assert_eq!(session.lab().bug_check(), None);
}

#[test]
fn what_fails_does_not_hit() {
    let (failures, _) = run(&mut small(SMALL, NO_TAG));
    for (tag, pool) in [(LEAK, 0), (LEAK_PAGED, 1)] {
        let mut session = small(SMALL, tag);
        let (status, hits) = run(&mut session);
        assert_eq!(status, failures, "hits change what fails");
        let of = |path| hits.get(&path).copied().unwrap_or_default();
        let counters = tracker::counters(&session)[&tag][pool];
        let allocated = of(Path::BigPool) + of(Path::SmallPool) + of(Path::Cached);
        assert_eq!(allocated, counters.allocations, "{tag:?}");
        assert_eq!(
            of(Path::FreeBig) + of(Path::FreeSmall),
            counters.frees,
            "{tag:?}"
        );
    }
}

/// From too small for the images to large enough for the kernel to boot, and on.
#[test]
fn a_guest_of_any_size_boots_or_says_why_not() {
    let (mut too_small, mut bug_checks, mut booted) = (0, 0, 0);
    for bytes in (4 * MIB..6 * MIB).step_by(64 * KIB as usize) {
        let built = Lab::builder().memory(bytes).build();
        match built {
            Err(LabError::Memory(_)) => too_small += 1,
            Err(LabError::Boot {
                bug_check: Some(_), ..
            }) => bug_checks += 1,
            Err(other) => panic!("{bytes:#x} bytes: {other}"),
            Ok(lab) => {
                booted += 1;
                let mut session = Session::new(lab);
                let (failures, _) = run(&mut session);
                // The device may not even have been opened.
                let opened = failures != u32::MAX;
                let failed = if opened { failures } else { REQUESTS as u32 };
                assert_eq!(failed, REQUESTS as u32 - successes(&session), "{bytes:#x}");
                assert!(failures > 0);
            }
        }
    }
    assert!(
        too_small > 0 && bug_checks > 0 && booted > 0,
        "{too_small} {bug_checks} {booted}"
    );
}
