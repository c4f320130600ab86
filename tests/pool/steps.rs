//! Sequences of requests, made at random, and how each is put to the guest.

use crate::guest::{PARAMETER_OPTIONAL, PARAMETER_PRIORITY, Pool, TAGS};
use poolhit::guest::Called;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A routine that allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routine {
    Plain,
    WithTag,
    WithQuota,
    WithQuotaTag,
    WithTagPriority,
    Pool2,
    Pool3,
}

pub const ROUTINES: [Routine; 7] = [
    Routine::Plain,
    Routine::WithTag,
    Routine::WithQuota,
    Routine::WithQuotaTag,
    Routine::WithTagPriority,
    Routine::Pool2,
    Routine::Pool3,
];

/// What a request asks for besides. An option that a routine does not have is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `NonPagedPoolCacheAligned`, `PagedPoolCacheAligned`, `POOL_FLAG_CACHE_ALIGNED`.
    pub aligned: bool,
    /// `POOL_FLAG_USE_QUOTA`.
    pub quota: bool,
    /// `POOL_FLAG_UNINITIALIZED`.
    pub uninitialized: bool,
    /// `POOL_FLAG_NON_PAGED_EXECUTE` instead of `POOL_FLAG_NON_PAGED`.
    pub executable: bool,
    /// `POOL_RAISE_IF_ALLOCATION_FAILURE`, `POOL_FLAG_RAISE_ON_FAILURE`.
    pub raise: bool,
    /// `POOL_QUOTA_FAIL_INSTEAD_OF_RAISE`.
    pub fail_instead: bool,
    /// How many of the extended parameters that change nothing are given.
    pub parameters: u64,
}

/// A step of a sequence.
#[derive(Clone, Debug)]
pub enum Step {
    Allocate {
        routine: Routine,
        pool: usize,
        bytes: u64,
        tag: u32,
        options: Options,
    },
    /// Frees one of the blocks there are, with its tag or, if `plain` and it is not protected,
    /// with `ExFreePool`.
    Free {
        which: Index,
        plain: bool,
    },
    SetHitTag(u32),
    /// Makes a driver's lookaside list, if there is none in this place.
    MakeList {
        place: usize,
        pool: usize,
        bytes: u64,
        tag: u32,
    },
    AllocateFromList {
        place: usize,
        times: usize,
    },
    FreeToList {
        place: usize,
        which: Vec<Index>,
    },
    DeleteList {
        place: usize,
    },
}

pub fn steps(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), length)
}

/// Sizes that no memory suffices for, up to those that rounding up would wrap.
pub fn impossible_sizes() -> impl Strategy<Value = u64> {
    prop_oneof![
        (28u32..64).prop_map(|bit| 1 << bit),
        (0u64..0x2100).prop_map(|less| u64::MAX - less),
        (0u64..0x50).prop_map(|less| u64::MAX - less),
        (0u64..0x2100).prop_map(|less| (1 << 32) + less),
        (1u64 << 28)..=u64::MAX,
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let flag = prop::bool::weighted(0.25);
    let flags = (flag, flag, flag, flag, flag, flag);
    (flags, 0u64..3).prop_map(
        |((aligned, quota, uninitialized, executable, raise, fail_instead), parameters)| Options {
            aligned,
            quota,
            uninitialized,
            executable,
            raise,
            fail_instead,
            parameters,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![
        8 => 0u64..0x220,
        4 => 0x220u64..0xfe1,
        2 => 0xf80u64..0x1002,
        4 => 0x1001u64..0x8000,
        1 => impossible_sizes(),
    ];
    let entries = prop_oneof![8 => 0u64..0x400, 2 => 0xf80u64..0x2000, 1 => impossible_sizes()];
    // What a list gives back, it gives back without a tag: it cannot have protected entries.
    let plain_tags: Vec<u32> = TAGS.into_iter().filter(|tag| tag >> 31 == 0).collect();
    let place = 0usize..3;
    prop_oneof![
        8 => (select(&ROUTINES[..]), 0usize..2, bytes, select(&TAGS[..]), options()).prop_map(
            |(routine, pool, bytes, tag, options)| {
                Step::Allocate { routine, pool, bytes, tag, options }
            }
        ),
        6 => (any::<Index>(), any::<bool>()).prop_map(|(which, plain)| Step::Free { which, plain }),
        2 => prop_oneof![8 => select(&TAGS[..]), 1 => Just(0)].prop_map(Step::SetHitTag),
        2 => (place.clone(), 0usize..2, entries, select(plain_tags))
            .prop_map(|(place, pool, bytes, tag)| Step::MakeList { place, pool, bytes, tag }),
        8 => (place.clone(), 1usize..6)
            .prop_map(|(place, times)| Step::AllocateFromList { place, times }),
        6 => (place.clone(), prop::collection::vec(any::<Index>(), 1..8))
            .prop_map(|(place, which)| Step::FreeToList { place, which }),
        1 => place.prop_map(|place| Step::DeleteList { place }),
    ]
}

/// The routine's name and arguments; `parameters` is where the extended parameters lie.
pub fn request(
    routine: Routine,
    (pool, bytes, tag): (usize, u64, u32),
    options: Options,
    parameters: u64,
) -> (&'static str, Vec<u64>) {
    let bit = |set: bool, value: u64| if set { value } else { 0 };
    let kind = pool as u64 | bit(options.aligned, 4) | bit(options.raise, 0x10);
    let quota = pool as u64 | bit(options.aligned, 4) | bit(options.fail_instead, 8);
    let basic = match (pool, options.executable) {
        (0, false) => 0x40,
        (0, true) => 0x80,
        _ => 0x100,
    };
    let flags = basic
        | bit(options.quota, 1)
        | bit(options.uninitialized, 2)
        | bit(options.aligned, 8)
        | bit(options.raise, 0x20);
    let tag = u64::from(tag);
    match routine {
        Routine::Plain => ("ExAllocatePool", vec![kind, bytes]),
        Routine::WithTag => ("ExAllocatePoolWithTag", vec![kind, bytes, tag]),
        Routine::WithQuota => ("ExAllocatePoolWithQuota", vec![quota, bytes]),
        Routine::WithQuotaTag => ("ExAllocatePoolWithQuotaTag", vec![quota, bytes, tag]),
        Routine::WithTagPriority => ("ExAllocatePoolWithTagPriority", vec![kind, bytes, tag, 16]),
        Routine::Pool2 => ("ExAllocatePool2", vec![flags, bytes, tag]),
        Routine::Pool3 => (
            "ExAllocatePool3",
            vec![flags, bytes, tag, parameters, options.parameters],
        ),
    }
}

/// Writes the extended parameters that change nothing: one of no known type that may be ignored,
/// and the normal priority.
pub fn write_parameters(pool: &mut Pool, at: u64) {
    let words = [0x55 | PARAMETER_OPTIONAL, u64::MAX, PARAMETER_PRIORITY, 16];
    pool.write_words(at, &words);
}

/// Calls a routine that allocates.
pub fn allocate(
    pool: &mut Pool,
    routine: Routine,
    request_for: (usize, u64, u32),
    options: Options,
    parameters: u64,
) -> Called {
    let (name, arguments) = request(routine, request_for, options, parameters);
    pool.call(name, &arguments)
}
