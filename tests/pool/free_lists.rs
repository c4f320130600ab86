//! The pool's free blocks, in the guest's own memory: each on the list of its size, linked both ways;
//! and each page a row of blocks that know their neighbours, with no two free ones side by side.

use crate::guest::{Pool, without_free_neighbours};
use poolhit::address::Va;
use poolhit::guest::pool::PoolKind;
use std::collections::BTreeSet;

/// `_POOL_DESCRIPTOR`: its size, `TotalPages`, `ListHeads`.
const DESCRIPTOR: usize = 0x1140;
const TOTAL_PAGES: usize = 0xc0;
const LIST_HEADS: usize = 0x140;
/// `_KPRCB.PPNPagedLookasideList` and `PPPagedLookasideList`: 32 of 0x60 bytes each.
const CACHES: [u64; 2] = [0x880, 0x1480];
/// `_POOL_HEADER.PoolType` of a block in a processor's cache.
const CACHED: u8 = 4;
/// More blocks than the tests' pools can have: a list of more goes in circles.
const MOST_BLOCKS: usize = 1 << 16;

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Whether everything agrees; or what does not.
pub fn check(pool: &Pool) -> Result<(), String> {
    for kind in PoolKind::ALL {
        let name = ["NonPagedPoolDescriptor", "PagedPoolDescriptor"][kind as usize];
        let descriptor = pool.symbol(name);
        let bytes = pool.read(descriptor.0, DESCRIPTOR);
        let listed =
            free_lists(pool, descriptor.0, &bytes).map_err(|what| format!("{name}: {what}"))?;
        let cached = cached_blocks(pool, kind)?;
        let pages = pages_of_blocks(pool, kind);
        let total = u32::from_le_bytes(bytes[TOTAL_PAGES..TOTAL_PAGES + 4].try_into().unwrap());
        if pages.len() != total as usize {
            return Err(format!("{name}: {} pages of {total}", pages.len()));
        }
        let mut seen = Seen::default();
        for page in pages {
            seen.walk(page, &pool.read(page, 0x1000))
                .map_err(|what| format!("the page at {page:x}: {what}"))?;
        }
        if seen.free != listed {
            return Err(format!("{name}: listed {listed:x?}, free {:x?}", seen.free));
        }
        if seen.cached != cached {
            return Err(format!(
                "{kind:?} cached {cached:x?}, marked {:x?}",
                seen.cached
            ));
        }
    }
    Ok(())
}

/// The headers' addresses and sizes in units, of all that is on a descriptor's lists.
fn free_lists(pool: &Pool, at: u64, bytes: &[u8]) -> Result<BTreeSet<(u64, u8)>, String> {
    let mut blocks = BTreeSet::new();
    for index in 0..256usize {
        let head = at + (LIST_HEADS + index * 16) as u64;
        let last = word(bytes, LIST_HEADS + index * 16 + 8);
        let (mut before, mut link) = (head, word(bytes, LIST_HEADS + index * 16));
        while link != head {
            let block = pool.read(link - 16, 32);
            if word(&block, 24) != before {
                return Err(format!(
                    "{link:x} is behind {before:x}, its Blink is {:x}",
                    word(&block, 24)
                ));
            }
            if usize::from(block[2]) != index + 1 || block[3] != 0 {
                return Err(format!(
                    "{link:x}, of {:x} units and type {}, is on list {index:x}",
                    block[2], block[3]
                ));
            }
            if !blocks.insert((link - 16, block[2])) || blocks.len() > MOST_BLOCKS {
                return Err(format!("{link:x} is listed twice"));
            }
            (before, link) = (link, word(&block, 16));
        }
        if last != before {
            return Err(format!(
                "list {index:x} ends at {before:x}; its head's Blink is {last:x}"
            ));
        }
    }
    Ok(blocks)
}

/// What lies in the processors' caches, each of which keeps four blocks of its size.
fn cached_blocks(pool: &Pool, kind: PoolKind) -> Result<BTreeSet<(u64, u8)>, String> {
    let mut blocks = BTreeSet::new();
    let processors = pool.symbol("KiProcessorBlock");
    for processor in [0, 8] {
        let prcb = pool.u64(processors.wrapping_add(processor));
        let caches = pool.read(prcb + CACHES[kind as usize], 32 * 0x60);
        for (index, cache) in caches.chunks_exact(0x60).enumerate() {
            let depth = usize::from(u16::from_le_bytes([cache[0], cache[1]]));
            let mut link = word(cache, 8) & !0xf;
            for _ in 0..depth {
                blocks.insert((link - 16, index as u8 + 1));
                link = pool.u64(Va(link));
            }
            if depth > 4 || link != 0 {
                return Err(format!(
                    "the {kind:?} cache {index:x} says {depth}, and goes on at {link:x}"
                ));
            }
        }
    }
    Ok(blocks)
}

/// The pages that hold blocks.
fn pages_of_blocks(pool: &Pool, kind: PoolKind) -> BTreeSet<u64> {
    let mut pages = BTreeSet::new();
    let view = pool.lab.pool().unwrap();
    view.visit_blocks(kind, &mut |block| {
        pages.insert(block.address.0 & !0xfff);
        true
    })
    .unwrap();
    pages
}

/// What walking the pages has found.
#[derive(Default)]
struct Seen {
    free: BTreeSet<(u64, u8)>,
    cached: BTreeSet<(u64, u8)>,
}

impl Seen {
    fn walk(&mut self, page: u64, bytes: &[u8]) -> Result<(), String> {
        let (mut at, mut before, mut before_is_free) = (0, 0, false);
        while at < bytes.len() {
            let [previous, _, units, state] = bytes[at..at + 4].try_into().unwrap();
            if previous != before || units == 0 {
                return Err(format!(
                    "+{at:x}: PreviousSize {previous:x} behind {before:x} units, BlockSize {units:x}"
                ));
            }
            let (address, is_free) = (page + at as u64, state == 0);
            if is_free && before_is_free {
                return Err(format!("+{at:x}: two free blocks side by side"));
            }
            // A header alone has no room for links.
            if is_free && units > 1 {
                self.free.insert((address, units));
            }
            if state == CACHED {
                self.cached.insert((address, units));
            }
            (before, before_is_free) = (units, is_free);
            at += usize::from(units) * 16;
        }
        if at != bytes.len() {
            return Err(format!("the last block ends at +{at:x}"));
        }
        Ok(())
    }
}

/// The check finds what it is there for: it is tried on lists and headers that have been tampered
/// with.
#[test]
fn tampering_is_found() {
    let mut pool = Pool::new();
    let tag = u64::from(u32::from_le_bytes(*b"TstF"));
    let allocate = |pool: &mut Pool| pool.call("ExAllocatePoolWithTag", &[0, 0x400, tag]).value;
    let block = without_free_neighbours(|| allocate(&mut pool));
    pool.call("ExFreePoolWithTag", &[block, tag]);
    assert_eq!(check(&pool), Ok(()));
    let header = block - 16;
    let saved = pool.read(header, 32);
    for (offset, byte) in [(0, 1), (2, 0x40), (3, 2), (8 + 8 + 8, 0x11)] {
        pool.write(header + offset, &[byte]);
        assert!(check(&pool).is_err(), "+{offset:x}");
        pool.write(header, &saved);
    }
    assert_eq!(check(&pool), Ok(()));
}
