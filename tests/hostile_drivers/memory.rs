//! Pool taken without end, and given back that never was.

use crate::driver::{Act, End, Way, act, lab, works_again};
use crate::ended::{bug_check, ends};
use poolhit::memory::ReadMemory;

/// What [`lab`] has, in bytes.
const MEMORY: u64 = 64 << 20;

/// Gigabytes: as many blocks as there is memory, then none; what was there before is unharmed.
#[test]
fn pool_without_end_ends_with_the_memory() {
    let mut lab = lab();
    let saved = lab.save().unwrap();
    let hash = lab.machine().state_hash();
    for bytes in [0x8000, 0x10_0000, 0x20_0000] {
        lab.restore(&saved).unwrap();
        let blocks = act(&mut lab, Act::AllocateAll, 0, bytes).unwrap().value;
        assert!(
            blocks > 0 && blocks * bytes < MEMORY,
            "{blocks} of {bytes:x}"
        );
        assert!(blocks * bytes > MEMORY / 2, "{blocks} of {bytes:x}");
        let more = act(&mut lab, Act::Allocate, 0, bytes).unwrap().value;
        assert_eq!(more, 0);
    }
    for bytes in [1 << 31, 1 << 40, 1 << 63, u64::MAX, u64::MAX - 0xfff] {
        let block = act(&mut lab, Act::Allocate, 0, bytes).unwrap().value;
        assert_eq!(block, 0, "{bytes:x}");
    }
    works_again(lab, &saved, hash);
}

#[test]
fn freeing_what_is_no_block_is_a_bug_check() {
    let check = bug_check(Act::FreeStack, 0, 0);
    assert_eq!(check.code, 0xc2, "{check:?}");
    for address in [
        0,
        8,
        0x1000,
        0x7fff_ffff_0000,
        0xfffff800_01450000,
        u64::MAX,
    ] {
        let check = bug_check(Act::Free, address, 0);
        assert!(
            [0xc2, 0x19, 0x50].contains(&check.code),
            "{address:x}: {check:?}"
        );
    }
}

/// The second free of a block is the first that the pool notices.
#[test]
fn freeing_twice_is_a_bug_check() {
    let mut lab = lab();
    let block = act(&mut lab, Act::Allocate, 0, 0x100).unwrap().value;
    act(&mut lab, Act::Free, block, 0).unwrap();
    let error = act(&mut lab, Act::Free, block, 0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("BAD_POOL_CALLER"), "{text}");
    let code = lab.bug_check().unwrap().code;
    assert_eq!(code, 0xc2);
    // A kernel that has stopped stays so, and can be looked at.
    let again = act(&mut lab, Act::Allocate, 0, 0x10).unwrap_err();
    assert!(again.to_string().contains("has stopped before"), "{again}");
    let tag = lab.kernel_symbol("PoolHitTag").unwrap();
    assert_eq!(lab.machine().read_u32(tag), Ok(0xffff_ff0f));
}

/// In a request: it comes back, and what the driver has left for others is enough for an answer.
#[test]
fn pool_without_end_in_a_request() {
    for bytes in [0x8000, 0x10_0000] {
        let ended = ends(Way::Request, Act::AllocateAll, 0, bytes);
        assert_eq!(ended.end, End::Back, "{}", ended.text);
        ended.works_again();
    }
    for bytes in [1 << 31, 1 << 40, u64::MAX] {
        let ended = ends(Way::Request, Act::Allocate, 0, bytes);
        assert_eq!(ended.end, End::Back, "{}", ended.text);
        ended.works_again();
    }
}

/// Blocks that are none are found in a request, too, with the driver on the stack.
#[test]
fn freeing_what_is_no_block_in_a_request() {
    for (what, address) in [(Act::FreeStack, 0), (Act::Free, 0x1000)] {
        let mut ended = ends(Way::Request, what, address, 0);
        let code = ended.check().code;
        assert!([0xc2, 0x19, 0x50].contains(&code), "{}", ended.text);
        ended.instruction();
        ended.stack_is_whole();
        ended.works_again();
    }
}
