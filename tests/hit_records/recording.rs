//! Recorded hits: the hits that stop the guest when they are not recorded.

use poolhit::address::Va;
use poolhit::hits::{Hit, HitKind, Keep};
use poolhit::tag::Tag;
use poolhit::{Lab, Session, StopReason};

const LEAK: Tag = Tag::from_bytes(*b"Leak");
const LEA2: Tag = Tag::from_bytes(*b"Lea2");

fn session(tag: Tag) -> Session {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let hit_tag = session.resolve("nt!PoolHitTag").unwrap();
    session.write(hit_tag, &tag.to_bytes()).unwrap();
    session
}

/// What is seen of a hit at a stop: work, site, and the stack by return addresses and names.
type Seen = (u64, Va, Vec<(Va, String)>);

fn seen_at_stops(tag: Tag, limit: usize) -> Vec<Seen> {
    let mut session = session(tag);
    let mut seen = Vec::new();
    while seen.len() < limit {
        let stop = session.go().unwrap();
        if stop.reason != StopReason::BreakInstruction {
            break;
        }
        seen.push((stop.work, stop.address, rows(&session.stack(256))));
    }
    seen
}

fn rows(stack: &poolhit::debugger::CallStack) -> Vec<(Va, String)> {
    let frames = stack.frames.iter();
    frames
        .map(|frame| (frame.return_address, frame.to_string()))
        .collect()
}

fn run_to_end(session: &mut Session) {
    let stop = session.go().unwrap();
    assert!(matches!(stop.reason, StopReason::Idle { .. }), "{stop:?}");
}

#[test]
fn what_is_recorded_is_what_stops() {
    for tag in [LEAK, LEA2] {
        let stops = seen_at_stops(tag, usize::MAX);
        let mut session = session(tag);
        session.record_hits(Keep::First(1 << 20));
        run_to_end(&mut session);
        let recorder = session.recorded_hits().unwrap();
        assert_eq!(recorder.count(), stops.len() as u64);
        let hits: Vec<Hit> = recorder.hits().collect();
        assert_eq!(hits.len(), stops.len());
        for (number, (hit, stop)) in hits.iter().zip(&stops).enumerate() {
            let stack = session.hit_stack(hit.stack).unwrap();
            // A debugger goes on behind an int 3; one that is passed retires, a byte each.
            let passed = number as u64;
            assert_eq!((hit.site, &rows(&stack)), (stop.1, &stop.2), "hit {number}");
            // The clock ticks in front of a block of code, and a stop makes two of one.
            let work = (hit.work - passed).abs_diff(stop.0);
            assert!(work < 64, "hit {number}: {work}");
            assert_eq!((hit.sequence, hit.processor), (number as u64, 1));
            assert_eq!(hit.tag, tag);
        }
    }
}

/// Each block of the driver's that is freed was allocated before, and is known by both.
#[test]
fn blocks_are_known() {
    let mut session = session(LEAK);
    session.record_hits(Keep::First(1 << 20));
    run_to_end(&mut session);
    let recorder = session.recorded_hits().unwrap();
    let mut live = Vec::new();
    let (mut freed, mut bytes) = (0, 0);
    for hit in recorder.hits() {
        let block = hit.block.unwrap();
        match hit.kind {
            HitKind::Allocate => {
                assert!(!live.contains(&block), "{block} is allocated twice");
                assert_eq!(hit.pool_type, Some(0));
                bytes += hit.bytes.unwrap();
                live.push(block);
            }
            HitKind::Free => {
                let known = live.iter().position(|one| *one == block);
                live.remove(known.expect("what is freed was allocated"));
                assert_eq!((hit.bytes, hit.pool_type), (None, None));
                freed += 1;
            }
        }
    }
    assert!(freed > 0 && !live.is_empty() && bytes > 0);
    // The pool's own counters say the same.
    let listing = session.execute("!poolused 3 Leak").unwrap();
    let row = listing
        .lines()
        .find(|line| line.starts_with(" Leak"))
        .unwrap();
    let columns: Vec<usize> = row
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(columns[..3], [live.len() + freed, freed, live.len()]);
}

#[test]
fn what_is_kept_is_what_was_asked_for() {
    let all = {
        let mut session = session(LEAK);
        session.record_hits(Keep::First(usize::MAX));
        run_to_end(&mut session);
        session.stop_recording().unwrap().hits().collect::<Vec<_>>()
    };
    assert!(all.len() > 100);
    for keep in [
        Keep::Counts,
        Keep::Last(0),
        Keep::Last(1),
        Keep::Last(7),
        Keep::Last(all.len()),
        Keep::Last(all.len() + 1),
        Keep::First(0),
        Keep::First(5),
    ] {
        let mut session = session(LEAK);
        session.record_hits(keep);
        run_to_end(&mut session);
        let recorder = session.stop_recording().unwrap();
        let expected = match keep {
            Keep::Counts => &[],
            Keep::Last(limit) => &all[all.len().saturating_sub(limit)..],
            Keep::First(limit) => &all[..limit],
        };
        assert_eq!(recorder.hits().collect::<Vec<_>>(), expected, "{keep:?}");
        assert_eq!(recorder.count(), all.len() as u64);
        let by_site: u64 = recorder.sites().map(|(_, hits)| hits).sum();
        let stacks = recorder.stacks().len() as u32;
        let ids = (0..stacks).map(poolhit::hits::StackId);
        let by_stack: u64 = ids.map(|id| recorder.count_of(id)).sum();
        assert_eq!((by_site, by_stack), (recorder.count(), recorder.count()));
    }
}

#[test]
fn hits_stop_again_when_nothing_records_them() {
    let mut session = session(LEAK);
    session.record_hits(Keep::Counts);
    session.set_budget(200_000);
    session.go().unwrap();
    let recorded = session.stop_recording().unwrap().count();
    assert!(recorded > 0);
    assert_eq!(session.go().unwrap().reason, StopReason::BreakInstruction);
}

/// The user's own breakpoints stop, recorded hits or not; a patched site is recorded only where
/// something makes the guest come by.
#[test]
fn breakpoints_stop_while_hits_are_recorded() {
    let mut session = session(LEAK);
    session.record_hits(Keep::First(100));
    session.execute("bp fffff800`01479900").unwrap();
    let stop = session.go().unwrap();
    assert_eq!(stop.reason, StopReason::Breakpoint { number: 0 });
    let at_stop = session.recorded_hits().unwrap().count();
    session.execute("bc *").unwrap();
    run_to_end(&mut session);
    let recorder = session.recorded_hits().unwrap();
    let hit = recorder.hits().nth(at_stop as usize).unwrap();
    assert_eq!((hit.site, hit.work), (stop.address, stop.work));
}

/// The same whether something stops at a patched site or goes on from it.
#[test]
fn hits_at_patched_sites_are_whole() {
    let recorded = |command: &str| {
        let mut session = session(LEAK);
        for site in [
            "fffff800`014798f6",
            "fffff800`0160f5b7",
            "fffff800`0160f5dd",
        ] {
            session.execute(&format!("eb {site} 90")).unwrap();
            session
                .execute(&format!("bp {site} \"{command}\""))
                .unwrap();
        }
        session.record_hits(Keep::First(1 << 10));
        session.set_budget(1 << 21);
        session.execute("g").unwrap_err();
        let recorder = session.stop_recording().unwrap();
        let hits = recorder.hits().map(|hit| (hit.work, hit.site, hit.block));
        hits.collect::<Vec<_>>()
    };
    let (passing, stopping) = (recorded("k 3;g"), recorded("? 1;g"));
    let unknown =
        |hits: &[(u64, Va, Option<Va>)]| hits.iter().filter(|hit| hit.2.is_none()).count();
    assert!(passing.len() > 20, "{}", passing.len());
    // The last ones' calls may be under way.
    assert!(unknown(&passing) <= 2, "{passing:x?}");
    assert_eq!(passing, stopping);
}
