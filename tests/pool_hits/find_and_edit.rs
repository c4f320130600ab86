//! A tag that a driver passes at several places, one of which leaks: each place gets a tag of its
//! own, and then only the leaking one's grows. The steps of `tests/transcripts/find_and_edit.kd`.

use poolhit::address::Va;
use poolhit::guest::pool::PoolUse;
use poolhit::tag::Tag;
use poolhit::{Lab, Session, StopReason};
use std::collections::BTreeMap;

const LEAK: Tag = Tag::from_bytes(*b"Leak");
const LEA1: Tag = Tag::from_bytes(*b"Lea1");
const LEA2: Tag = Tag::from_bytes(*b"Lea2");

/// What each tag has been used for, in nonpaged and in paged pool.
type Counts = BTreeMap<Tag, [PoolUse; 2]>;

fn counts(session: &Session) -> Counts {
    let trackers = session.lab().pool().unwrap().trackers().unwrap();
    let both = |one: &poolhit::guest::pool::PoolTracker| (one.tag, [one.nonpaged, one.paged]);
    trackers.iter().map(both).collect()
}

/// Lets the program work, and then come to its next request: there none is under way.
fn work(session: &mut Session, work: u64) -> Counts {
    session.break_in_after(work);
    assert_eq!(session.go().unwrap().reason, StopReason::BreakIn);
    let boundary = session
        .resolve("kernel32!DeviceIoControlImplementation")
        .unwrap();
    session.set_breakpoint(boundary, "").unwrap();
    let stop = session.go().unwrap();
    assert_eq!(stop.reason, StopReason::Breakpoint { number: 0 });
    assert_eq!(stop.address, boundary);
    session.clear_breakpoint(0).unwrap();
    counts(session)
}

/// Where drivers have the tag.
fn find(session: &mut Session, tag: &str) -> Vec<Va> {
    let line = format!("!for_each_module s -a @#Base @#End \"{tag}\"");
    let text = session.execute(&line).unwrap();
    let address = |row: &str| u64::from_str_radix(&row[..17].replace('`', ""), 16).unwrap();
    text.lines().map(|row| Va(address(row))).collect()
}

/// How many more blocks of each tag are there, in each pool, if there are more in one.
fn grown(before: &Counts, after: &Counts) -> Vec<(Tag, [i64; 2])> {
    let outstanding = |counts: &Counts, tag: &Tag, pool: usize| {
        let used = counts.get(tag).map(|pools| pools[pool].outstanding());
        i64::from(used.unwrap_or(0))
    };
    let growth = |tag: &Tag| {
        [0, 1].map(|pool| outstanding(after, tag, pool) - outstanding(before, tag, pool))
    };
    let all = after.keys().map(|tag| (*tag, growth(tag)));
    all.filter(|(_, growth)| growth.iter().any(|more| *more > 0))
        .collect()
}

/// Wherever the break-ins fall.
#[test]
fn only_the_leaking_place_grows_after_the_edit() {
    for (first, second, third) in [
        (1_000_000, 1_000_000, 1_000_000),
        (1_000, 333_333, 777_777),
        (1_234_567, 154_321, 200_003),
    ] {
        let mut session = Session::new(Lab::builder().build().unwrap());
        let before = work(&mut session, first);
        let later = work(&mut session, second);
        // The tag leaks, and not all that has it does.
        let tags: Vec<_> = grown(&before, &later)
            .into_iter()
            .map(|one| one.0)
            .collect();
        assert_eq!(tags, [LEA2, LEAK]);
        let [leak, _] = later[&LEAK];
        assert!(leak.frees > before.get(&LEAK).map_or(0, |pools| pools[0].frees));

        // Three places: two allocate, the third frees. Give the first a tag of its own.
        let places = find(&mut session, "Leak");
        assert_eq!(places.len(), 3);
        session
            .execute(&format!("ea {} \"Lea1\"", places[0]))
            .unwrap();
        assert_eq!(find(&mut session, "Leak"), places[1..]);

        let edited = work(&mut session, third);
        check(&later, &edited);
        let stop = session.go().unwrap();
        let exit_status = Some(0);
        assert_eq!(stop.reason, StopReason::Idle { exit_status });
        check(&later, &counts(&session));
    }
}

/// Since the edit, `Lea1` has grown and `Leak` has not; nor has anything else but the program's
/// other leak, of paged pool.
#[track_caller]
fn check(before: &Counts, after: &Counts) {
    let grown: BTreeMap<_, _> = grown(before, after).into_iter().collect();
    let nonpaged: Vec<_> = grown.iter().filter(|(_, growth)| growth[0] > 0).collect();
    let lea1 = after[&LEA1][0];
    assert_eq!(nonpaged, [(&LEA1, &[i64::from(lea1.allocs), 0])]);
    assert!(lea1.allocs > 0 && lea1.frees == 0, "{lea1:?}");
    let paged = grown.iter().filter(|(_, growth)| growth[1] > 0);
    assert_eq!(paged.map(|one| *one.0).collect::<Vec<_>>(), [LEA2]);
    // Leak goes on being allocated, and each of these is freed.
    let (old, new) = (before[&LEAK][0], after[&LEAK][0]);
    assert!(new.allocs > old.allocs, "{old:?} {new:?}");
    assert_eq!(new.allocs - old.allocs, new.frees - old.frees);
    assert_eq!(new.bytes, old.bytes);
}
