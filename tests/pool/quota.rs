//! Quota: what a process is charged for. Microsoft, "ExAllocatePoolWithQuotaTag": "charging the quota
//! against the current process"; "If the request cannot be satisfied, ExAllocatePoolWithQuotaTag
//! raises an exception unless POOL_QUOTA_FAIL_INSTEAD_OF_RAISE is specified". "ExAllocatePoolWithQuota"
//! (of older kits): "Quota is not charged to the thread for allocations >= PAGE_SIZE". A process may
//! have as much as there is: no limit is set, so nothing is raised for one.

use crate::guest::{Pool, Quota};
use poolhit::address::Va;

const TAG: u64 = u32::from_le_bytes(*b"TstQ") as u64;
const ROUTINE: &str = "ExAllocatePoolWithQuotaTag";
const FAIL_INSTEAD_OF_RAISE: u64 = 8;
const STATUS_INSUFFICIENT_RESOURCES: u32 = 0xc000_009a;
/// `_POOL_HEADER.PoolType` of a block in use, charged to a process.
const CHARGED: u8 = 2 | 8;

#[test]
fn the_process_is_charged_for_blocks_and_gets_it_back() {
    let mut pool = Pool::new();
    let process = pool.process();
    let before = pool.quota();
    let mut blocks = Vec::new();
    let mut charged = before;
    for (kind, bytes) in [
        (0usize, 0x10u64),
        (1, 0x123),
        (0, 0x300),
        (1, 0xfe0),
        (1, 0),
    ] {
        let block = pool.call(ROUTINE, &[kind as u64, bytes, TAG]).value;
        let counted = (bytes.max(1) + 16).next_multiple_of(16);
        charged.usage[kind] += counted;
        charged.peak[kind] = charged.peak[kind].max(charged.usage[kind]);
        charged.references += 1;
        assert_eq!(pool.quota(), charged, "{bytes:#x}");
        assert_eq!(pool.u64(Va(block - 8)), process, "ProcessBilled");
        assert_eq!(pool.read(block - 13, 1), [CHARGED | kind as u8]);
        blocks.push((block, kind, counted));
    }
    for (block, kind, counted) in blocks {
        pool.call("ExFreePoolWithTag", &[block, TAG]);
        charged.usage[kind] -= counted;
        charged.references -= 1;
        assert_eq!(pool.quota(), charged);
    }
    let peak = charged.peak;
    assert_eq!(charged, Quota { peak, ..before });
    // The same memory, from the processor's cache, is nobody's.
    let block = pool.call("ExAllocatePoolWithTag", &[1, 0x123, TAG]).value;
    assert_eq!(pool.u64(Va(block - 8)), 0);
    assert_eq!(pool.quota(), charged);
}

#[test]
fn whole_pages_are_not_charged() {
    let mut pool = Pool::new();
    let before = pool.quota();
    for bytes in [0xfe1, 0x1000, 0x5000] {
        let block = pool.call(ROUTINE, &[1, bytes, TAG]).value;
        assert_ne!(block, 0);
        assert_eq!(pool.quota(), before);
        pool.call("ExFreePoolWithTag", &[block, TAG]);
        assert_eq!(pool.quota(), before);
    }
}

#[test]
fn without_a_tag_the_tag_is_none() {
    let mut pool = Pool::new();
    pool.set_hit_tag(crate::guest::NONE);
    let before = pool.quota();
    let called = pool.call("ExAllocatePoolWithQuota", &[1, 0x100]);
    assert_eq!(called.hits.len(), 1);
    assert_eq!(pool.quota().usage[1] - before.usage[1], 0x110);
}

#[test]
fn the_systems_own_blocks_are_not_charged() {
    let mut pool = Pool::new();
    // The idle thread's process is the system's: let the current thread be of it.
    let process = pool.process();
    let system = pool.u64(pool.symbol("PsInitialSystemProcess"));
    let processors = pool.symbol("KiProcessorBlock");
    for at in [0, 8] {
        let prcb = pool.u64(processors.wrapping_add(at));
        let thread = pool.u64(Va(prcb + 8));
        if pool.u64(Va(thread + 0x70)) == process {
            pool.write_words(thread + 0x70, &[system]);
        }
    }
    let usage = |pool: &Pool, process: u64| pool.u64(Va(process + 0x1a0));
    let before = [process, system].map(|one| usage(&pool, one));
    let block = pool.call(ROUTINE, &[1, 0x100, TAG]).value;
    assert_eq!([process, system].map(|one| usage(&pool, one)), before);
    assert_eq!(pool.u64(Va(block - 8)), 0);
}

/// What cannot be given raises, or gives NULL; nothing is charged, and nothing hits.
#[test]
fn what_cannot_be_given_is_not_charged() {
    let mut pool = Pool::new();
    pool.set_hit_tag(TAG as u32);
    let before = pool.quota();
    for bytes in [1 << 28, u64::MAX - 15, u64::MAX] {
        let called = pool.call(ROUTINE, &[FAIL_INSTEAD_OF_RAISE, bytes, TAG]);
        assert_eq!((called.value, called.hits), (0, vec![]));
        assert_eq!(pool.quota(), before);
        pool.raises(ROUTINE, &[0, bytes, TAG], STATUS_INSUFFICIENT_RESOURCES);
        assert_eq!(pool.quota(), before);
        pool.restore();
        pool.set_hit_tag(TAG as u32);
    }
}

/// A driver that has written over a header: bug check C2 with D, "The current thread attempted to
/// release a quota on a corrupted pool allocation" (address, tag, process).
#[test]
fn a_bad_process_is_a_bad_pool_caller() {
    let mut pool = Pool::new();
    for process in [0, 0xffff_fa80_0fff_0000] {
        let block = pool.call(ROUTINE, &[1, 0x100, TAG]).value;
        pool.write_words(block - 8, &[process]);
        let check = pool.bug_check("ExFreePool", &[block]);
        assert_eq!(
            (check.code, check.parameters),
            (0xc2, [0xd, block, TAG, process])
        );
        pool.restore();
    }
}
