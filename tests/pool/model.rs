//! What the pool has to do, from the rules alone.

use crate::guest::{BigEntry, Counters, Descriptor, TAGS};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A routine that allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routine {
    Plain,
    WithTag,
    WithQuotaTag,
    WithTagPriority,
    Pool2,
    Pool3,
}

/// A step of a sequence.
#[derive(Clone, Debug)]
pub enum Step {
    Allocate {
        routine: Routine,
        pool: usize,
        bytes: u64,
        tag: u32,
    },
    /// Frees one of the blocks there are, with its tag or, if `plain` and it is not protected,
    /// with `ExFreePool`.
    Free {
        which: prop::sample::Index,
        plain: bool,
    },
    SetHitTag(u32),
}

pub fn steps(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), length)
}

pub fn tag() -> impl Strategy<Value = u32> {
    prop::sample::select(TAGS.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    let routine = prop::sample::select(vec![
        Routine::Plain,
        Routine::WithTag,
        Routine::WithTag,
        Routine::WithQuotaTag,
        Routine::WithTagPriority,
        Routine::Pool2,
        Routine::Pool3,
    ]);
    let bytes = prop_oneof![
        4 => 0u64..0x220,
        2 => 0x220u64..0xfe1,
        1 => 0xfe1u64..0x1002,
        2 => 0x1001u64..0x8000,
    ];
    prop_oneof![
        5 => (routine, 0usize..2, bytes, tag())
            .prop_map(|(routine, pool, bytes, tag)| Step::Allocate { routine, pool, bytes, tag }),
        4 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(which, plain)| Step::Free { which, plain }),
        1 => tag().prop_map(Step::SetHitTag),
    ]
}

/// A block that has been allocated and not freed.
#[derive(Clone, Debug)]
pub struct Block {
    pub address: u64,
    pub bytes: u64,
    pub tag: u32,
    pub pool: usize,
    pub pattern: u8,
}

impl Block {
    /// Requests of more than a page less two headers get whole pages.
    pub fn is_big(&self) -> bool {
        self.bytes > 0xfe0
    }

    /// The bytes counted: whole pages, or whole units of 16 with the header.
    fn counted(&self) -> u64 {
        if self.is_big() {
            self.bytes.next_multiple_of(0x1000)
        } else {
            (self.bytes.max(1) + 16).next_multiple_of(16)
        }
    }

    pub fn end(&self) -> u64 {
        self.address + self.bytes
    }
}

/// The model: what should be true of the pool.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub blocks: Vec<Block>,
    pub trackers: BTreeMap<u32, Counters>,
    pub big_pages: BTreeMap<u64, BigEntry>,
    pub descriptors: [Descriptor; 2],
    pub hit_tag: u32,
}

impl Model {
    /// On allocation all 32 bits are compared.
    pub fn allocation_hits(&self, tag: u32) -> bool {
        tag == self.hit_tag
    }

    /// On free the tag kept is compared, without the bit that protects it.
    pub fn free_hits(&self, tag: u32) -> bool {
        tag & 0x7fff_ffff == self.hit_tag
    }

    pub fn allocated(&mut self, block: Block) {
        let counted = block.counted();
        let counters = self.trackers.entry(block.tag & 0x7fff_ffff).or_default();
        counters.allocations[block.pool] += 1;
        counters.bytes[block.pool] += counted;
        let descriptor = &mut self.descriptors[block.pool];
        descriptor.0 += 1;
        descriptor.3 += counted;
        if block.is_big() {
            descriptor.2 += (counted / 0x1000) as u32;
            self.big_pages
                .insert(block.address, (block.tag, block.pool as u32, counted));
        }
        self.blocks.push(block);
    }

    pub fn freed(&mut self, which: usize) -> Block {
        let block = self.blocks.swap_remove(which);
        let counted = block.counted();
        let counters = self.trackers.entry(block.tag & 0x7fff_ffff).or_default();
        counters.frees[block.pool] += 1;
        counters.bytes[block.pool] -= counted;
        let descriptor = &mut self.descriptors[block.pool];
        descriptor.1 += 1;
        descriptor.3 -= counted;
        if block.is_big() {
            descriptor.2 -= (counted / 0x1000) as u32;
            self.big_pages.remove(&block.address);
        }
        block
    }
}
