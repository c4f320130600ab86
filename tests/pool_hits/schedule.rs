//! What the program asks for, and what follows from it: written down from what a pool does, not
//! from how the guest does it.

use poolhit::tag::Tag;
use std::collections::{BTreeMap, BTreeSet};

pub const LEAK: Tag = Tag::from_bytes(*b"Leak");
pub const LEAK_PAGED: Tag = Tag::from_bytes(*b"Lea2");
/// `nt!PoolHitTag` at the start: no tag that anybody uses.
pub const NO_TAG: Tag = Tag(0xffffff0f);

/// How often the program makes all its requests.
pub const ROUNDS: usize = 256;
pub const REQUESTS: usize = ROUNDS * STEPS.len();

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Leaks paged pool, with the tag `Lea2`.
    LeakPaged(u64),
    /// Leaks nonpaged pool, with the tag `Leak`.
    LeakNonPaged(u64),
    /// Allocates and frees nonpaged pool, with the tag `Leak`.
    AllocateFree(u64),
    /// Frees what was leaked last to paged pool.
    FreeLast,
}
use Request::{AllocateFree, FreeLast, LeakNonPaged, LeakPaged};

/// One round.
pub const STEPS: [Request; 8] = [
    LeakPaged(0x2000),
    LeakPaged(0x1800),
    FreeLast,
    LeakNonPaged(0x40),
    LeakPaged(0x1000),
    AllocateFree(0x100),
    LeakNonPaged(0x1400),
    AllocateFree(0x3000),
];

pub fn requests() -> impl Iterator<Item = Request> {
    std::iter::repeat_n(STEPS, ROUNDS).flatten()
}

/// The way through the pool's code that a hit is on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Path {
    BigPool,
    /// A block within a page, from the free lists.
    SmallPool,
    /// A block within a page that the processor's cache has kept since it was freed.
    Cached,
    FreeBig,
    FreeSmall,
}

impl Path {
    pub fn is_free(self) -> bool {
        matches!(self, Path::FreeBig | Path::FreeSmall)
    }
}

/// What a request does to the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    pub request: Request,
    pub tag: Tag,
    pub path: Path,
    /// Bytes of pool taken or given back.
    pub bytes: u64,
}

/// The path of an allocation, and the bytes it takes: blocks of up to 0xfe0 bytes have a header
/// of 16 and come in multiples of that; all others take whole pages.
fn allocation(bytes: u64) -> (Path, u64) {
    if bytes > 0xfe0 {
        (Path::BigPool, bytes.next_multiple_of(0x1000))
    } else {
        (Path::SmallPool, (bytes + 16).next_multiple_of(16))
    }
}

/// All that the program's requests do with the two tags, in order.
pub fn operations() -> Vec<Operation> {
    let mut leaked = Vec::new();
    let mut cached = BTreeSet::new();
    let mut operations = Vec::new();
    for request in requests() {
        let mut push = |tag, path, bytes| {
            operations.push(Operation {
                request,
                tag,
                path,
                bytes,
            });
        };
        match request {
            LeakPaged(asked) => {
                let (path, bytes) = allocation(asked);
                leaked.push(bytes);
                push(LEAK_PAGED, path, bytes);
            }
            LeakNonPaged(asked) => {
                let (path, bytes) = allocation(asked);
                push(LEAK, path, bytes);
            }
            AllocateFree(asked) => {
                let (path, bytes) = allocation(asked);
                if path == Path::BigPool {
                    push(LEAK, path, bytes);
                    push(LEAK, Path::FreeBig, bytes);
                } else {
                    // Blocks of up to 0x200 bytes stay with the processor when they are freed, and
                    // nothing else here frees any of this size.
                    assert!(bytes <= 0x200);
                    let path = if cached.insert(bytes) {
                        path
                    } else {
                        Path::Cached
                    };
                    push(LEAK, path, bytes);
                    push(LEAK, Path::FreeSmall, bytes);
                }
            }
            FreeLast => push(LEAK_PAGED, Path::FreeBig, leaked.pop().unwrap()),
        }
    }
    operations
}

/// What hits with a tag, in order.
pub fn hits(tag: Tag) -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(move |one| one.tag == tag)
}

/// A tag's counters in one of the pools.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    pub allocations: u32,
    pub frees: u32,
    pub bytes: u64,
}

/// The counters of nonpaged and of paged pool, by tag.
pub type CountersByTag = BTreeMap<Tag, [Counters; 2]>;

/// What the whole program adds to the counters.
pub fn counters() -> CountersByTag {
    let mut counters = CountersByTag::new();
    for one in operations() {
        let paged = usize::from(one.tag == LEAK_PAGED);
        let counter = &mut counters.entry(one.tag).or_default()[paged];
        if one.path.is_free() {
            counter.frees += 1;
            counter.bytes -= one.bytes;
        } else {
            counter.allocations += 1;
            counter.bytes += one.bytes;
        }
    }
    let passing = |count: usize| {
        let nonpaged = Counters {
            allocations: count as u32,
            frees: count as u32,
            bytes: 0,
        };
        [nonpaged, Counters::default()]
    };
    // Each request has an IRP and a buffer for its input; opening and closing the device takes
    // the file, and an IRP each to create it, clean it up and close it.
    counters.insert(Tag::from_bytes(*b"Irp "), passing(REQUESTS + 3));
    counters.insert(Tag::from_bytes(*b"Io  "), passing(REQUESTS));
    counters.insert(Tag::from_bytes(*b"File"), passing(1));
    // The path given, and what directories are searched for: that path, and the one that the link
    // stands for.
    let [paths, none] = passing(3);
    counters.insert(Tag::from_bytes(*b"ObNm"), [none, paths]);
    counters
}
