//! The pool as it is in the guest: its routines called, its structures read. Layouts of Windows 7
//! x64, as `dt nt!_POOL_TRACKER_TABLE` and so on show them.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{BugCheck, CallError, Called};
use poolhit::machine::Snapshot;
use poolhit::memory::{ReadMemory, WriteMemory};
use std::collections::BTreeMap;

/// The tag of the tests' own making that nothing else uses: `Tst` and a letter.
pub const TAGS: [u32; 6] = [
    u32::from_le_bytes(*b"TstA"),
    u32::from_le_bytes(*b"TstB"),
    u32::from_le_bytes(*b"TstA") ^ 0x100,
    u32::from_le_bytes(*b"TstA") | 0x8000_0000,
    0xffff_ff0f,
    0x8000_0000,
];

/// The tag of requests without one.
pub const NONE: u32 = u32::from_le_bytes(*b"None");
/// The last entry of `PoolTrackTable`, for all tags that find no room.
pub const OVERFLOW: u32 = u32::from_le_bytes(*b"Ovfl");

/// `POOL_EXTENDED_PARAMETER`, first word: the type of a priority, and the bit that says that the
/// parameter may be ignored.
pub const PARAMETER_PRIORITY: u64 = 1;
pub const PARAMETER_OPTIONAL: u64 = 0x100;

/// Counters of a tag: allocations, frees and bytes, nonpaged and paged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub allocations: [u32; 2],
    pub frees: [u32; 2],
    pub bytes: [u64; 2],
}

/// A driver's lookaside list: the counters of its `_GENERAL_LOOKASIDE`, and its depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListCounters {
    pub kept: u16,
    pub allocates: u32,
    pub allocate_misses: u32,
    pub frees: u32,
    pub free_misses: u32,
}

/// What the current process is charged, nonpaged and paged, and the references to it
/// (`_EPROCESS.ProcessQuotaUsage`, `ProcessQuotaPeak`, `_OBJECT_HEADER.PointerCount`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    pub usage: [u64; 2],
    pub peak: [u64; 2],
    pub references: u64,
}

/// An entry of `PoolBigPageTable`: tag, pool type, bytes.
pub type BigEntry = (u32, u32, u64);

/// A pool's descriptor: running allocations, running frees, big pages, bytes.
pub type Descriptor = (u32, u32, u32, u64);

/// A lab small enough to be restored quickly, at its first prompt.
pub struct Pool {
    pub lab: Lab,
    start: Snapshot,
}

impl Pool {
    pub fn new() -> Pool {
        Pool::with_memory(8 << 20)
    }

    pub fn with_memory(bytes: u64) -> Pool {
        Pool::of(Lab::builder().memory(bytes).build().unwrap())
    }

    pub fn of(mut lab: Lab) -> Pool {
        let start = lab.machine_mut().save().unwrap();
        Pool { lab, start }
    }

    /// Back to the first prompt.
    pub fn restore(&mut self) {
        self.lab.machine_mut().restore(&self.start).unwrap();
    }

    pub fn call(&mut self, name: &str, arguments: &[u64]) -> Called {
        self.lab
            .call_kernel(name, arguments)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn try_call(&mut self, name: &str, arguments: &[u64]) -> Result<Called, CallError> {
        self.lab.call_kernel(name, arguments)
    }

    /// The bug check that a call ends in.
    #[track_caller]
    pub fn bug_check(&mut self, name: &str, arguments: &[u64]) -> BugCheck {
        match self.try_call(name, arguments) {
            Err(CallError::BugCheck { check, .. }) => check,
            other => panic!("{name} ends in no bug check: {other:x?}"),
        }
    }

    /// The call raises an exception, which nothing handles.
    #[track_caller]
    pub fn raises(&mut self, name: &str, arguments: &[u64], status: u32) {
        let check = self.bug_check(name, arguments);
        let status = i64::from(status as i32) as u64;
        assert_eq!((check.code, check.parameters[0]), (0x1e, status), "{name}");
    }

    pub fn set_hit_tag(&mut self, tag: u32) {
        let at = self.symbol("PoolHitTag");
        self.lab
            .machine_mut()
            .write(at, &tag.to_le_bytes())
            .unwrap();
    }

    pub fn symbol(&self, name: &str) -> Va {
        self.lab
            .kernel_symbol(name)
            .unwrap_or_else(|| panic!("no nt!{name}"))
    }

    pub fn u32(&self, at: Va) -> u32 {
        self.lab.machine().read_u32(at).unwrap()
    }

    pub fn u64(&self, at: Va) -> u64 {
        self.lab.machine().read_u64(at).unwrap()
    }

    /// `PoolTrackTable`, in its order: entries of 0x28 bytes.
    pub fn tracker_entries(&self) -> Vec<(u32, Counters)> {
        let table = self.u64(self.symbol("PoolTrackTable"));
        let size = self.u64(self.symbol("PoolTrackTableSize"));
        let bytes = self.read(table, size as usize * 0x28);
        let entry = |entry: &[u8]| {
            let u32 = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().unwrap());
            let u64 = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap());
            let counters = Counters {
                allocations: [u32(0x4), u32(0x18)],
                frees: [u32(0x8), u32(0x1c)],
                bytes: [u64(0x10), u64(0x20)],
            };
            (u32(0), counters)
        };
        bytes.chunks_exact(0x28).map(entry).collect()
    }

    /// `PoolTrackTable`, by tag: the entries that have counted something.
    pub fn trackers(&self) -> BTreeMap<u32, Counters> {
        let entries = self.tracker_entries().into_iter();
        entries
            .filter(|(_, counters)| *counters != Counters::default())
            .collect()
    }

    /// The structure of the process that the current thread runs in: `_KPCR.Prcb.CurrentThread`,
    /// `_KTHREAD.ApcState.Process`.
    pub fn process(&self) -> u64 {
        let processors = self.symbol("KiProcessorBlock");
        let prcbs = [0, 8].map(|at| self.u64(processors.wrapping_add(at)));
        let processes = prcbs.map(|prcb| self.u64(Va(self.u64(Va(prcb + 8)) + 0x70)));
        let system = self.u64(self.symbol("PsInitialSystemProcess"));
        // one of the processors is idle, in the system's process
        *processes
            .iter()
            .find(|&&process| process != system)
            .unwrap()
    }

    pub fn quota(&self) -> Quota {
        let process = self.process();
        let at = |offset: u64| self.u64(Va(process + offset));
        Quota {
            usage: [at(0x198), at(0x1a0)],
            peak: [at(0x1a8), at(0x1b0)],
            references: self.u64(Va(process - 0x30)),
        }
    }

    /// A lookaside list's counters.
    pub fn list(&self, at: u64) -> ListCounters {
        ListCounters {
            kept: self.u32(Va(at)) as u16,
            allocates: self.u32(Va(at + 0x14)),
            allocate_misses: self.u32(Va(at + 0x18)),
            frees: self.u32(Va(at + 0x1c)),
            free_misses: self.u32(Va(at + 0x20)),
        }
    }

    /// `PoolBigPageTable`, by address; entries of 0x18 bytes, free ones with the low bit of Va set.
    pub fn big_pages(&self) -> BTreeMap<u64, BigEntry> {
        let table = self.u64(self.symbol("PoolBigPageTable"));
        let size = self.u64(self.symbol("PoolBigPageTableSize"));
        let mut bytes = vec![0; size as usize * 0x18];
        self.lab.machine().read(Va(table), &mut bytes).unwrap();
        let word = |at: &[u8]| u64::from_le_bytes(at[..8].try_into().unwrap());
        bytes
            .chunks_exact(0x18)
            .map(|entry| {
                let middle = word(&entry[8..]);
                (
                    word(entry),
                    (middle as u32, (middle >> 32) as u32, word(&entry[16..])),
                )
            })
            .filter(|(va, _)| va & 1 == 0)
            .collect()
    }

    /// `NonPagedPoolDescriptor` or `PagedPoolDescriptor`.
    pub fn descriptor(&self, pool: usize) -> Descriptor {
        let at = self.symbol(["NonPagedPoolDescriptor", "PagedPoolDescriptor"][pool]);
        let field = |offset: u64| at.wrapping_add(offset);
        (
            self.u32(field(0x40)),
            self.u32(field(0x44)),
            self.u32(field(0x48)),
            self.u64(field(0x50)),
        )
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.lab.machine_mut().write(Va(at), bytes).unwrap();
    }

    pub fn write_words(&mut self, at: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(at, &bytes);
    }

    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.lab.machine().read(Va(at), &mut bytes).unwrap();
        bytes
    }
}

/// Allocates blocks of 0x400 bytes until one lies behind another at its page's end, and gives that: it has
/// no neighbour that is free.
pub fn without_free_neighbours(mut allocate: impl FnMut() -> u64) -> u64 {
    const DISTANCE: u64 = 0x410;
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(allocate());
        let is_so = |block: &&u64| {
            let ends_page = (*block + 0x400).is_multiple_of(0x1000);
            ends_page && all.contains(&(*block - DISTANCE))
        };
        if let Some(block) = all.iter().find(is_so) {
            return *block;
        }
    }
    panic!("no block at a page's end: {all:x?}");
}
