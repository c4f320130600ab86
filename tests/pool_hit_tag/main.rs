//! When exactly `PoolHitTag` hits: each row of `docs/pool-hit-tag.md`, run by the guest's kernel.

mod guest;

use guest::Argument::{Result as R, Value as V};
use guest::End::{BugCheck, HitFirst, Null, Well};
use guest::Site::{AllocateFromCache, AllocateFromLists, AllocateLarge, FreeLarge, FreeSmall};
use guest::{
    ALLOCATE, Argument, CACHEABLE, Call, DEFAULT, FREE, Guest, LARGE, PAGED, SITES, SMALL, Site,
};
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::memory::WriteMemory;
use proptest::prelude::*;

const TAG: u32 = u32::from_le_bytes(*b"Lea2");
const OTHER: u32 = u32::from_le_bytes(*b"Leak");
const PROTECTED: u32 = TAG | 0x8000_0000;
const NONE: u32 = u32::from_le_bytes(*b"None");
const BIG: u32 = u32::from_le_bytes(*b"BIG ");

const NON_PAGED: u64 = 0;
/// More than the whole pool.
const TOO_LARGE: u64 = 1 << 30;

fn allocate(arguments: &[u64; 3]) -> [Argument; 3] {
    arguments.map(V)
}

#[test]
fn five_sites_have_a_break_instruction_each() {
    let guest = Guest::new();
    let mut addresses = guest.addresses.clone();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 5);
    // Two of them are in the golden session.
    assert_eq!(guest.addresses[2], Va(0xfffff800_014798f6));
    assert_eq!(guest.addresses[4], Va(0xfffff800_0160f5b7));
    let modules = guest.lab.modules();
    let names = guest.addresses.iter().map(|address| {
        let near = modules.nearest(*address).unwrap().to_string();
        near.split('+').next().unwrap().to_string()
    });
    let cold = "nt! ?? ::FNODOBFM::`string'";
    let free = "nt!ExFreePoolWithTag";
    assert_eq!(names.collect::<Vec<_>>(), [cold, cold, cold, free, free]);
}

#[test]
fn a_tag_hits_where_it_is_allocated_and_freed() {
    let mut guest = Guest::new();
    for kind in [NON_PAGED, PAGED] {
        for (bytes, sites) in [
            (SMALL, [AllocateFromLists, FreeSmall]),
            (0, [AllocateFromLists, FreeSmall]),
            (0xfe0, [AllocateFromLists, FreeSmall]),
            (0xfe1, [AllocateLarge, FreeLarge]),
            (LARGE, [AllocateLarge, FreeLarge]),
        ] {
            let request = allocate(&[kind, bytes, u64::from(TAG)]);
            let tag = V(u64::from(TAG));
            let both: [Call<'_>; 2] = [(ALLOCATE, &request), (FREE, &[R(0), tag])];
            let row = format!("{bytes:#x} bytes of pool type {kind}");
            guest.check(&row, &[], TAG, &both, &sites, Well);
            guest.check(&row, &[], OTHER, &both, &[], Well);
            // Changed between the two, it holds for the second.
            guest.check(&row, &both[..1], TAG, &both[1..], &sites[1..], Well);
        }
        let request = allocate(&[kind, CACHEABLE, u64::from(TAG)]);
        let again: [Call<'_>; 4] = [
            (ALLOCATE, &request),
            ("ExFreePool", &[R(0)]),
            (ALLOCATE, &request),
            ("ExFreePool", &[R(2)]),
        ];
        let sites = [AllocateFromLists, FreeSmall, AllocateFromCache, FreeSmall];
        guest.check("a processor's cache", &[], TAG, &again, &sites, Well);
    }
}

/// All 32 bits count on allocation; on free bit 31 of the kept tag does not.
#[test]
fn near_misses_do_not_hit() {
    let mut guest = Guest::new();
    for site in SITES {
        for bit in 0..32 {
            for (tag, hit_tag) in [(TAG, TAG ^ 1 << bit), (TAG ^ 1 << bit, TAG)] {
                guest.reset();
                let hits = guest.pass(site, tag, hit_tag);
                let masked = matches!(site, FreeSmall | FreeLarge) && bit == 31 && tag != TAG;
                let expected: &[Site] = if masked { &[site] } else { &[] };
                assert_eq!(guest.sites(&hits), expected, "{site:?}, bit {bit}");
            }
        }
    }
}

#[test]
fn the_protection_bit_is_compared_on_allocation_only() {
    let mut guest = Guest::new();
    for (bytes, on_allocation, on_free) in [
        (SMALL, AllocateFromLists, FreeSmall),
        (LARGE, AllocateLarge, FreeLarge),
    ] {
        let request = allocate(&[PAGED, bytes, u64::from(PROTECTED)]);
        let free = [R(0), V(u64::from(PROTECTED))];
        let both: [Call<'_>; 2] = [(ALLOCATE, &request), (FREE, &free)];
        guest.check("raw tag", &[], TAG, &both, &[on_free], Well);
        let row = "tag as allocated";
        guest.check(row, &[], PROTECTED, &both, &[on_allocation], Well);
    }
}

#[test]
fn a_free_compares_the_tag_kept_with_the_block() {
    let mut guest = Guest::new();
    for (bytes, site) in [(SMALL, FreeSmall), (LARGE, FreeLarge)] {
        let request = allocate(&[PAGED, bytes, u64::from(OTHER)]);
        let allocated: [Call<'_>; 1] = [(ALLOCATE, &request)];
        let freed: [Call<'_>; 1] = [(FREE, &[R(0), V(TAG as u64)])];
        guest.check("tag given", &allocated, TAG, &freed, &[], Well);
        guest.check("tag kept", &allocated, OTHER, &freed, &[site], Well);
        let freed: [Call<'_>; 1] = [("ExFreePool", &[R(0)])];
        guest.check("no tag given", &allocated, OTHER, &freed, &[site], Well);
    }
}

#[test]
fn a_request_that_fails_does_not_hit() {
    let mut guest = Guest::new();
    let tag = u64::from(TAG);
    let priority = "ExAllocatePoolWithTagPriority";
    let raise = 0x10 | PAGED;
    let (unhandled, resources) = (0x1e, 0xffff_ffff_c000_009a);
    let fail_instead = 8 | PAGED;
    for (routine, arguments, end) in [
        (ALLOCATE, vec![PAGED, TOO_LARGE, tag], Null),
        (ALLOCATE, vec![PAGED, u64::MAX, tag], Null),
        (
            ALLOCATE,
            vec![raise, TOO_LARGE, tag],
            BugCheck(unhandled, resources),
        ),
        (priority, vec![PAGED, TOO_LARGE, tag, 0], Null),
        (
            "ExAllocatePoolWithQuotaTag",
            vec![fail_instead, TOO_LARGE, tag],
            Null,
        ),
        ("ExAllocatePool2", vec![0x100, TOO_LARGE, tag], Null),
        ("ExAllocatePool3", vec![0x100, TOO_LARGE, tag, 0, 0], Null),
        // Refused before the pool is asked: no tag, no size, no pool, two pools.
        ("ExAllocatePool2", vec![0x100, SMALL, 0], Null),
        ("ExAllocatePool2", vec![0x100, 0, tag], Null),
        ("ExAllocatePool2", vec![0, SMALL, tag], Null),
        ("ExAllocatePool2", vec![0x140, SMALL, tag], Null),
    ] {
        let arguments: Vec<Argument> = arguments.into_iter().map(V).collect();
        let call: [Call<'_>; 1] = [(routine, &arguments)];
        guest.check(routine, &[], TAG, &call, &[], end);
    }
}

/// With the pool used up, small requests fail too.
#[test]
fn an_exhausted_pool_does_not_hit() {
    let mut lab = Lab::builder().paged_pool_limit(1 << 20).build().unwrap();
    let tag = u64::from(TAG);
    while lab
        .call_kernel(ALLOCATE, &[PAGED, 0xfe0, u64::from(OTHER)])
        .unwrap()
        .value
        != 0
    {}
    let at = lab.kernel_symbol("PoolHitTag").unwrap();
    lab.machine_mut().write(at, &TAG.to_le_bytes()).unwrap();
    for bytes in [0xfe0, LARGE] {
        let called = lab.call_kernel(ALLOCATE, &[PAGED, bytes, tag]).unwrap();
        assert_eq!((called.value, called.hits), (0, vec![]), "{bytes:#x} bytes");
    }
    let called = lab.call_kernel(ALLOCATE, &[NON_PAGED, LARGE, tag]).unwrap();
    assert_eq!(called.hits.len(), 1, "the other pool has memory");
}

#[test]
fn tags_that_are_none() {
    let mut guest = Guest::new();
    for bytes in [SMALL, LARGE] {
        for hit_tag in [0, TAG, DEFAULT] {
            let request = allocate(&[PAGED, bytes, 0]);
            let end = BugCheck(0xc2, 0x9b);
            guest.check("tag 0", &[], hit_tag, &[(ALLOCATE, &request)], &[], end);
        }
        let request = allocate(&[PAGED, bytes, u64::from(BIG)]);
        let end = BugCheck(0xc2, 0x9c);
        guest.check("BIG", &[], BIG, &[(ALLOCATE, &request)], &[], end);
    }
}

/// 0 turns hits off, but for frees of one odd tag: the protection bit alone.
#[test]
fn hit_tag_zero_is_off() {
    let mut guest = Guest::new();
    for (tag, sites) in [
        (TAG, vec![]),
        (PROTECTED, vec![]),
        (0x8000_0000, vec![FreeSmall]),
    ] {
        let request = allocate(&[PAGED, SMALL, u64::from(tag)]);
        let free = [R(0), V(u64::from(tag))];
        let both: [Call<'_>; 2] = [(ALLOCATE, &request), (FREE, &free)];
        guest.check(&format!("{tag:#x}"), &[], 0, &both, &sites, Well);
    }
}

/// The default is a tag that only an allocation can equal: no kept tag has bit 31 after masking.
#[test]
fn the_default_hits_its_own_allocation() {
    let mut guest = Guest::new();
    for (bytes, site) in [(SMALL, AllocateFromLists), (LARGE, AllocateLarge)] {
        let request = allocate(&[PAGED, bytes, u64::from(DEFAULT)]);
        let free = [R(0), V(u64::from(DEFAULT))];
        let both: [Call<'_>; 2] = [(ALLOCATE, &request), (FREE, &free)];
        guest.check("the default", &[], DEFAULT, &both, &[site], Well);
        let request = allocate(&[PAGED, bytes, u64::from(DEFAULT & 0x7fff_ffff)]);
        let both: [Call<'_>; 2] = [(ALLOCATE, &request), ("ExFreePool", &[R(0)])];
        guest.check("the default, masked", &[], DEFAULT, &both, &[], Well);
    }
}

/// The other routines end in `ExAllocatePoolWithTag` and `ExFreePoolWithTag`, and hit once.
#[test]
fn every_entrance_hits_once() {
    let mut guest = Guest::new();
    let (tag, none) = (u64::from(TAG), NONE);
    for (bytes, site) in [(SMALL, AllocateFromLists), (LARGE, AllocateLarge)] {
        for (routine, hit_tag, arguments) in [
            ("ExAllocatePool", none, vec![PAGED, bytes]),
            (
                "ExAllocatePoolWithTagPriority",
                TAG,
                vec![PAGED, bytes, tag, 32],
            ),
            ("ExAllocatePoolWithQuotaTag", TAG, vec![PAGED, bytes, tag]),
            ("ExAllocatePool2", TAG, vec![0x40, bytes, tag]),
            ("ExAllocatePool2", TAG, vec![0x100 | 1, bytes, tag]),
            ("ExAllocatePool3", TAG, vec![0x100, bytes, tag, 0, 0]),
        ] {
            let arguments: Vec<Argument> = arguments.into_iter().map(V).collect();
            let call: [Call<'_>; 1] = [(routine, &arguments)];
            guest.check(routine, &[], hit_tag, &call, &[site], Well);
            guest.check(routine, &[], hit_tag ^ 1, &call, &[], Well);
        }
    }
}

/// A driver's lookaside list asks the pool only when it is empty, and gives back only when it is
/// full, or deleted.
#[test]
fn drivers_lists_hit_when_they_ask_the_pool() {
    let mut guest = Guest::new();
    let (get, put) = (
        "ExAllocateFromNPagedLookasideList",
        "ExFreeToNPagedLookasideList",
    );
    let memory = allocate(&[NON_PAGED, 0x80, u64::from(OTHER)]);
    let list = [R(0), V(0), V(0), V(0), V(SMALL), V(u64::from(TAG)), V(0)];
    let before: [Call<'_>; 2] = [
        (ALLOCATE, &memory),
        ("ExInitializeNPagedLookasideList", &list),
    ];
    let taken: Vec<Call<'_>> = [(get, &[R(0)] as &[Argument])].repeat(5);
    let sites = [AllocateFromLists; 5];
    guest.check("an empty list", &before, TAG, &taken, &sites, Well);

    // The results 2 to 6 are the entries: the list takes four of them back.
    let entries = [2, 3, 4, 5, 6].map(|entry| [R(0), R(entry)]);
    let given: Vec<Call<'_>> = entries
        .iter()
        .map(|pair| (put, pair as &[Argument]))
        .collect();
    let before: Vec<Call<'_>> = before.into_iter().chain(taken).collect();
    guest.check("a full list", &before, TAG, &given, &[FreeSmall], Well);
    guest.check("a list with room", &before, TAG, &given[..4], &[], Well);

    let before: Vec<Call<'_>> = before.into_iter().chain(given).collect();
    let again: [Call<'_>; 1] = [(get, &[R(0)])];
    guest.check("an entry on the list", &before, TAG, &again, &[], Well);
    let delete: [Call<'_>; 1] = [("ExDeleteNPagedLookasideList", &[R(0)])];
    guest.check(
        "a list deleted",
        &before,
        TAG,
        &delete,
        &[FreeSmall; 4],
        Well,
    );
}

/// A protected block wants its own tag; the comparison comes before that is looked at.
#[test]
fn a_free_with_the_wrong_tag_hits_first() {
    let mut guest = Guest::new();
    for (bytes, site) in [(SMALL, FreeSmall), (LARGE, FreeLarge)] {
        let request = allocate(&[PAGED, bytes, u64::from(PROTECTED)]);
        let allocated: [Call<'_>; 1] = [(ALLOCATE, &request)];
        let freed: [Call<'_>; 1] = [(FREE, &[R(0), V(TAG as u64)])];
        guest.check("tag kept", &allocated, TAG, &freed, &[site], HitFirst);
        let end = BugCheck(0xc2, 0xa);
        guest.check("another", &allocated, OTHER, &freed, &[], end);
    }
}

/// What is no allocation stops the kernel before anything is compared.
#[test]
fn a_bad_free_does_not_hit() {
    let mut guest = Guest::new();
    for (address, parameter) in [
        (0x1000, 0x40),
        (0xffff_f800_0000_0000, 0x42),
        (0xffff_f8a0_0080_0000, 0x50),
        (0xffff_fa80_0080_0000, 0x44),
        (0xffff_f8a0_0000_0088, 0x46),
    ] {
        let free: [Call<'_>; 1] = [(FREE, &[V(address), V(TAG as u64)])];
        let end = BugCheck(0xc2, parameter);
        guest.check(&format!("{address:#x}"), &[], TAG, &free, &[], end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Any two doublewords: the kernel's comparison is the model's.
    #[test]
    fn the_comparison_is_the_models(pairs in prop::collection::vec(
        (1u32.., any::<u32>(), 0u32..4).prop_map(|(tag, hit, how)| match how {
            0 => (tag, hit),
            1 => (tag, tag),
            2 => (tag, tag & 0x7fff_ffff),
            _ => (tag, tag ^ 1 << (hit % 32)),
        }), 32)
    ) {
        let mut guest = Guest::new();
        for (tag, hit_tag) in pairs.into_iter().filter(|(tag, _)| *tag != BIG) {
            for site in SITES {
                guest.reset();
                let hits = guest.pass(site, tag, hit_tag);
                let compared = match site {
                    FreeSmall | FreeLarge => tag & 0x7fff_ffff,
                    _ => tag,
                };
                let expected: &[Site] = if compared == hit_tag { &[site] } else { &[] };
                prop_assert_eq!(guest.sites(&hits), expected, "{:?} {:#x} {:#x}", site, tag, hit_tag);
            }
        }
    }
}
