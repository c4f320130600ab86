//! More tags than `PoolTrackTable` has entries: the rest is counted in its last.

use crate::guest::{Counters, OVERFLOW, Pool};
use poolhit::Session;
use std::collections::BTreeMap;

const ENTRIES: usize = 1025;
const TAGS: u32 = 1200;

fn tag(number: u32) -> u32 {
    // four letters and digits each
    let digit = |at: u32| u32::from(b'a') + (number / 26u32.pow(at)) % 26;
    u32::from(b'~') | digit(0) << 8 | digit(1) << 16 | digit(2) << 24
}

fn add(sums: &mut Counters, more: &Counters) {
    for pool in 0..2 {
        sums.allocations[pool] += more.allocations[pool];
        sums.frees[pool] += more.frees[pool];
        sums.bytes[pool] += more.bytes[pool];
    }
}

/// What each tag has counted, by the requests made.
struct Expected(BTreeMap<u32, Counters>);

impl Expected {
    fn allocated(&mut self, tag: u32, pool: usize, bytes: u64) {
        let one = self.0.entry(tag).or_default();
        one.allocations[pool] += 1;
        one.bytes[pool] += bytes;
    }

    fn freed(&mut self, tag: u32, pool: usize, bytes: u64) {
        let one = self.0.entry(tag).or_default();
        one.frees[pool] += 1;
        one.bytes[pool] -= bytes;
    }

    /// Every tag has its own entry with its own counters, or is part of the last one's.
    #[track_caller]
    fn check(&self, pool: &Pool) -> Vec<u32> {
        let entries = pool.tracker_entries();
        assert_eq!(entries.len(), ENTRIES);
        let (last, own) = entries.split_last().unwrap();
        assert_eq!(last.0, OVERFLOW);
        let own: BTreeMap<u32, Counters> = own.iter().copied().collect();
        assert_eq!(own.len(), ENTRIES - 1, "every entry is another tag's");
        assert!(!own.contains_key(&0), "the table is full");
        let mut others = Counters::default();
        let mut without = Vec::new();
        for (tag, counters) in &self.0 {
            match own.get(tag) {
                Some(found) => assert_eq!(found, counters, "{tag:x}"),
                None => {
                    add(&mut others, counters);
                    without.push(*tag);
                }
            }
        }
        assert_eq!(last.1, others);
        without
    }
}

#[test]
fn tags_without_room_are_counted_together() {
    let mut pool = Pool::new();
    let mut expected = Expected(pool.trackers());
    let before = expected.0.len();
    assert!(!expected.0.contains_key(&OVERFLOW));
    let sizes = [0x20u64, 0x300];
    let mut blocks = Vec::new();
    for number in 0..TAGS {
        let (kind, bytes) = (number as usize % 2, sizes[number as usize / 2 % 2]);
        let arguments = [kind as u64, bytes, tag(number).into()];
        let called = pool.call("ExAllocatePoolWithTag", &arguments);
        assert_ne!(called.value, 0);
        expected.allocated(tag(number), kind, bytes + 16);
        blocks.push((called.value, tag(number), kind, bytes + 16));
    }
    let without = expected.check(&pool);
    assert_eq!(without.len(), before + TAGS as usize - (ENTRIES - 1));

    // What is counted together is still compared by its own tag, and by no other's.
    let (one, other) = (without[0], without[1]);
    pool.set_hit_tag(one);
    for (tag, hits) in [(one, 1), (other, 0), (OVERFLOW, 0)] {
        let allocated = pool.call("ExAllocatePoolWithTag", &[1, 0x400, tag.into()]);
        let freed = pool.call("ExFreePool", &[allocated.value]);
        let found = (allocated.hits.len(), freed.hits.len());
        assert_eq!(found, (hits, hits), "{tag:x}");
        expected.allocated(tag, 1, 0x410);
        expected.freed(tag, 1, 0x410);
    }
    pool.set_hit_tag(OVERFLOW);
    let called = pool.call("ExAllocatePoolWithTag", &[1, 0x400, other.into()]);
    assert!(
        called.hits.is_empty(),
        "the entry's name is no tag of theirs"
    );
    expected.allocated(other, 1, 0x410);
    expected.check(&pool);

    for (at, tag, kind, bytes) in blocks.iter().step_by(2) {
        pool.call("ExFreePoolWithTag", &[*at, u64::from(*tag)]);
        expected.freed(*tag, *kind, *bytes);
    }
    assert_eq!(
        expected.check(&pool).len(),
        without.len() + 1,
        "the name itself is one"
    );

    // `!poolused` shows the entry as one tag. Half of the blocks are freed: all nonpaged ones.
    let last = *pool.tracker_entries().last().unwrap();
    let outstanding = last.1.allocations[1] - last.1.frees[1];
    let bytes = last.1.bytes[1];
    assert_eq!(last.1.bytes[0], 0);
    let mut session = Session::new(pool.lab);
    let text = session.execute("!poolused 4").unwrap();
    let line = text.lines().find(|line| line.starts_with(" Ovfl "));
    let words: Vec<&str> = line.unwrap().split_whitespace().take(5).collect();
    let (outstanding, bytes) = (outstanding.to_string(), bytes.to_string());
    assert_eq!(words, ["Ovfl", "0", "0", &outstanding, &bytes]);
}

/// The tag that is nothing without its protection bit: no entry has key 0, so none but the last can
/// be its own. Another's would be counted with it.
#[test]
fn the_protection_bit_alone_has_no_entry() {
    let mut pool = Pool::new();
    let before = pool.trackers();
    let at = pool
        .call("ExAllocatePoolWithTag", &[0, 0x20, 0x8000_0000])
        .value;
    let other = u64::from(tag(0));
    let second = pool.call("ExAllocatePoolWithTag", &[0, 0x40, other]).value;
    pool.call("ExFreePoolWithTag", &[at, 0x8000_0000]);
    pool.call("ExFreePoolWithTag", &[second, other]);
    let mut expected = before;
    let counted = |bytes: u64| Counters {
        allocations: [1, 0],
        frees: [1, 0],
        bytes: [bytes, 0],
    };
    expected.insert(OVERFLOW, counted(0));
    expected.insert(tag(0), counted(0));
    assert_eq!(pool.trackers(), expected);
}
