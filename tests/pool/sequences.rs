//! Sequences of allocations and frees of any tags, sizes, pool types and routines.

use crate::guest::Pool;
use crate::model::{Block, Model, Routine, Step, steps};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;

const NONE_TAG: u32 = u32::from_le_bytes(*b"None");

fn allocate(pool: &mut Pool, step: (Routine, usize, u64, u32)) -> (poolhit::guest::Called, u32) {
    let (routine, kind, bytes, tag) = step;
    let (kind, tag) = (kind as u64, u64::from(tag));
    // POOL_FLAG_NON_PAGED or POOL_FLAG_PAGED
    let flags = if kind == 0 { 0x40 } else { 0x100 };
    match routine {
        Routine::Plain => (pool.call("ExAllocatePool", &[kind, bytes]), NONE_TAG),
        Routine::WithTag => (
            pool.call("ExAllocatePoolWithTag", &[kind, bytes, tag]),
            tag as u32,
        ),
        Routine::WithQuotaTag => (
            pool.call("ExAllocatePoolWithQuotaTag", &[kind, bytes, tag]),
            tag as u32,
        ),
        Routine::WithTagPriority => (
            pool.call("ExAllocatePoolWithTagPriority", &[kind, bytes, tag, 16]),
            tag as u32,
        ),
        Routine::Pool2 => (
            pool.call("ExAllocatePool2", &[flags, bytes, tag]),
            tag as u32,
        ),
        Routine::Pool3 => (
            pool.call("ExAllocatePool3", &[flags, bytes, tag, 0, 0]),
            tag as u32,
        ),
    }
}

/// Makes one step in the guest and in the model, and compares what can be seen at once.
fn make(pool: &mut Pool, model: &mut Model, step: &Step, number: u8) -> Result<(), TestCaseError> {
    match *step {
        Step::SetHitTag(tag) => {
            pool.set_hit_tag(tag);
            model.hit_tag = tag;
        }
        Step::Allocate {
            routine,
            pool: kind,
            bytes,
            tag,
        } => {
            let zeroed = matches!(routine, Routine::Pool2 | Routine::Pool3);
            let (called, tag) = allocate(pool, (routine, kind, bytes, tag));
            if zeroed && bytes == 0 {
                prop_assert_eq!(called.value, 0, "the newer routines refuse nothing");
                prop_assert!(called.hits.is_empty());
                return Ok(());
            }
            let block = Block {
                address: called.value,
                bytes,
                tag,
                pool: kind,
                pattern: number,
            };
            prop_assert_ne!(block.address, 0);
            prop_assert_eq!(block.address % 16, 0);
            prop_assert_eq!(block.is_big(), block.address.is_multiple_of(0x1000));
            prop_assert_eq!(called.hits.len(), usize::from(model.allocation_hits(tag)));
            for other in &model.blocks {
                let apart = block.end() <= other.address || other.end() <= block.address;
                prop_assert!(apart, "{:x?} overlaps {:x?}", block, other);
            }
            if zeroed {
                let contents = pool.read(block.address, bytes as usize);
                prop_assert!(contents.iter().all(|&byte| byte == 0));
            }
            pool.write(block.address, &vec![number; bytes as usize]);
            model.allocated(block);
        }
        Step::Free { which, plain } => {
            if model.blocks.is_empty() {
                return Ok(());
            }
            let which = which.index(model.blocks.len());
            let block = model.freed(which);
            let contents = pool.read(block.address, block.bytes as usize);
            prop_assert!(
                contents.iter().all(|&byte| byte == block.pattern),
                "{:x?} was overwritten",
                block
            );
            let called = if plain && block.tag & 0x8000_0000 == 0 {
                pool.call("ExFreePool", &[block.address])
            } else {
                pool.call("ExFreePoolWithTag", &[block.address, block.tag.into()])
            };
            prop_assert_eq!(called.hits.len(), usize::from(model.free_hits(block.tag)));
        }
    }
    Ok(())
}

fn compare(pool: &Pool, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(&pool.trackers(), &model.trackers);
    prop_assert_eq!(&pool.big_pages(), &model.big_pages);
    for kind in 0..2 {
        prop_assert_eq!(pool.descriptor(kind), model.descriptors[kind]);
    }
    Ok(())
}

#[test]
fn the_pool_does_what_the_model_says() {
    let pool = RefCell::new(Pool::with_memory(16 << 20));
    let start = {
        let pool = pool.borrow();
        Model {
            trackers: pool.trackers(),
            big_pages: pool.big_pages(),
            descriptors: [pool.descriptor(0), pool.descriptor(1)],
            hit_tag: 0xffff_ff0f,
            ..Model::default()
        }
    };
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 96,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps(1..60), |steps| {
        let mut pool = pool.borrow_mut();
        pool.restore();
        let mut model = start.clone();
        for (number, step) in steps.iter().enumerate() {
            make(&mut pool, &mut model, step, number as u8 + 1)?;
            compare(&pool, &model)?;
        }
        // and everything can be given back
        while let Some(last) = model.blocks.len().checked_sub(1) {
            let step = Step::Free {
                which: sample_last(last),
                plain: false,
            };
            make(&mut pool, &mut model, &step, 0)?;
        }
        compare(&pool, &model)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// An index that picks some block; which does not matter.
fn sample_last(_last: usize) -> prop::sample::Index {
    use proptest::strategy::{Strategy, ValueTree};
    any::<prop::sample::Index>()
        .new_tree(&mut TestRunner::deterministic())
        .expect("an index has no conditions")
        .current()
}

#[test]
fn a_leak_loop_ends_in_refusals_and_the_statistics_add_up() {
    for (kind, bytes) in [(0u64, 0x300u64), (1, 0x300), (0, 0x2000), (1, 0x5000)] {
        let mut pool = Pool::with_memory(8 << 20);
        let (mut given, mut refused) = (0u32, 0);
        let tag = u32::from_le_bytes(*b"TstL");
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
        // with POOL_RAISE_IF_ALLOCATION_FAILURE the same refusal is an exception nobody handles
        let raised = pool.try_call("ExAllocatePoolWithTag", &[kind | 16, bytes, tag.into()]);
        let error = raised.unwrap_err().to_string();
        assert!(
            error.contains("0x0000001e") && error.contains("FFFFFFFFC000009A"),
            "{error}"
        );
    }
}
