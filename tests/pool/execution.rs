//! Code in the pool. Microsoft, "No-Execute (NX) Nonpaged Pool": "In Windows 7 and earlier versions of
//! Windows, all memory allocated from the nonpaged pool is executable." Paged pool never is on x64.

use crate::guest::Pool;

const TAG: u64 = u32::from_le_bytes(*b"TstX") as u64;
/// `mov eax, 12345678h; ret`
const CODE: [u8; 6] = [0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3];
/// `ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY`: the address, the contents of its page table entry.
const NO_EXECUTE: u32 = 0xfc;

/// A block with a routine in it, and a driver's lookaside list that asks the routine for its entries.
fn list_that_calls(pool: &mut Pool, kind: u64, bytes: u64) -> (u64, u64) {
    let mut allocate = |kind, bytes| {
        pool.call("ExAllocatePoolWithTag", &[kind, bytes, TAG])
            .value
    };
    let (list, code) = (allocate(0, 0x80), allocate(kind, bytes));
    pool.write(code, &CODE);
    pool.call(
        "ExInitializeNPagedLookasideList",
        &[list, code, 0, 0, 0x40, TAG, 0],
    );
    (list, code)
}

#[test]
fn nonpaged_pool_is_executable() {
    let mut pool = Pool::new();
    for bytes in [0x100, 0x2000] {
        let (list, _) = list_that_calls(&mut pool, 0, bytes);
        let called = pool.call("ExAllocateFromNPagedLookasideList", &[list]);
        assert_eq!(called.value, 0x1234_5678);
    }
}

#[test]
fn paged_pool_is_not() {
    let mut pool = Pool::new();
    for bytes in [0x100, 0x2000] {
        let (list, code) = list_that_calls(&mut pool, 1, bytes);
        let check = pool.bug_check("ExAllocateFromNPagedLookasideList", &[list]);
        assert_eq!((check.code, check.parameters[0]), (NO_EXECUTE, code));
        // present, writable, and not to be executed
        let entry = check.parameters[1];
        assert_eq!(entry & 0x8000_0000_0000_0003, 0x8000_0000_0000_0003);
        pool.restore();
    }
}
