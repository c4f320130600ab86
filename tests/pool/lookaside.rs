//! Drivers' lookaside lists (Microsoft, "Using Lookaside Lists"; `_GENERAL_LOOKASIDE` of Windows 7
//! x64), the lists' header and the list of all lists. Random sequences of them are in `sequences`.

use crate::guest::{ListCounters, Pool};
use poolhit::address::Va;

const TAG: u64 = u32::from_le_bytes(*b"TstN") as u64;
const POOLS: [&str; 2] = ["NPaged", "Paged"];
const STATUS_INSUFFICIENT_RESOURCES: u32 = 0xc000_009a;
const STATUS_DATATYPE_MISALIGNMENT: u32 = 0x8000_0002;
const RAISE: u64 = 0x10;

/// `_GENERAL_LOOKASIDE`: the fields that are not counters.
const DEPTH: u64 = 0x10;
const TYPE: u64 = 0x24;
const ENTRY_TAG: u64 = 0x28;
const SIZE: u64 = 0x2c;
const ALLOCATE: u64 = 0x30;
const FREE: u64 = 0x38;
const LIST_ENTRY: u64 = 0x40;

/// A list in a block of its own, with the default routines.
fn make(pool: &mut Pool, kind: usize, flags: u64, bytes: u64, tag: u64) -> u64 {
    let at = pool
        .call("ExAllocatePoolWithTag", &[0, 0x80, TAG ^ 1])
        .value;
    let routine = format!("ExInitialize{}LookasideList", POOLS[kind]);
    pool.call(&routine, &[at, 0, 0, flags, bytes, tag, 0]);
    at
}

#[test]
fn the_structure_is_windows() {
    let mut pool = Pool::new();
    for (kind, flags, bytes, size) in [(0, 0, 0x123, 0x123), (1, RAISE, 3, 8)] {
        let at = make(&mut pool, kind, flags, bytes, TAG);
        let routines = ["ExAllocatePoolWithTag", "ExFreePool"].map(|name| pool.symbol(name).0);
        assert_eq!(
            pool.u32(Va(at + DEPTH)),
            4 | 256 << 16,
            "Depth and MaximumDepth"
        );
        assert_eq!(u64::from(pool.u32(Va(at + TYPE))), kind as u64 | flags);
        assert_eq!(u64::from(pool.u32(Va(at + ENTRY_TAG))), TAG);
        assert_eq!(pool.u32(Va(at + SIZE)), size);
        assert_eq!(
            [ALLOCATE, FREE].map(|field| pool.u64(Va(at + field))),
            routines
        );
        assert_eq!(pool.list(at), ListCounters::default());
        assert_eq!(pool.u64(Va(at + 8)), 0, "no entries");
    }
}

/// `ExNPagedLookasideListHead` and `ExPagedLookasideListHead`, for debuggers.
#[test]
fn all_lists_are_linked() {
    let mut pool = Pool::new();
    for (kind, name) in POOLS.iter().enumerate() {
        let head = pool.symbol(&format!("Ex{name}LookasideListHead"));
        let lists = |pool: &Pool| {
            let mut found = Vec::new();
            let mut link = pool.u64(head);
            while link != head.0 {
                assert_eq!(pool.u64(Va(pool.u64(Va(link)) + 8)), link, "Blink");
                found.push(link - LIST_ENTRY);
                link = pool.u64(Va(link));
            }
            found
        };
        assert_eq!(lists(&pool), []);
        let made = [0; 3].map(|_| make(&mut pool, kind, 0, 0x40, TAG));
        assert_eq!(lists(&pool), made);
        pool.call(&format!("ExDelete{name}LookasideList"), &[made[1]]);
        assert_eq!(lists(&pool), [made[0], made[2]]);
    }
}

/// With a depth that a debugger or the balance set manager changed, so many entries are kept.
#[test]
fn the_depth_is_read_each_time() {
    let mut pool = Pool::new();
    for (kind, name) in POOLS.iter().enumerate() {
        for depth in [0u16, 1, 7] {
            let at = make(&mut pool, kind, 0, 0x300, TAG);
            pool.write(at + DEPTH, &depth.to_le_bytes());
            let get = format!("ExAllocateFrom{name}LookasideList");
            let put = format!("ExFreeTo{name}LookasideList");
            let entries = [0; 9].map(|_| pool.call(&get, &[at]).value);
            pool.set_hit_tag(TAG as u32);
            let hits = entries.map(|entry| pool.call(&put, &[at, entry]).hits.len());
            let kept = usize::from(depth);
            let expected: Vec<usize> = (0..9).map(|number| usize::from(number >= kept)).collect();
            assert_eq!(hits.to_vec(), expected, "{depth}");
            let counters = pool.list(at);
            assert_eq!(
                (counters.kept, counters.free_misses),
                (depth, 9 - u32::from(depth))
            );
            assert_eq!(
                pool.call("ExQueryDepthSList", &[at]).value & 0xffff,
                kept as u64
            );
            pool.set_hit_tag(0);
        }
    }
}

/// A list of entries with a routine of the driver's own: it is asked instead of the pool.
#[test]
fn a_drivers_own_routines_are_called() {
    let mut pool = Pool::new();
    let at = pool
        .call("ExAllocatePoolWithTag", &[0, 0x80, TAG ^ 1])
        .value;
    // Two routines of the kernel with the signatures wanted: what each does can be told from the
    // default's doing.
    let own =
        ["ExAllocatePoolWithQuotaTag", "ExpInterlockedFlushSList"].map(|name| pool.symbol(name).0);
    pool.call(
        "ExInitializePagedLookasideList",
        &[at, own[0], own[1], 0, 0x100, TAG, 0],
    );
    let before = pool.quota();
    let entry = pool.call("ExAllocateFromPagedLookasideList", &[at]).value;
    assert_eq!(pool.quota().usage[1], before.usage[1] + 0x110);
    // The free routine here empties the entry, as if it were a list's header.
    pool.write(at + DEPTH, &[0]);
    pool.write_words(entry, &[7, entry]);
    pool.call("ExFreeToPagedLookasideList", &[at, entry]);
    assert_eq!(pool.u64(Va(entry + 8)), 0);
}

#[test]
fn what_the_pool_refuses_the_list_refuses() {
    let mut pool = Pool::new();
    pool.set_hit_tag(TAG as u32);
    for (kind, name) in POOLS.iter().enumerate() {
        let get = format!("ExAllocateFrom{name}LookasideList");
        // The structure has room for 32 bits of the size: it is not another, smaller one.
        for bytes in [1 << 28, (1 << 32) + 0x10, u64::MAX] {
            let at = make(&mut pool, kind, 0, bytes, TAG);
            let called = pool.call(&get, &[at]);
            assert_eq!((called.value, called.hits), (0, vec![]), "{bytes:#x}");
            let counters = pool.list(at);
            assert_eq!((counters.allocates, counters.allocate_misses), (1, 1));
            let at = make(&mut pool, kind, RAISE, bytes, TAG);
            pool.raises(&get, &[at], STATUS_INSUFFICIENT_RESOURCES);
            pool.restore();
            pool.set_hit_tag(TAG as u32);
        }
    }
}

/// What a list gives back, it gives back without a tag.
#[test]
fn a_protected_tag_does_not_suit_a_list() {
    let mut pool = Pool::new();
    let tag = TAG | 0x8000_0000;
    let at = make(&mut pool, 0, 0, 0x40, tag);
    let entry = pool.call("ExAllocateFromNPagedLookasideList", &[at]).value;
    pool.call("ExFreeToNPagedLookasideList", &[at, entry]);
    let check = pool.bug_check("ExDeleteNPagedLookasideList", &[at]);
    assert_eq!((check.code, check.parameters), (0xc2, [0xa, entry, tag, 0]));
}

/// `SLIST_HEADER` on x64: the depth in the low 16 bits, a count of changes above it; the first
/// entry's address in the second word.
#[test]
fn lists_headers() {
    let mut pool = Pool::new();
    let block = pool.call("ExAllocatePoolWithTag", &[0, 0x100, TAG]).value;
    let entries = [1, 2, 3].map(|number| block + number * 0x20);
    pool.write(block, &[0xff; 16]);
    pool.call("InitializeSListHead", &[block]);
    let header = |pool: &Pool| [pool.u64(Va(block)), pool.u64(Va(block + 8))];
    assert_eq!(header(&pool), [0, 0]);
    for (number, entry) in entries.into_iter().enumerate() {
        let before = pool
            .call("ExpInterlockedPushEntrySList", &[block, entry])
            .value;
        assert_eq!(before, if number == 0 { 0 } else { entries[number - 1] });
        let count = number as u64 + 1;
        assert_eq!(header(&pool), [count | count << 16, entry]);
        assert_eq!(pool.u64(Va(entry)), before, "Next");
    }
    assert_eq!(
        pool.call("ExpInterlockedPopEntrySList", &[block]).value,
        entries[2]
    );
    assert_eq!(header(&pool), [2 | 4 << 16, entries[1]]);
    assert_eq!(
        pool.call("ExpInterlockedFlushSList", &[block]).value,
        entries[1]
    );
    assert_eq!(header(&pool)[1], 0);
    assert_eq!(pool.call("ExQueryDepthSList", &[block]).value & 0xffff, 0);
    for routine in ["ExpInterlockedPopEntrySList", "ExpInterlockedFlushSList"] {
        assert_eq!(pool.call(routine, &[block]).value, 0);
    }
    // On 64-bit platforms the header has to be aligned to 16 bytes (Microsoft, "ExInitializeSListHead").
    pool.raises(
        "InitializeSListHead",
        &[block + 8],
        STATUS_DATATYPE_MISALIGNMENT,
    );
}

/// Drivers get these by name.
#[test]
fn the_kernel_exports_the_family() {
    let image = poolhit_fixtures::prebuilt::KERNEL.bytes;
    let image = poolhit::image::PeImage::parse("ntoskrnl.exe", image).unwrap();
    for name in [
        "ExAllocateFromNPagedLookasideList",
        "ExAllocateFromPagedLookasideList",
        "ExAllocatePoolWithQuota",
        "ExDeleteNPagedLookasideList",
        "ExDeletePagedLookasideList",
        "ExFreeToNPagedLookasideList",
        "ExFreeToPagedLookasideList",
        "ExInitializeNPagedLookasideList",
        "ExInitializePagedLookasideList",
        "ExQueryDepthSList",
        "ExpInterlockedFlushSList",
        "ExpInterlockedPopEntrySList",
        "ExpInterlockedPushEntrySList",
        "InitializeSListHead",
    ] {
        assert!(image.export(name).is_some(), "{name}");
    }
}
