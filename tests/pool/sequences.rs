//! Sequences of allocations and frees of any tags, sizes, pool types and routines, by way of
//! drivers' lookaside lists too.

use crate::free_lists;
use crate::guest::Pool;
use crate::model::{Block, Freed, List, Model};
use crate::steps::{Step, allocate, steps, write_parameters};
use poolhit::guest::Called;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;

/// The tag of what the tests need for themselves.
const OWN: u32 = u32::from_le_bytes(*b"TstK");
/// More than any pool has.
const TOO_MUCH: u64 = 1 << 28;

type Checked<T> = Result<T, TestCaseError>;

/// A guest and its model, which make the same steps.
struct Run<'a> {
    pool: &'a mut Pool,
    model: Model,
    /// Where the extended parameters of `ExAllocatePool3` lie.
    parameters: u64,
}

impl<'a> Run<'a> {
    fn start(pool: &'a mut Pool, model: &Model) -> Run<'a> {
        pool.restore();
        let mut run = Run {
            pool,
            model: model.clone(),
            parameters: 0,
        };
        run.parameters = run.own_block(0x20);
        write_parameters(run.pool, run.parameters);
        run
    }

    /// A block of nonpaged pool for what the tests need themselves; it is never freed.
    fn own_block(&mut self, bytes: u64) -> u64 {
        let called = self
            .pool
            .call("ExAllocatePoolWithTag", &[0, bytes, OWN.into()]);
        self.model.count(&Block::new(called.value, bytes, OWN, 0));
        called.value
    }

    /// What has been given is the caller's alone, and aligned.
    fn check_new(&mut self, block: &Block, called: &Called) -> Checked<()> {
        prop_assert_ne!(block.address, 0);
        prop_assert_eq!(block.address % if block.aligned { 64 } else { 16 }, 0);
        prop_assert_eq!(block.is_big(), block.address.is_multiple_of(0x1000));
        prop_assert_eq!(called.hits.len(), self.model.allocation_hits(block.tag));
        for other in self.model.all_blocks() {
            let apart = block.end() <= other.address || other.end() <= block.address;
            prop_assert!(apart, "{:x?} overlaps {:x?}", block, other);
        }
        self.model.count(block);
        Ok(())
    }

    fn fill(&mut self, block: &Block) {
        if let Some(pattern) = block.pattern {
            self.pool
                .write(block.address, &vec![pattern; block.bytes as usize]);
        }
    }

    /// Nobody has written to a block, behind the first `skip` bytes.
    fn check_contents(&self, block: &Block, skip: u64) -> Checked<()> {
        if let Some(pattern) = block.pattern {
            let contents = self
                .pool
                .read(block.address + skip, (block.bytes - skip) as usize);
            let kept = contents.iter().all(|&byte| byte == pattern);
            prop_assert!(kept, "{:x?} was overwritten", block);
        }
        Ok(())
    }

    fn allocate(&mut self, step: &Step, pattern: u8) -> Checked<()> {
        let Step::Allocate {
            routine,
            pool,
            bytes,
            tag,
            options,
        } = *step
        else {
            unreachable!("called with Step::Allocate only")
        };
        let impossible = bytes >= TOO_MUCH;
        let refused = impossible || routine.takes_flags() && bytes == 0;
        let mut options = options;
        if refused {
            // Exceptions are for a test of their own: nothing handles them.
            options.raise = false;
            options.fail_instead = true;
        }
        let request = (pool, bytes, tag);
        let called = allocate(self.pool, routine, request, options, self.parameters);
        if refused {
            prop_assert_eq!(called.value, 0, "{:?}", step);
            prop_assert!(called.hits.is_empty(), "what is refused does not hit");
            return Ok(());
        }
        let mut block = Model::expected(step, pattern).expect("it allocates");
        block.address = called.value;
        self.check_new(&block, &called)?;
        if routine.takes_flags() && !options.uninitialized {
            let contents = self.pool.read(block.address, bytes as usize);
            prop_assert!(contents.iter().all(|&byte| byte == 0));
        }
        self.fill(&block);
        self.model.blocks.push(block);
        Ok(())
    }

    fn free(&mut self, which: usize, plain: bool) -> Checked<()> {
        let block = self.model.blocks.swap_remove(which);
        self.check_contents(&block, 0)?;
        let called = if plain && !block.is_protected() {
            self.pool.call("ExFreePool", &[block.address])
        } else {
            self.pool
                .call("ExFreePoolWithTag", &[block.address, block.tag.into()])
        };
        self.model.uncount(&block);
        prop_assert_eq!(called.hits.len(), self.model.free_hits(block.tag));
        Ok(())
    }

    fn make_list(&mut self, place: usize, pool: usize, bytes: u64, tag: u32) {
        if self.model.lists[place].is_some() {
            return;
        }
        let at = self.own_block(0x80);
        let routine = list_routine("ExInitialize{}LookasideList", pool);
        self.pool
            .call(&routine, &[at, 0, 0, 0, bytes, tag.into(), 0]);
        self.model.lists[place] = Some(List::new(at, pool, bytes, tag));
    }

    fn allocate_from_list(&mut self, place: usize, pattern: u8) -> Checked<()> {
        let Some(mut list) = self.model.lists[place].take() else {
            return Ok(());
        };
        let routine = list_routine("ExAllocateFrom{}LookasideList", list.pool);
        let called = self.pool.call(&routine, &[list.at]);
        let kept = list.allocate();
        if let Some(mut block) = kept {
            prop_assert_eq!(called.value, block.address, "the last in is the first out");
            prop_assert!(called.hits.is_empty(), "a list's own entry does not hit");
            self.check_contents(&block, 8)?;
            block.pattern = Some(pattern);
            self.fill(&block);
            list.taken.push(block);
        } else if list.bytes >= TOO_MUCH {
            prop_assert_eq!(called.value, 0);
            prop_assert!(called.hits.is_empty());
        } else {
            let mut block = Block::new(called.value, list.bytes, list.tag, list.pool);
            block.pattern = Some(pattern);
            self.check_new(&block, &called)?;
            self.fill(&block);
            list.taken.push(block);
        }
        self.model.lists[place] = Some(list);
        Ok(())
    }

    fn free_to_list(&mut self, place: usize, which: &prop::sample::Index) -> Checked<()> {
        let Some(mut list) = self.model.lists[place].take() else {
            return Ok(());
        };
        if !list.taken.is_empty() {
            let block = list.taken.swap_remove(which.index(list.taken.len()));
            self.check_contents(&block, 0)?;
            let routine = list_routine("ExFreeTo{}LookasideList", list.pool);
            let called = self.pool.call(&routine, &[list.at, block.address]);
            let hits = match list.free(&block) {
                Freed::ToTheList => 0,
                Freed::ToThePool => {
                    self.model.uncount(&block);
                    self.model.free_hits(block.tag)
                }
            };
            prop_assert_eq!(called.hits.len(), hits);
        }
        self.model.lists[place] = Some(list);
        Ok(())
    }

    /// What has been taken from the list stays; it is the pool's, and can go back there.
    fn delete_list(&mut self, place: usize) -> Checked<()> {
        let Some(list) = self.model.lists[place].take() else {
            return Ok(());
        };
        let routine = list_routine("ExDelete{}LookasideList", list.pool);
        let called = self.pool.call(&routine, &[list.at]);
        let hits = list.kept.len() * self.model.free_hits(list.tag);
        prop_assert_eq!(called.hits.len(), hits);
        for block in &list.kept {
            self.model.uncount(block);
        }
        self.model.blocks.extend(list.taken);
        Ok(())
    }

    /// Makes one step in the guest and in the model, and compares what can be seen at once.
    fn make(&mut self, step: &Step, pattern: u8) -> Checked<()> {
        match *step {
            Step::SetHitTag(tag) => {
                self.pool.set_hit_tag(tag);
                self.model.hit_tag = tag;
            }
            Step::Allocate { .. } => self.allocate(step, pattern)?,
            Step::Free { which, plain } if !self.model.blocks.is_empty() => {
                self.free(which.index(self.model.blocks.len()), plain)?;
            }
            Step::Free { .. } => (),
            Step::MakeList {
                place,
                pool,
                bytes,
                tag,
            } => self.make_list(place, pool, bytes, tag),
            Step::AllocateFromList { place, times } => {
                for _ in 0..times {
                    self.allocate_from_list(place, pattern)?;
                }
            }
            Step::FreeToList { place, ref which } => {
                for which in which {
                    self.free_to_list(place, which)?;
                }
            }
            Step::DeleteList { place } => self.delete_list(place)?,
        }
        Ok(())
    }

    /// Every block and list can be given back.
    fn give_all_back(&mut self) -> Checked<()> {
        for place in 0..self.model.lists.len() {
            self.delete_list(place)?;
        }
        while let Some(last) = self.model.blocks.len().checked_sub(1) {
            self.free(last, false)?;
        }
        Ok(())
    }

    fn compare(&self) -> Checked<()> {
        let (pool, model) = (&*self.pool, &self.model);
        prop_assert_eq!(&pool.trackers(), &model.trackers);
        prop_assert_eq!(&pool.big_pages(), &model.big_pages);
        prop_assert_eq!(&pool.quota(), &model.quota);
        for list in model.lists.iter().flatten() {
            prop_assert_eq!(&pool.list(list.at), &list.counters);
        }
        for kind in 0..2 {
            prop_assert_eq!(pool.descriptor(kind), model.descriptors[kind]);
        }
        free_lists::check(pool).map_err(TestCaseError::fail)
    }
}

/// `ExInitialize{}LookasideList` for one of the pools.
fn list_routine(pattern: &str, pool: usize) -> String {
    pattern.replace("{}", ["NPaged", "Paged"][pool])
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
            quota: pool.quota(),
            hit_tag: 0xffff_ff0f,
            ..Model::default()
        }
    };
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 96,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps(1..80), |steps| {
        let mut pool = pool.borrow_mut();
        let mut run = Run::start(&mut pool, &start);
        for (number, step) in steps.iter().enumerate() {
            run.make(step, number as u8 + 1)?;
            run.compare()?;
        }
        run.give_all_back()?;
        run.compare()
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
