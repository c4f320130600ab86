//! Sizes that nothing can satisfy, up to those that rounding up would wrap; and what the routines do
//! then.

use crate::guest::Pool;
use crate::steps::{Options, ROUTINES, Routine, impossible_sizes, request};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;

const TAG: u32 = u32::from_le_bytes(*b"TstH");
const STATUS_INSUFFICIENT_RESOURCES: u32 = 0xc000_009a;

/// How a routine's request that raises on failure is told from one that gives NULL.
fn options(routine: Routine, raise: bool, aligned: bool) -> Options {
    let quota = matches!(routine, Routine::WithQuota | Routine::WithQuotaTag);
    Options {
        aligned,
        raise: raise && !quota,
        fail_instead: !raise,
        ..Options::default()
    }
}

#[test]
fn no_size_wraps() {
    let pool = RefCell::new(Pool::new());
    let start = {
        let mut pool = pool.borrow_mut();
        pool.set_hit_tag(TAG);
        (
            pool.trackers(),
            pool.descriptor(0),
            pool.descriptor(1),
            pool.quota(),
        )
    };
    let case = (
        select(&ROUTINES[..]),
        0usize..2,
        impossible_sizes(),
        any::<bool>(),
    );
    let result = TestRunner::new(ProptestConfig::with_cases(400)).run(
        &case,
        |(routine, kind, bytes, aligned)| {
            let mut pool = pool.borrow_mut();
            let options = options(routine, false, aligned);
            let (name, arguments) = request(routine, (kind, bytes, TAG), options, 0);
            let called = pool.call(name, &arguments);
            prop_assert_eq!((called.value, called.hits), (0, vec![]));
            let now = (
                pool.trackers(),
                pool.descriptor(0),
                pool.descriptor(1),
                pool.quota(),
            );
            prop_assert_eq!(&now, &start);
            Ok(())
        },
    );
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn every_routine_raises_if_it_is_to() {
    let mut pool = Pool::new();
    for routine in ROUTINES {
        for bytes in [1 << 28, 1 << 32, u64::MAX - 0xffe, u64::MAX - 15, u64::MAX] {
            for (kind, aligned) in [(0, false), (1, false), (1, true)] {
                pool.restore();
                pool.set_hit_tag(TAG);
                let options = options(routine, true, aligned);
                let (name, arguments) = request(routine, (kind, bytes, TAG), options, 0);
                pool.raises(name, &arguments, STATUS_INSUFFICIENT_RESOURCES);
            }
        }
    }
}

/// `ExAllocatePool2` and `3` refuse it; for the others it is a block like another, whose tag hits.
#[test]
fn zero_bytes() {
    let mut pool = Pool::new();
    for routine in ROUTINES {
        let tag = if routine.has_tag() {
            TAG
        } else {
            crate::guest::NONE
        };
        pool.set_hit_tag(tag);
        let options = options(routine, false, false);
        let (name, arguments) = request(routine, (1, 0, TAG), options, 0);
        let called = pool.call(name, &arguments);
        assert_eq!(called.value == 0, routine.takes_flags(), "{name}");
        assert_eq!(
            called.hits.len(),
            usize::from(!routine.takes_flags()),
            "{name}"
        );
    }
}

/// Bug check C2 with 9A: "The current thread marked an allocation request MUST_SUCCEED. (This pool
/// type is no longer supported.)" The others are pool type, bytes and tag.
#[test]
fn nothing_must_succeed() {
    let mut pool = Pool::new();
    for kind in [2, 3, 6] {
        let check = pool.bug_check("ExAllocatePoolWithTag", &[kind, 0x40, TAG.into()]);
        assert_eq!(
            (check.code, check.parameters),
            (0xc2, [0x9a, kind, 0x40, TAG.into()])
        );
        pool.restore();
    }
}
