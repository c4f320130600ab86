//! When exactly a request hits: random tags against random values of `PoolHitTag`, near misses in
//! one bit among them.

use crate::guest::Pool;
use poolhit::tag::Tag;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;

/// Bytes of a block that a processor's cache takes back.
const CACHEABLE: u64 = 0x10;

/// A tag and a hit tag that are equal, differ in one bit, or have nothing to do with each other.
fn pairs() -> impl Strategy<Value = (u32, u32)> {
    let tag = any::<u32>().prop_filter("tags that stop the kernel", |tag| {
        *tag != 0 && *tag != u32::from_le_bytes(*b"BIG ")
    });
    (tag, any::<u32>(), 0..32u32, 0..4u8).prop_map(|(tag, other, bit, kind)| {
        let hit = match kind {
            0 => tag,
            1 => tag ^ 1 << bit,
            2 => tag & 0x7fff_ffff,
            _ => other,
        };
        (tag, hit)
    })
}

#[test]
fn ten_thousand_cases_of_matching() {
    let pool = RefCell::new(Pool::new());
    let config = ProptestConfig {
        cases: 10_000,
        ..ProptestConfig::default()
    };
    let sizes = prop::sample::select(vec![CACHEABLE, 0x300, 0x1800]);
    let result = TestRunner::new(config).run(&(pairs(), 0..2u64, sizes), |case| {
        let ((tag, hit_tag), kind, bytes) = case;
        let mut pool = pool.borrow_mut();
        pool.restore();
        pool.set_hit_tag(hit_tag);
        let allocated = pool.call("ExAllocatePoolWithTag", &[kind, bytes, tag.into()]);
        prop_assert_eq!(allocated.hits.len(), usize::from(tag == hit_tag));
        let freed = pool.call("ExFreePoolWithTag", &[allocated.value, tag.into()]);
        prop_assert_eq!(freed.hits.len(), usize::from(tag & 0x7fff_ffff == hit_tag));
        // The rule as the library tells it is the kernel's.
        let (tag_type, hit_tag_type) = (Tag(tag), Tag(hit_tag));
        let told = (
            tag_type.hits_allocation(hit_tag_type),
            tag_type.hits_free(hit_tag_type),
        );
        prop_assert_eq!((!allocated.hits.is_empty(), !freed.hits.is_empty()), told);
        if bytes == CACHEABLE {
            // The same block again, from the processor's cache.
            let again = pool.call("ExAllocatePoolWithTag", &[kind, bytes, tag.into()]);
            prop_assert_eq!(again.value, allocated.value);
            prop_assert_eq!(again.hits.len(), usize::from(tag == hit_tag));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
