//! What the pool has to do, from the rules alone.

use crate::guest::{BigEntry, Counters, Descriptor, ListCounters, OVERFLOW, Quota};
use crate::steps::{Options, Routine, Step};
use std::collections::BTreeMap;

/// How many entries a driver's list keeps.
const LIST_DEPTH: usize = 4;

/// A block that has been allocated and not freed.
#[derive(Clone, Debug)]
pub struct Block {
    pub address: u64,
    pub bytes: u64,
    pub tag: u32,
    pub pool: usize,
    /// Cache-aligned: counted in whole cache lines.
    pub aligned: bool,
    /// A process is charged for it.
    pub charged: bool,
    /// What it is filled with, if the test does not use it for something else.
    pub pattern: Option<u8>,
}

impl Block {
    /// A block as the plainest request gives it.
    pub fn new(address: u64, bytes: u64, tag: u32, pool: usize) -> Block {
        Block {
            address,
            bytes,
            tag,
            pool,
            aligned: false,
            charged: false,
            pattern: None,
        }
    }

    /// The bytes that are looked for.
    fn rounded(&self) -> u64 {
        match self.aligned {
            true => self.bytes.max(1).next_multiple_of(64),
            false => self.bytes.max(1),
        }
    }

    /// Requests of more than a page less two headers get whole pages.
    pub fn is_big(&self) -> bool {
        self.rounded() > 0xfe0
    }

    /// The bytes counted: whole pages, or whole units of 16 with the header.
    pub fn counted(&self) -> u64 {
        if self.is_big() {
            self.rounded().next_multiple_of(0x1000)
        } else {
            (self.rounded() + 16).next_multiple_of(16)
        }
    }

    pub fn end(&self) -> u64 {
        self.address + self.bytes
    }

    /// What `ExFreePool` may free: a protected block wants its tag.
    pub fn is_protected(&self) -> bool {
        self.tag & 0x8000_0000 != 0
    }
}

/// A driver's lookaside list.
#[derive(Clone, Debug)]
pub struct List {
    /// Its structure, in a block of nonpaged pool.
    pub at: u64,
    pub pool: usize,
    pub bytes: u64,
    pub tag: u32,
    pub counters: ListCounters,
    /// What it keeps, the last that came first out.
    pub kept: Vec<Block>,
    /// What has been taken from it.
    pub taken: Vec<Block>,
}

/// Where an entry that is freed to a list goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Freed {
    ToTheList,
    ToThePool,
}

impl List {
    pub fn new(at: u64, pool: usize, bytes: u64, tag: u32) -> List {
        List {
            at,
            pool,
            bytes: bytes.max(8),
            tag,
            counters: ListCounters::default(),
            kept: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// The entry that an allocation gets, if the pool is not asked.
    pub fn allocate(&mut self) -> Option<Block> {
        self.counters.allocates += 1;
        let entry = self.kept.pop();
        self.counters.allocate_misses += u32::from(entry.is_none());
        self.counters.kept = self.kept.len() as u16;
        entry
    }

    pub fn free(&mut self, entry: &Block) -> Freed {
        self.counters.frees += 1;
        if self.kept.len() < LIST_DEPTH {
            self.kept.push(entry.clone());
            self.counters.kept = self.kept.len() as u16;
            return Freed::ToTheList;
        }
        self.counters.free_misses += 1;
        Freed::ToThePool
    }
}

/// The model: what should be true of the pool.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub blocks: Vec<Block>,
    pub lists: [Option<List>; 3],
    pub trackers: BTreeMap<u32, Counters>,
    pub big_pages: BTreeMap<u64, BigEntry>,
    pub descriptors: [Descriptor; 2],
    pub quota: Quota,
    pub hit_tag: u32,
}

impl Model {
    /// On allocation all 32 bits are compared.
    pub fn allocation_hits(&self, tag: u32) -> usize {
        usize::from(tag == self.hit_tag)
    }

    /// On free the tag kept is compared, without the bit that protects it.
    pub fn free_hits(&self, tag: u32) -> usize {
        usize::from(tag & 0x7fff_ffff == self.hit_tag)
    }

    /// Everything that is allocated, wherever it is kept.
    pub fn all_blocks(&self) -> impl Iterator<Item = &Block> {
        let of_lists = self.lists.iter().flatten();
        self.blocks
            .iter()
            .chain(of_lists.flat_map(|list| list.kept.iter().chain(&list.taken)))
    }

    fn counters(&mut self, tag: u32) -> &mut Counters {
        // Key 0 is nobody's.
        let key = match tag & 0x7fff_ffff {
            0 => OVERFLOW,
            key => key,
        };
        self.trackers.entry(key).or_default()
    }

    /// Counts an allocation by the pool.
    pub fn count(&mut self, block: &Block) {
        let (pool, counted) = (block.pool, block.counted());
        let counters = self.counters(block.tag);
        counters.allocations[pool] += 1;
        counters.bytes[pool] += counted;
        let descriptor = &mut self.descriptors[pool];
        descriptor.0 += 1;
        descriptor.3 += counted;
        if block.is_big() {
            descriptor.2 += (counted / 0x1000) as u32;
            self.big_pages
                .insert(block.address, (block.tag, pool as u32, counted));
        }
        if block.charged {
            self.quota.references += 1;
            self.quota.usage[pool] += counted;
            self.quota.peak[pool] = self.quota.peak[pool].max(self.quota.usage[pool]);
        }
    }

    /// Counts a free to the pool.
    pub fn uncount(&mut self, block: &Block) {
        let (pool, counted) = (block.pool, block.counted());
        let counters = self.counters(block.tag);
        counters.frees[pool] += 1;
        counters.bytes[pool] -= counted;
        let descriptor = &mut self.descriptors[pool];
        descriptor.1 += 1;
        descriptor.3 -= counted;
        if block.is_big() {
            descriptor.2 -= (counted / 0x1000) as u32;
            self.big_pages.remove(&block.address);
        }
        if block.charged {
            self.quota.references -= 1;
            self.quota.usage[pool] -= counted;
        }
    }

    /// The block that a request should give, but for its address.
    pub fn expected(step: &Step, pattern: u8) -> Option<Block> {
        let Step::Allocate {
            routine,
            pool,
            bytes,
            tag,
            options,
        } = *step
        else {
            return None;
        };
        let tag = if routine.has_tag() {
            tag
        } else {
            crate::guest::NONE
        };
        let mut block = Block::new(0, bytes, tag, pool);
        block.aligned = options.aligned;
        block.pattern = Some(pattern);
        block.charged = routine.charges(options) && !block.is_big();
        Some(block)
    }
}

impl Routine {
    /// Whether it is told a tag; without one it is `None`.
    pub fn has_tag(self) -> bool {
        !matches!(self, Routine::Plain | Routine::WithQuota)
    }

    /// Whether a process is charged for blocks within a page.
    fn charges(self, options: Options) -> bool {
        match self {
            Routine::WithQuota | Routine::WithQuotaTag => true,
            Routine::Pool2 | Routine::Pool3 => options.quota,
            Routine::Plain | Routine::WithTag | Routine::WithTagPriority => false,
        }
    }

    /// Whether it is one of those of Windows 10, which take `POOL_FLAGS`.
    pub fn takes_flags(self) -> bool {
        matches!(self, Routine::Pool2 | Routine::Pool3)
    }
}
