//! The flags and extended parameters of `ExAllocatePool2` and `ExAllocatePool3`. The rules are
//! Microsoft's: "POOL_FLAGS" ("If the allocator does not recognize the flag or cannot make an
//! allocation satisfying all required flags the allocation fails"; "If the allocator does not
//! recognize an optional flag it ignores it"), "ExAllocatePool2" and "ExAllocatePool3" ("The
//! following conditions cause the function to return NULL by default. If POOL_FLAG_RAISE_ON_FAILURE is
//! specified, the function raises an exception": too little memory, a tag of 0, invalid flags, invalid
//! parameters), and "POOL_EXTENDED_PARAMETER" ("Type must be recognized by the pool allocator or the
//! allocation fails", unless it is optional; "If there is not enough space for the specified priority
//! the allocation fails").

use crate::guest::{PARAMETER_OPTIONAL, PARAMETER_PRIORITY, Pool};
use poolhit::address::Va;

const TAG: u64 = u32::from_le_bytes(*b"TstG") as u64;
const STATUS_INSUFFICIENT_RESOURCES: u32 = 0xc000_009a;

const USE_QUOTA: u64 = 1;
const UNINITIALIZED: u64 = 2;
const SESSION: u64 = 4;
const CACHE_ALIGNED: u64 = 8;
const RESERVED1: u64 = 0x10;
const RAISE: u64 = 0x20;
const NON_PAGED: u64 = 0x40;
const NON_PAGED_EXECUTE: u64 = 0x80;
const PAGED: u64 = 0x100;
const POOLS: [(u64, u8); 3] = [(NON_PAGED, 2), (NON_PAGED_EXECUTE, 2), (PAGED, 3)];

const SMALL: u64 = 0x100;
const LARGE: u64 = 0x2000;

fn pool_that_hits() -> Pool {
    let mut pool = Pool::new();
    pool.set_hit_tag(TAG as u32);
    pool
}

/// Both routines refuse: with NULL, or with an exception; the pool has not been asked.
#[track_caller]
fn refused(pool: &mut Pool, flags: u64, bytes: u64, tag: u64) {
    let before = pool.trackers();
    for routine in ["ExAllocatePool2", "ExAllocatePool3"] {
        let called = pool.call(routine, &[flags, bytes, tag, 0, 0]);
        let what = format!("{routine}({flags:#x}, {bytes:#x}, {tag:#x})");
        assert_eq!((called.value, called.hits), (0, vec![]), "{what}");
        assert_eq!(pool.trackers(), before, "{what}");
        let arguments = [flags | RAISE, bytes, tag, 0, 0];
        pool.raises(routine, &arguments, STATUS_INSUFFICIENT_RESOURCES);
        pool.restore();
        pool.set_hit_tag(TAG as u32);
    }
}

#[test]
fn a_flag_names_the_pool() {
    let mut pool = pool_that_hits();
    for (flags, pool_type) in POOLS {
        let called = pool.call("ExAllocatePool2", &[flags, SMALL, TAG]);
        assert_eq!(called.hits.len(), 1);
        assert_eq!(pool.read(called.value - 13, 1), [pool_type], "{flags:#x}");
        pool.call("ExFreePoolWithTag", &[called.value, TAG]);
    }
}

#[test]
fn invalid_flags_are_refused() {
    let mut pool = pool_that_hits();
    let wrong_pools = [
        0,
        NON_PAGED | PAGED,
        NON_PAGED | NON_PAGED_EXECUTE,
        NON_PAGED_EXECUTE | PAGED,
        NON_PAGED | NON_PAGED_EXECUTE | PAGED,
    ];
    for flags in wrong_pools {
        refused(&mut pool, flags, SMALL, TAG);
        refused(&mut pool, flags | CACHE_ALIGNED | UNINITIALIZED, LARGE, TAG);
    }
    // Reserved, unknown, or not to be had: there is no session pool.
    for flag in [SESSION, RESERVED1, 0x200, 0x400, 0x800, 0x8000_0000] {
        refused(&mut pool, PAGED | flag, SMALL, TAG);
    }
    for (flags, bytes, tag) in [
        (PAGED, SMALL, 0),
        (NON_PAGED, 0, TAG),
        (PAGED, 1 << 30, TAG),
    ] {
        refused(&mut pool, flags, bytes, tag);
    }
}

#[test]
fn optional_flags_are_ignored() {
    let mut pool = pool_that_hits();
    for bit in 32..64 {
        let called = pool.call("ExAllocatePool2", &[PAGED | 1 << bit, SMALL, TAG]);
        assert_eq!(
            (called.value == 0, called.hits.len()),
            (false, 1),
            "bit {bit}"
        );
    }
}

#[test]
fn memory_is_zeroed_unless_it_may_be_anything() {
    let mut pool = pool_that_hits();
    for (flags, pool_type) in POOLS {
        // From the lists, from the processor's cache, and whole pages: each used before.
        for bytes in [0x300, SMALL, 0x67, LARGE, 0x1235] {
            let kind = u64::from(pool_type & 1);
            let before = pool
                .call("ExAllocatePoolWithTag", &[kind, bytes, TAG])
                .value;
            pool.write(before, &vec![0xa5; bytes as usize]);
            pool.call("ExFreePoolWithTag", &[before, TAG]);
            let called = pool.call("ExAllocatePool2", &[flags, bytes, TAG]);
            assert_eq!(called.value, before, "the same memory");
            let contents = pool.read(before, bytes as usize);
            assert!(contents.iter().all(|byte| *byte == 0), "{bytes:#x}");
            pool.write(before, &vec![0xa5; bytes as usize]);
            pool.call("ExFreePoolWithTag", &[before, TAG]);
            let again = [flags | UNINITIALIZED, bytes, TAG];
            assert_eq!(pool.call("ExAllocatePool2", &again).value, before);
            // The first words are links on a list.
            let rest = pool.read(before + 16, bytes as usize - 16);
            if bytes < 0x1000 {
                assert!(rest.iter().all(|byte| *byte == 0xa5), "left as it was");
            }
        }
    }
}

/// "Cache align the pool allocation": at addresses of whole cache lines, and without another block
/// in the last.
#[test]
fn blocks_are_aligned_to_cache_lines() {
    let mut pool = pool_that_hits();
    for (flags, _) in POOLS {
        for bytes in [
            1, 0x10, 0x30, 0x3f, 0x40, 0x41, 0x200, 0xf81, 0xfc0, 0xfc1, 0xfe0, 0xfe1,
        ] {
            for _ in 0..4 {
                // something odd in between, so that what is free lies anywhere
                pool.call("ExAllocatePool2", &[flags, bytes / 3 + 1, TAG]);
                let called = pool.call("ExAllocatePool2", &[flags | CACHE_ALIGNED, bytes, TAG]);
                assert_eq!(called.hits.len(), 1, "{bytes:#x}");
                assert_eq!(called.value % 64, 0, "{bytes:#x} at {:x}", called.value);
                if bytes <= 0xfc0 {
                    let units = u64::from(pool.read(called.value - 14, 1)[0]);
                    assert_eq!(units * 16 - 16, bytes.next_multiple_of(64));
                } else {
                    assert_eq!(called.value % 0x1000, 0);
                }
            }
        }
    }
    // A block in the processor's cache is aligned by chance only: it is left there.
    let odd = |pool: &mut Pool, flags| pool.call("ExAllocatePool2", &[flags, 0x40, TAG]).value;
    for _ in 0..4 {
        let block = odd(&mut pool, PAGED);
        pool.call("ExFreePool", &[block]);
        assert_eq!(odd(&mut pool, PAGED | CACHE_ALIGNED) % 64, 0);
    }
    assert_eq!(crate::free_lists::check(&pool), Ok(()));
}

/// An aligned block given back leaves nothing behind.
#[test]
fn aligned_blocks_grow_together_again() {
    let mut pool = pool_that_hits();
    for flags in [NON_PAGED, PAGED] {
        let before = pool.descriptor(usize::from(flags == PAGED));
        let blocks: Vec<u64> = (0..40)
            .map(|number| {
                let aligned = if number % 2 == 0 { CACHE_ALIGNED } else { 0 };
                let bytes = 0x201 + number * 0x31;
                pool.call("ExAllocatePool2", &[flags | aligned, bytes, TAG])
                    .value
            })
            .collect();
        assert_eq!(crate::free_lists::check(&pool), Ok(()));
        for block in blocks {
            pool.call("ExFreePool", &[block]);
        }
        let after = pool.descriptor(usize::from(flags == PAGED));
        assert_eq!(
            (after.3, after.0 - before.0, after.1 - before.1),
            (before.3, 40, 40)
        );
        assert_eq!(crate::free_lists::check(&pool), Ok(()));
    }
}

#[test]
fn quota_is_charged_if_asked_for() {
    let mut pool = pool_that_hits();
    let process = pool.process();
    for (flags, pool_type) in POOLS {
        let before = pool.quota().usage;
        let called = pool.call("ExAllocatePool2", &[flags | USE_QUOTA, SMALL, TAG]);
        let kind = usize::from(pool_type & 1);
        assert_eq!(pool.quota().usage[kind] - before[kind], SMALL + 16);
        assert_eq!(pool.u64(Va(called.value - 8)), process, "ProcessBilled");
        pool.call("ExFreePoolWithTag", &[called.value, TAG]);
        assert_eq!(pool.quota().usage, before);
    }
}

/// A parameter: its first word, and its second.
fn with_parameters(
    pool: &mut Pool,
    flags: u64,
    bytes: u64,
    parameters: &[[u64; 2]],
) -> (u64, usize) {
    let at = pool
        .call("ExAllocatePoolWithTag", &[0, 0x80, TAG ^ 1])
        .value;
    pool.write_words(at, parameters.as_flattened());
    let arguments = [flags, bytes, TAG, at, parameters.len() as u64];
    let called = pool.call("ExAllocatePool3", &arguments);
    (called.value, called.hits.len())
}

#[test]
fn unknown_parameters_are_refused_unless_they_are_optional() {
    let mut pool = pool_that_hits();
    let priority = [PARAMETER_PRIORITY, 16];
    // PoolExtendedParameterInvalidType, SecurePool, NumaNode, and what is none
    for unknown in [0, 2, 3, 4, 0xff] {
        let parameter = [unknown, 0];
        let optional = [unknown | PARAMETER_OPTIONAL, u64::MAX];
        for parameters in [
            &[parameter][..],
            &[priority, parameter],
            &[optional, parameter],
        ] {
            assert_eq!(with_parameters(&mut pool, PAGED, SMALL, parameters), (0, 0));
        }
        for parameters in [
            &[optional][..],
            &[optional, priority],
            &[optional, optional],
        ] {
            let (block, hits) = with_parameters(&mut pool, PAGED, SMALL, parameters);
            assert_eq!((block == 0, hits), (false, 1), "{unknown}");
        }
    }
    let at = pool
        .call("ExAllocatePoolWithTag", &[0, 0x80, TAG ^ 1])
        .value;
    pool.write_words(at, &[0xff, 0]);
    let arguments = [PAGED | RAISE, SMALL, TAG, at, 1];
    pool.raises("ExAllocatePool3", &arguments, STATUS_INSUFFICIENT_RESOURCES);
}

/// Requests of low priority leave the last memory alone; those of normal and high priority get it.
#[test]
fn a_low_priority_is_refused_first() {
    let mut pool = pool_that_hits();
    let is_given = |pool: &mut Pool, priority: u64| {
        let parameters = [[PARAMETER_PRIORITY, priority]];
        let (block, hits) = with_parameters(pool, NON_PAGED, 0x8000, &parameters);
        assert_eq!(hits, usize::from(block != 0));
        block != 0
    };
    assert!(is_given(&mut pool, 0), "there is memory enough");
    while is_given(&mut pool, 0) {}
    for priority in [0, 8, 9] {
        assert!(!is_given(&mut pool, priority), "{priority}");
    }
    for priority in [16, 24, 32, 41] {
        assert!(is_given(&mut pool, priority), "{priority}");
    }
    let old = "ExAllocatePoolWithTagPriority";
    assert_eq!(pool.call(old, &[0, 0x8000, TAG, 0]).value, 0);
    assert_ne!(pool.call(old, &[0, 0x8000, TAG, 16]).value, 0);
    // The last of several holds.
    let parameters = [[PARAMETER_PRIORITY, 32], [PARAMETER_PRIORITY, 0]];
    assert_eq!(
        with_parameters(&mut pool, NON_PAGED, 0x8000, &parameters),
        (0, 0)
    );
}
