//! The pool as it is in the guest: its routines called, its structures read. Layouts of Windows 7
//! x64, as `dt nt!_POOL_TRACKER_TABLE` and so on show them.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{CallError, Called};
use poolhit::machine::Snapshot;
use poolhit::memory::{ReadMemory, WriteMemory};
use std::collections::BTreeMap;

/// The tag of the tests' own making that nothing else uses: `Tst` and a letter.
pub const TAGS: [u32; 5] = [
    u32::from_le_bytes(*b"TstA"),
    u32::from_le_bytes(*b"TstB"),
    u32::from_le_bytes(*b"TstA") ^ 0x100,
    u32::from_le_bytes(*b"TstA") | 0x8000_0000,
    0xffff_ff0f,
];

/// Counters of a tag: allocations, frees and bytes, nonpaged and paged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub allocations: [u32; 2],
    pub frees: [u32; 2],
    pub bytes: [u64; 2],
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
        let mut lab = Lab::builder().memory(bytes).build().unwrap();
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

    /// `PoolTrackTable`, by tag; entries of 0x28 bytes.
    pub fn trackers(&self) -> BTreeMap<u32, Counters> {
        let table = self.u64(self.symbol("PoolTrackTable"));
        let size = self.u64(self.symbol("PoolTrackTableSize"));
        let entries = (0..size).map(|index| {
            let at = |offset: u64| Va(table + index * 0x28 + offset);
            let counters = Counters {
                allocations: [self.u32(at(0x4)), self.u32(at(0x18))],
                frees: [self.u32(at(0x8)), self.u32(at(0x1c))],
                bytes: [self.u64(at(0x10)), self.u64(at(0x20))],
            };
            (self.u32(at(0)), counters)
        });
        entries
            .filter(|(_, counters)| *counters != Counters::default())
            .collect()
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

    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.lab.machine().read(Va(at), &mut bytes).unwrap();
        bytes
    }
}
