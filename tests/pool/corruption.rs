//! Misuse and corruption: the bug check that Windows uses, with its parameters (Microsoft, "Bug Check
//! Code Reference"), and a lab that can be restored and used again.

use crate::guest::{Pool, without_free_neighbours};
use poolhit::Lab;
use poolhit::guest::{BugCheck, CallError};

const TAG: u64 = u32::from_le_bytes(*b"TstC") as u64;
const PROTECTED: u64 = TAG | 0x8000_0000;
const BAD_POOL_HEADER: u32 = 0x19;
const BAD_POOL_CALLER: u32 = 0xc2;

#[track_caller]
fn bug_check(result: Result<poolhit::guest::Called, CallError>) -> BugCheck {
    match result {
        Err(CallError::BugCheck { check, .. }) => check,
        other => panic!("no bug check: {other:x?}"),
    }
}

fn allocate(pool: &mut Pool, kind: u64, bytes: u64, tag: u64) -> u64 {
    pool.call("ExAllocatePoolWithTag", &[kind, bytes, tag])
        .value
}

fn free(pool: &mut Pool, address: u64, tag: u64) -> Result<poolhit::guest::Called, CallError> {
    pool.try_call("ExFreePoolWithTag", &[address, tag])
}

/// The pool works as on the first day.
#[track_caller]
fn works_again(pool: &mut Pool) {
    pool.restore();
    let block = allocate(pool, 0, 0x100, TAG);
    assert_ne!(block, 0);
    free(pool, block, TAG).unwrap();
    assert_eq!(pool.lab.bug_check(), None);
}

#[test]
fn an_overrun_is_a_bad_pool_header_at_the_free() {
    let mut pool = Pool::new();
    for kind in 0..2 {
        // With a block behind it in its page.
        let mut block = allocate(&mut pool, kind, 0x300, TAG);
        if (block + 0x300).is_multiple_of(0x1000) {
            block = allocate(&mut pool, kind, 0x300, TAG);
        }
        let header = u64::from(pool.u32(poolhit::address::Va(block - 16)));
        pool.write(block, &[0x41; 0x300 + 4]);
        let check = bug_check(free(&mut pool, block, TAG));
        assert_eq!((check.code, check.parameters[0]), (BAD_POOL_HEADER, 0x20));
        assert_eq!(check.parameters[1..], [block - 16, block + 0x300, header]);
        works_again(&mut pool);
    }
}

#[test]
fn an_underrun_is_found_at_the_free() {
    let mut pool = Pool::new();
    // BlockSize is overwritten, and the block behind does not agree.
    let block = allocate(&mut pool, 0, 0x300, TAG);
    pool.write(block - 16 + 2, &[0x07]);
    let check = bug_check(free(&mut pool, block, TAG));
    assert_eq!((check.code, check.parameters[0]), (BAD_POOL_HEADER, 0x20));
    assert_eq!(check.parameters[1..3], [block - 16, block - 16 + 0x70]);
    works_again(&mut pool);
    // The whole header is: it does not even say that the block is in use.
    let block = allocate(&mut pool, 0, 0x300, TAG);
    pool.write(block - 16, &[0; 16]);
    let check = bug_check(free(&mut pool, block, TAG));
    assert_eq!(
        (check.code, check.parameters),
        (BAD_POOL_CALLER, [7, 0x109b, 0, block])
    );
    works_again(&mut pool);
}

#[test]
fn a_double_free_is_a_bad_pool_caller() {
    let mut pool = Pool::new();
    // 0x100 goes to the processor's cache, 0x300 to the free lists; both bytes of evidence differ
    for (bytes, state) in [(0x100, 4), (0x300, 0)] {
        // one with others in use in front of it and behind it, so that it stays a block of its own
        let blocks: Vec<u64> = (0..32)
            .map(|_| allocate(&mut pool, 1, bytes, TAG))
            .collect();
        let taken = |block: u64| blocks.contains(&block);
        let step = bytes + 16;
        let block = *blocks
            .iter()
            .find(|block| taken(**block - step) && taken(**block + step))
            .unwrap();
        free(&mut pool, block, TAG).unwrap();
        let header = u64::from(pool.u32(poolhit::address::Va(block - 16)));
        assert_eq!(header >> 24, state);
        let check = bug_check(free(&mut pool, block, TAG));
        assert_eq!(
            (check.code, check.parameters),
            (BAD_POOL_CALLER, [7, 0x109b, header, block])
        );
        works_again(&mut pool);
    }
    for kind in 0..2 {
        let block = allocate(&mut pool, kind, 0x2000, TAG);
        free(&mut pool, block, TAG).unwrap();
        let check = bug_check(free(&mut pool, block, TAG));
        let expected = no_large_allocation(kind, block, 256 << 20);
        assert_eq!((check.code, check.parameters), (BAD_POOL_CALLER, expected));
        works_again(&mut pool);
    }
}

/// The parameters of bug check C2 for a page's first address that no allocation has: of nonpaged pool
/// the address alone; of paged pool also "Start offset, in pages, from beginning of paged pool" and
/// "Size of paged pool, in bytes".
fn no_large_allocation(kind: u64, address: u64, size: u64) -> [u64; 4] {
    match kind {
        0 => [0x44, address, 0, 0],
        _ => [0x50, address, (address - 0xffff_f8a0_0000_0000) >> 12, size],
    }
}

#[test]
fn a_page_inside_a_large_allocation_is_a_bad_pool_caller() {
    let size = 1 << 20;
    let lab = Lab::builder().memory(8 << 20).paged_pool_limit(size);
    let mut pool = Pool::of(lab.build().unwrap());
    for kind in 0..2 {
        let block = allocate(&mut pool, kind, 0x3000, TAG);
        let inside = block + 0x2000;
        let check = bug_check(free(&mut pool, inside, TAG));
        let expected = no_large_allocation(kind, inside, size);
        assert_eq!((check.code, check.parameters), (BAD_POOL_CALLER, expected));
        works_again(&mut pool);
    }
}

#[test]
fn a_pointer_that_is_no_block_is_a_bad_pool_caller() {
    let mut pool = Pool::new();
    let block = allocate(&mut pool, 0, 0x300, TAG);
    pool.write(block, &[0; 0x300]);
    for (address, parameters) in [
        (block + 0x40, [7, 0x109b, 0, block + 0x40]), // inside a block: no header
        (block + 8, [0x46, block + 8, 0, 0]),         // not aligned
        (0x1_0010, [0x40, 0x1_0010, 0xffff_0800_0000_0000, 0]), // user mode's
        (0x1_0000, [0x40, 0x1_0000, 0xffff_0800_0000_0000, 0]),
        (0xffff_f800_0165_3110, [0x42, 0xffff_f800_0165_3110, 0, 0]), // the kernel's own data
        (0xffff_fa80_0fff_0010, [0x46, 0xffff_fa80_0fff_0010, 0, 0]), // pool that is not there
    ] {
        let check = bug_check(free(&mut pool, address, TAG));
        assert_eq!(
            (check.code, check.parameters),
            (BAD_POOL_CALLER, parameters),
            "{address:x}"
        );
        pool.restore();
        assert_eq!(allocate(&mut pool, 0, 0x300, TAG), block);
        pool.write(block, &[0; 0x300]);
    }
}

#[test]
fn a_protected_tag_wants_itself() {
    let mut pool = Pool::new();
    for bytes in [0x100, 0x300, 0x2000] {
        let block = allocate(&mut pool, 0, bytes, PROTECTED);
        let check = bug_check(free(&mut pool, block, TAG));
        assert_eq!(
            (check.code, check.parameters),
            (BAD_POOL_CALLER, [0xa, block, PROTECTED, TAG])
        );
        works_again(&mut pool);
        let block = allocate(&mut pool, 0, bytes, PROTECTED);
        free(&mut pool, block, PROTECTED).unwrap();
        // a tag without the bit protects nothing
        let block = allocate(&mut pool, 0, bytes, TAG);
        free(&mut pool, block, TAG ^ 1).unwrap();
    }
}

/// A block of 0x400 bytes that is free beside others that are not, and so first on its list.
fn freed_alone(pool: &mut Pool) -> u64 {
    let block = without_free_neighbours(|| allocate(pool, 0, 0x400, TAG));
    free(pool, block, TAG).unwrap();
    block
}

#[test]
fn a_free_list_that_does_not_agree_is_a_bad_pool_header() {
    let mut pool = Pool::new();
    let block = freed_alone(&mut pool);
    // a write after free goes over the links: both point at the block's own page
    pool.write(
        block,
        &[block.to_le_bytes(), (block + 0x10).to_le_bytes()].concat(),
    );
    pool.write_words(block + 0x10, &[0x4141]);
    let check = bug_check(pool.try_call("ExAllocatePoolWithTag", &[0, 0x400, TAG]));
    // the links read back: Flink->Blink, Blink->Flink
    assert_eq!(
        (check.code, check.parameters),
        (BAD_POOL_HEADER, [3, block, block + 0x10, 0x4141])
    );
    works_again(&mut pool);
}

/// 7 is "The pool block header size is corrupt", 8 "The pool block header size is zero"; the bad entry
/// is the last parameter, the one before it is reserved.
#[test]
fn a_listed_block_of_another_size_is_a_bad_pool_header() {
    let mut pool = Pool::new();
    for (units, code) in [(0u8, 8), (1, 7), (0x40, 7)] {
        pool.restore();
        let block = freed_alone(&mut pool);
        pool.write(block - 14, &[units]);
        let check = bug_check(pool.try_call("ExAllocatePoolWithTag", &[0, 0x400, TAG]));
        assert_eq!((check.code, check.parameters[0]), (BAD_POOL_HEADER, code));
        assert_eq!((check.parameters[1], check.parameters[3]), (0, block - 16));
    }
    works_again(&mut pool);
}

#[test]
fn links_into_nowhere_are_a_corrupted_pool() {
    let mut pool = Pool::new();
    let block = freed_alone(&mut pool);
    pool.write(block, &[0xffff_fa80_0eee_0000u64.to_le_bytes(); 2].concat());
    let check = bug_check(pool.try_call("ExAllocatePoolWithTag", &[0, 0x400, TAG]));
    // DRIVER_CORRUPTED_EXPOOL: address, level, read, instruction
    assert_eq!(check.code, 0xc5);
    assert_eq!(check.parameters[..3], [0xffff_fa80_0eee_0008, 2, 0]);
    let modules = pool.lab.modules();
    let near = modules
        .nearest(poolhit::address::Va(check.parameters[3]))
        .unwrap()
        .to_string();
    assert!(near.starts_with("nt!"), "{near}");
    works_again(&mut pool);
}

#[test]
fn the_level_has_to_be_low_enough() {
    let mut pool = Pool::new();
    let paged = allocate(&mut pool, 1, 0x100, TAG);
    let nonpaged = allocate(&mut pool, 0, 0x100, TAG);
    pool.call("KfRaiseIrql", &[2]);
    free(&mut pool, nonpaged, TAG).unwrap();
    let check = bug_check(free(&mut pool, paged, TAG));
    assert_eq!(
        (check.code, check.parameters),
        (BAD_POOL_CALLER, [9, 2, 1, paged])
    );
    works_again(&mut pool);
    pool.call("KfRaiseIrql", &[2]);
    let check = bug_check(pool.try_call("ExAllocatePoolWithTag", &[1, 0x123, TAG]));
    assert_eq!(
        (check.code, check.parameters),
        (BAD_POOL_CALLER, [8, 2, 1, 0x123])
    );
    works_again(&mut pool);
    pool.call("KfRaiseIrql", &[3]);
    let check = bug_check(pool.try_call("ExAllocatePoolWithTag", &[0, 0x123, TAG]));
    assert_eq!(
        (check.code, check.parameters),
        (BAD_POOL_CALLER, [8, 3, 0, 0x123])
    );
    works_again(&mut pool);
}

#[test]
fn paged_pool_touched_at_a_raised_level_is_a_bug_check() {
    let mut pool = Pool::new();
    let paged = allocate(&mut pool, 1, 0x100, TAG);
    let nonpaged = allocate(&mut pool, 0, 0x100, TAG);
    pool.call("KfRaiseIrql", &[2]);
    for (arguments, address, write) in [([paged, 0, 8], paged, 1u64), ([nonpaged, 0, 8], 0, 0)] {
        let result = pool.try_call("memset", &arguments);
        if address == 0 {
            result.unwrap();
            continue;
        }
        let check = bug_check(result);
        // IRQL_NOT_LESS_OR_EQUAL: address, level, write, instruction
        assert_eq!(
            (check.code, check.parameters[..3].to_vec()),
            (0xa, vec![address, 2, write])
        );
        pool.restore();
        assert_eq!(allocate(&mut pool, 1, 0x100, TAG), paged);
        assert_eq!(allocate(&mut pool, 0, 0x100, TAG), nonpaged);
        pool.call("KfRaiseIrql", &[2]);
    }
    pool.call("KeLowerIrql", &[0]);
    pool.call("memset", &[paged, 0, 8]);
}

#[test]
fn tags_that_stop_the_kernel() {
    let mut pool = Pool::new();
    for (tag, code) in [(0, 0x9b), (u64::from(u32::from_le_bytes(*b"BIG ")), 0x9c)] {
        let check = bug_check(pool.try_call("ExAllocatePoolWithTag", &[0, 0x20, tag]));
        assert_eq!(
            (check.code, check.parameters[..3].to_vec()),
            (BAD_POOL_CALLER, vec![code, 0, 0x20])
        );
        works_again(&mut pool);
    }
}
