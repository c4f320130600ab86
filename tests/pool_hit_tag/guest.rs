//! A guest to run one row after another in: calls of the kernel's routines, and where they hit.

use End::*;
use Site::*;
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::CallError;
use poolhit::machine::{Exit, Snapshot};
use poolhit::memory::WriteMemory;

/// The tag that finds the sites out.
const PROBE: u32 = u32::from_le_bytes(*b"Site");
/// What `PoolHitTag` holds if nobody has edited it.
pub const DEFAULT: u32 = 0xffff_ff0f;

pub const PAGED: u64 = 1;
/// Blocks within a page, too large for a processor's cache.
pub const SMALL: u64 = 0x300;
/// Blocks that a processor's cache takes back.
pub const CACHEABLE: u64 = 0x40;
/// Whole pages.
pub const LARGE: u64 = 0x2000;

pub const ALLOCATE: &str = "ExAllocatePoolWithTag";
pub const FREE: &str = "ExFreePoolWithTag";

/// Where the kernel compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    AllocateFromLists,
    AllocateFromCache,
    AllocateLarge,
    FreeSmall,
    FreeLarge,
}

pub const SITES: [Site; 5] = [
    AllocateFromLists,
    AllocateFromCache,
    AllocateLarge,
    FreeSmall,
    FreeLarge,
];

/// An argument of a call: a number, or what an earlier call of the row gave.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    Value(u64),
    Result(usize),
}

pub type Call<'a> = (&'a str, &'a [Argument]);

/// How the last call of a row ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With something else than NULL, or with nothing.
    Well,
    Null,
    /// With a bug check of this code and first parameter, and no hit before it.
    BugCheck(u32, u64),
    /// With a hit that a bug check would follow.
    HitFirst,
}

pub struct Guest {
    pub lab: Lab,
    booted: Snapshot,
    /// The break instructions' addresses, in the order of [`SITES`].
    pub addresses: Vec<Va>,
}

impl Guest {
    pub fn new() -> Guest {
        // Restoring is the most that a row costs: a small memory makes it cheap.
        let mut lab = Lab::builder().memory(8 << 20).build().unwrap();
        let booted = lab.machine_mut().save().unwrap();
        let mut guest = Guest {
            lab,
            booted,
            addresses: Vec::new(),
        };
        guest.addresses = SITES
            .map(|site| {
                guest.reset();
                let hits = guest.pass(site, PROBE, PROBE);
                assert_eq!(hits.len(), 1, "{site:?} hits once: {hits:?}");
                hits[0]
            })
            .to_vec();
        guest
    }

    pub fn reset(&mut self) {
        self.lab.machine_mut().restore(&self.booted).unwrap();
    }

    fn set_hit_tag(&mut self, tag: u32) {
        let at = self.lab.kernel_symbol("PoolHitTag").unwrap();
        let bytes = tag.to_le_bytes();
        self.lab.machine_mut().write(at, &bytes).unwrap();
    }

    fn call(&mut self, routine: &str, arguments: &[u64]) -> Result<(u64, Vec<Va>), CallError> {
        let called = self.lab.call_kernel(routine, arguments)?;
        Ok((called.value, called.hits))
    }

    /// Passes one site with a tag, while `PoolHitTag` is `hit_tag`; nothing else can hit.
    pub fn pass(&mut self, site: Site, tag: u32, hit_tag: u32) -> Vec<Va> {
        let (allocate, free) = (ALLOCATE, FREE);
        let tag = u64::from(tag);
        let block = |bytes| [PAGED, bytes, tag];
        let prepared = match site {
            AllocateFromLists | AllocateLarge => 0,
            AllocateFromCache => {
                let (at, _) = self.call(allocate, &block(CACHEABLE)).unwrap();
                self.call(free, &[at, tag]).unwrap();
                at
            }
            FreeSmall => self.call(allocate, &block(SMALL)).unwrap().0,
            FreeLarge => self.call(allocate, &block(LARGE)).unwrap().0,
        };
        self.set_hit_tag(hit_tag);
        let (routine, arguments) = match site {
            AllocateFromLists => (allocate, block(SMALL).to_vec()),
            AllocateFromCache => (allocate, block(CACHEABLE).to_vec()),
            AllocateLarge => (allocate, block(LARGE).to_vec()),
            FreeSmall | FreeLarge => (free, vec![prepared, tag]),
        };
        let (value, hits) = self.call(routine, &arguments).unwrap();
        if site == AllocateFromCache {
            assert_eq!(value, prepared, "the cache gives back what it got");
        }
        self.set_hit_tag(DEFAULT);
        hits
    }

    /// A call that ends in a bug check does not say what it hit on the way: breakpoints on the
    /// sites end it at the first.
    fn watch_sites(&mut self, watched: bool) {
        for address in self.addresses.clone() {
            let machine = self.lab.machine_mut();
            match watched {
                true => machine.set_breakpoint(address).unwrap(),
                false => machine.clear_breakpoint(address).unwrap(),
            }
        }
    }

    pub fn sites(&self, hits: &[Va]) -> Vec<Site> {
        let site = |hit: &Va| {
            let index = self.addresses.iter().position(|address| address == hit);
            SITES[index.unwrap_or_else(|| panic!("a hit at {hit}"))]
        };
        hits.iter().map(site).collect()
    }

    /// Makes the calls of a row from a fresh boot, those of `before` while nothing can hit, and
    /// checks which sites hit, and how the last call ends.
    #[track_caller]
    pub fn check(
        &mut self,
        row: &str,
        before: &[Call<'_>],
        hit_tag: u32,
        calls: &[Call<'_>],
        expected: &[Site],
        end: End,
    ) {
        self.reset();
        let mut results = Vec::new();
        let mut hits = Vec::new();
        let mut found = Well;
        for (index, (routine, arguments)) in before.iter().chain(calls).enumerate() {
            if index == before.len() {
                self.set_hit_tag(hit_tag);
            }
            let value = |argument: &Argument| match argument {
                Argument::Value(value) => *value,
                Argument::Result(index) => results[*index],
            };
            let arguments: Vec<u64> = arguments.iter().map(value).collect();
            let watched = matches!(end, BugCheck(..) | HitFirst) && index >= before.len();
            self.watch_sites(watched);
            let called = self.call(routine, &arguments);
            self.watch_sites(false);
            match called {
                Ok((value, more)) => {
                    assert!(
                        index >= before.len() || more.is_empty(),
                        "{row}: a hit before"
                    );
                    hits.extend(more);
                    results.push(value);
                    let is_null = routine.contains("Allocate") && value == 0;
                    found = if is_null { Null } else { Well };
                }
                Err(CallError::BugCheck { check, .. }) => {
                    found = BugCheck(check.code, check.parameters[0]);
                    break;
                }
                Err(CallError::Stopped {
                    exit: Exit::Breakpoint { address },
                    ..
                }) => {
                    hits.push(address);
                    found = HitFirst;
                    break;
                }
                Err(error) => panic!("{row}: {error}"),
            }
        }
        assert_eq!(self.sites(&hits), expected, "{row}");
        assert_eq!(found, end, "{row}");
    }
}
