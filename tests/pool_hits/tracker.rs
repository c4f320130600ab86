//! The pool's structures, as a debugger reads them from the guest (Windows 7 x64's layouts).

use crate::schedule::{Counters, CountersByTag};
use crate::symbol;
use poolhit::Session;
use poolhit::address::Va;
use poolhit::memory::ReadMemory;
use poolhit::tag::Tag;

fn u32_at(session: &Session, address: Va) -> u32 {
    session.lab().machine().read_u32(address).unwrap()
}

fn u64_at(session: &Session, address: Va) -> u64 {
    session.lab().machine().read_u64(address).unwrap()
}

fn table(session: &Session, pointer: &str, size: &str, entry: u64) -> impl Iterator<Item = Va> {
    let start = Va(u64_at(session, symbol(session, pointer)));
    let count = u64_at(session, symbol(session, size));
    (0..count).map(move |number| start.wrapping_add(number * entry))
}

/// `nt!PoolTrackTable`, an array of `_POOL_TRACKER_TABLE`, without the entries that are not used.
pub fn counters(session: &Session) -> CountersByTag {
    let mut counters = CountersByTag::new();
    for at in table(session, "nt!PoolTrackTable", "nt!PoolTrackTableSize", 0x28) {
        let tag = Tag(u32_at(session, at));
        let pool = |counts, bytes| Counters {
            allocations: u32_at(session, at.wrapping_add(counts)),
            frees: u32_at(session, at.wrapping_add(counts + 4)),
            bytes: u64_at(session, at.wrapping_add(bytes)),
        };
        let (nonpaged, paged) = (pool(0x4, 0x10), pool(0x18, 0x20));
        if tag != Tag(0) {
            let former = counters.insert(tag, [nonpaged, paged]);
            assert_eq!(former, None, "{tag} has two entries");
        }
    }
    counters
}

/// A `_POOL_TRACKER_BIG_PAGES`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BigPages {
    pub address: Va,
    pub tag: Tag,
    pub bytes: u64,
}

/// `nt!PoolBigPageTable`, without the entries that hold no allocation.
pub fn big_pages(session: &Session) -> Vec<BigPages> {
    table(
        session,
        "nt!PoolBigPageTable",
        "nt!PoolBigPageTableSize",
        0x18,
    )
    .map(|at| BigPages {
        address: Va(u64_at(session, at)),
        tag: Tag(u32_at(session, at.wrapping_add(8))),
        bytes: u64_at(session, at.wrapping_add(0x10)),
    })
    .filter(|entry| entry.address.0 & 1 == 0)
    .collect()
}

/// A pool's sums, from its `_POOL_DESCRIPTOR` in `nt!PoolVector`: 0 is nonpaged, 1 paged.
pub fn descriptor(session: &Session, pool: u64) -> Counters {
    let vector = symbol(session, "nt!PoolVector");
    let at = Va(u64_at(session, vector.wrapping_add(pool * 8)));
    Counters {
        allocations: u32_at(session, at.wrapping_add(0x40)),
        frees: u32_at(session, at.wrapping_add(0x44)),
        bytes: u64_at(session, at.wrapping_add(0x50)),
    }
}

/// The tag and size in the `_POOL_HEADER` in front of a block.
pub fn header_of(session: &Session, block: Va) -> (Tag, u64) {
    let header = block.wrapping_sub(0x10);
    let units = u32_at(session, header) >> 16 & 0xff;
    let tag = u32_at(session, header.wrapping_add(4));
    (Tag(tag), u64::from(units) * 16)
}
