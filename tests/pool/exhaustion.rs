//! The pool used up, by a leak that never ends.

use crate::free_lists;
use crate::guest::Pool;
use poolhit::Lab;
use poolhit::guest::pool::PoolKind;

const TAG: u64 = u32::from_le_bytes(*b"TstL") as u64;

#[test]
fn a_leak_loop_ends_in_refusals_and_the_statistics_add_up() {
    for (kind, bytes) in [(0u64, 0x300u64), (1, 0x300), (0, 0x2000), (1, 0x5000)] {
        let mut pool = Pool::with_memory(8 << 20);
        let (mut given, mut refused) = (0u32, 0);
        let tag = TAG as u32;
        pool.set_hit_tag(tag);
        while refused < 3 {
            let called = pool.call("ExAllocatePoolWithTag", &[kind, bytes, tag.into()]);
            if called.value == 0 {
                assert!(called.hits.is_empty(), "a request that fails does not hit");
                refused += 1;
            } else {
                assert_eq!(called.hits.len(), 1);
                given += 1;
            }
            assert!(given < 100_000, "memory never ends");
        }
        let counters = pool.trackers()[&tag];
        assert_eq!(counters.allocations[kind as usize], given);
        assert_eq!(counters.frees, [0, 0]);
        let counted = if bytes > 0xfe0 {
            bytes.next_multiple_of(0x1000)
        } else {
            bytes + 16
        };
        assert_eq!(counters.bytes[kind as usize], u64::from(given) * counted);
        // nothing that is left could have been given
        let free_pages = pool.u64(pool.symbol("MmAvailablePages"));
        assert!(
            free_pages < counted.div_ceil(0x1000),
            "{free_pages} pages are free"
        );
        assert_eq!(free_lists::check(&pool), Ok(()));
        let (descriptor, trackers) = (pool.descriptor(kind as usize), pool.trackers());
        let sum = trackers.values().map(|one| one.bytes[kind as usize]);
        assert_eq!(descriptor.3, sum.sum::<u64>());
        let tagged = pool.big_pages();
        let tagged = tagged.values().filter(|entry| entry.0 == tag).count();
        assert_eq!(tagged, if bytes > 0xfe0 { given as usize } else { 0 });
        // with POOL_RAISE_IF_ALLOCATION_FAILURE the same refusal is an exception nobody handles
        let raised = pool.try_call("ExAllocatePoolWithTag", &[kind | 16, bytes, tag.into()]);
        let error = raised.unwrap_err().to_string();
        assert!(
            error.contains("0x0000001e KMODE_EXCEPTION_NOT_HANDLED (0xffffffffc000009a, "),
            "{error}"
        );
    }
}

/// The lab's option is what a pool gets, to the page, and what is given back can be had again.
#[test]
fn the_limit_is_the_labs() {
    const LIMIT: u64 = 1 << 20;
    for kind in 0..2 {
        let lab = Lab::builder()
            .memory(8 << 20)
            .paged_pool_limit(LIMIT)
            .nonpaged_pool_limit(LIMIT);
        let mut pool = Pool::of(lab.build().unwrap());
        let kinds = [PoolKind::NonPaged, PoolKind::Paged];
        let mapped = |pool: &Pool| {
            let view = pool.lab.pool().unwrap();
            view.mapped_pages(kinds[kind]).count() as u64
        };
        // The pages below the stacks of the kernel's threads are the pool's, and not there.
        let last = pool.lab.pool().unwrap().mapped_pages(kinds[kind]).last();
        let taken = (last.unwrap().0 - kinds[kind].range().start.0) / 0x1000 + 1;
        let guards = taken - mapped(&pool);
        let left = (LIMIT >> 12) - taken;
        let request = [kind as u64, 0x2000, TAG];
        let leak = |pool: &mut Pool| {
            let one = || Some(pool.call("ExAllocatePoolWithTag", &request).value);
            std::iter::from_fn(one)
                .take_while(|at| *at != 0)
                .collect::<Vec<u64>>()
        };
        let blocks = leak(&mut pool);
        assert_eq!(blocks.len() as u64, left / 2);
        assert_eq!(mapped(&pool), (LIMIT >> 12) - left % 2 - guards);
        for at in &blocks {
            pool.call("ExFreePoolWithTag", &[*at, TAG]);
        }
        assert_eq!(leak(&mut pool).len(), blocks.len());
    }
}
