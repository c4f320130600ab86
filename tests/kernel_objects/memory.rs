//! Virtual memory, sections, physical memory. WDK: "ZwAllocateVirtualMemory", "ZwCreateSection",
//! "ZwMapViewOfSection", "MmMapIoSpace".

use crate::guest::*;
use poolhit::address::Va;
use poolhit::memory::{ReadMemory, WriteMemory};

const CONFLICTING: u32 = 0xc000_0018;
const NOT_MAPPED: u32 = 0xc000_0019;
const INVALID_VIEW_SIZE: u32 = 0xc000_001f;
const SECTION_PROTECTION: u32 = 0xc000_004e;
const CURRENT: u64 = u64::MAX;
const COMMIT: u64 = 0x1000;
const RESERVE: u64 = 0x2000;
const RELEASE: u64 = 0x8000;
const READ_WRITE: u64 = 4;
const READ_ONLY: u64 = 2;

/// Base and size of what a request that changes them comes to.
fn allocate(
    guest: &mut Guest,
    base: u64,
    size: u64,
    kind: u64,
    protect: u64,
) -> Result<(u64, u64), u32> {
    let (base, size) = (guest.put(&words(&[base])), guest.put(&words(&[size])));
    let call = [CURRENT, base, 0, size, kind, protect];
    match guest.status("ZwAllocateVirtualMemory", &call) {
        SUCCESS => Ok((guest.u64(base), guest.u64(size))),
        status => Err(status),
    }
}

fn free(guest: &mut Guest, base: u64, size: u64, kind: u64) -> u32 {
    let (base, size) = (guest.put(&words(&[base])), guest.put(&words(&[size])));
    guest.status("ZwFreeVirtualMemory", &[CURRENT, base, size, kind])
}

/// Base, allocation base, size, state, protection.
fn query(guest: &mut Guest, address: u64) -> [u64; 5] {
    let buffer = guest.room(0x30);
    guest.succeeds(
        "ZwQueryVirtualMemory",
        &[CURRENT, address, 0, buffer, 0x30, 0],
    );
    [
        guest.u64(buffer),
        guest.u64(buffer + 8),
        guest.u64(buffer + 0x18),
        guest.u32(buffer + 0x20).into(),
        guest.u32(buffer + 0x24).into(),
    ]
}

#[test]
fn memory_is_reserved_committed_and_released() {
    let mut guest = Guest::new();
    let pages = |guest: &Guest| guest.u64(guest.lab.kernel_symbol("MmAvailablePages").unwrap().0);
    // the page tables, which stay
    let (base, _) = allocate(&mut guest, 0, 0x3001, COMMIT, READ_WRITE).unwrap();
    assert_eq!(free(&mut guest, base, 0, RELEASE), SUCCESS);
    let (base, size) = allocate(&mut guest, 0, 0x3001, RESERVE, READ_WRITE).unwrap();
    assert_eq!((base % 0x1_0000, size), (0, 0x4000));
    assert!(guest.lab.machine().read_u8(Va(base)).is_err());
    assert_eq!(
        query(&mut guest, base + 0x1234),
        [base + 0x1000, base, 0x3000, RESERVE, 0]
    );
    let before = pages(&guest);
    let committed = allocate(&mut guest, base + 0x1234, 8, COMMIT, READ_WRITE);
    assert_eq!(committed, Ok((base + 0x1000, 0x1000)));
    assert_eq!(
        query(&mut guest, base + 0x1000),
        [base + 0x1000, base, 0x1000, COMMIT, READ_WRITE]
    );
    assert_eq!(query(&mut guest, base)[2..], [0x1000, RESERVE, 0]);
    assert_eq!(guest.bytes(base + 0x1000, 0x1000), [0; 0x1000]);
    guest
        .lab
        .machine_mut()
        .write(Va(base + 0x1000), b"kept")
        .unwrap();
    // committing again keeps what is there
    allocate(&mut guest, base, 0x4000, COMMIT, READ_ONLY).unwrap();
    assert_eq!(guest.bytes(base + 0x1000, 4), b"kept");
    assert_eq!(query(&mut guest, base)[2..], [0x4000, COMMIT, READ_ONLY]);
    assert_eq!(
        allocate(&mut guest, base, 0x5000, COMMIT, READ_WRITE),
        Err(CONFLICTING)
    );
    assert_eq!(
        allocate(&mut guest, base, 0x1000, RESERVE, READ_WRITE),
        Err(CONFLICTING)
    );
    assert_eq!(free(&mut guest, base + 0x1000, 0, RELEASE), 0xc000_009f);
    assert_eq!(free(&mut guest, base, 0, RELEASE), SUCCESS);
    assert_eq!(pages(&guest), before);
    assert!(guest.lab.machine().read_u8(Va(base)).is_err());
    assert_eq!(free(&mut guest, base, 0, RELEASE), 0xc000_00a0);
    assert_eq!(query(&mut guest, base)[3], 0x1_0000, "free");
}

#[test]
fn releasing_the_middle_leaves_two_ranges() {
    let mut guest = Guest::new();
    let (base, _) = allocate(&mut guest, 0, 0x3000, RESERVE | COMMIT, READ_WRITE).unwrap();
    assert_eq!(free(&mut guest, base + 0x1000, 0x1000, RELEASE), SUCCESS);
    let states = [0, 0x1000, 0x2000].map(|offset| query(&mut guest, base + offset)[3]);
    assert_eq!(states, [COMMIT, 0x1_0000, COMMIT]);
    assert_eq!(free(&mut guest, base, 0x1000, RELEASE), SUCCESS);
    assert_eq!(free(&mut guest, base + 0x2000, 0, RELEASE), SUCCESS);
}

/// Windows 7 gives page 0 to whoever asks for an address in it.
#[test]
fn page_zero() {
    let mut guest = Guest::new();
    let allocated = allocate(&mut guest, 1, 0x1000, RESERVE | COMMIT, READ_WRITE);
    assert_eq!(allocated, Ok((0, 0x2000)));
    assert_eq!(guest.bytes(0x10, 4), [0; 4]);
}

#[test]
fn what_cannot_be_allocated() {
    let mut guest = Guest::new();
    let high = 0x7ff_ffff_0000_u64;
    for (base, size, kind, protect, status) in [
        (0, 0, COMMIT, READ_WRITE, 0xc000_00f2),
        (0, 0x1000, 0, READ_WRITE, 0xc000_00f3),
        (0, 0x1000, COMMIT | 1, READ_WRITE, 0xc000_00f3),
        (0, 0x1000, COMMIT, 3, 0xc000_0045),
        (high, 0x1000, COMMIT, READ_WRITE, 0xc000_00f0),
        (
            0xffff_f800_0000_0000,
            0x1000,
            RESERVE,
            READ_WRITE,
            0xc000_00f0,
        ),
        (high - 0x1_0000, 0x2_0000, RESERVE, READ_WRITE, 0xc000_00f2),
        // the program lies there
        (0xff22_0000, 0x1000, RESERVE, READ_WRITE, CONFLICTING),
        // more than there is
        (0, 1 << 29, COMMIT, READ_WRITE, 0xc000_0017),
    ] {
        let found = allocate(&mut guest, base, size, kind, protect);
        assert_eq!(found, Err(status), "{base:x} {size:x} {kind:x} {protect:x}");
    }
}

fn section(guest: &mut Guest, size: u64, protect: u64) -> Result<u64, u32> {
    let attributes = guest.attributes_at(0, None, KERNEL_HANDLE);
    let size = guest.put(&words(&[size]));
    let call = [0xf_001f, attributes, size, protect, 0x800_0000, 0];
    guest.handle("ZwCreateSection", &call)
}

fn map(
    guest: &mut Guest,
    section: u64,
    offset: u64,
    size: u64,
    protect: u64,
) -> Result<(u64, u64), u32> {
    let (base, offset) = (guest.put(&words(&[0])), guest.put(&words(&[offset])));
    let size = guest.put(&words(&[size]));
    let call = [section, CURRENT, base, 0, 0, offset, size, 2, 0, protect];
    match guest.status("ZwMapViewOfSection", &call) {
        SUCCESS => Ok((guest.u64(base), guest.u64(size))),
        status => Err(status),
    }
}

#[test]
fn views_of_a_section_share_its_memory() {
    let mut guest = Guest::new();
    let section = section(&mut guest, 0x1_2345, READ_WRITE).unwrap();
    let (one, size) = map(&mut guest, section, 0, 0, READ_WRITE).unwrap();
    assert_eq!(size, 0x1_3000);
    let (two, size) = map(&mut guest, section, 0x1_0000, 0x1000, READ_ONLY).unwrap();
    assert_eq!(size, 0x1000);
    assert_eq!(guest.bytes(one, 0x100), [0; 0x100]);
    guest
        .lab
        .machine_mut()
        .write(Va(one + 0x1_0ffe), b"ab")
        .unwrap();
    assert_eq!(guest.bytes(two + 0xffe, 2), b"ab");
    let object = guest.object(section);
    assert_eq!(guest.counts(object), (3, 1), "the views refer to it");
    for (offset, size, protect, status) in [
        (0x1_3000, 0, READ_ONLY, INVALID_VIEW_SIZE),
        (0x1_0000, 0x4000, READ_ONLY, INVALID_VIEW_SIZE),
        (0x1000, 0x1000, READ_ONLY, 0xc000_0220),
        (0, 0x1000, 0x20, SECTION_PROTECTION),
        (0, 0x1000, 0x1234, 0xc000_0045),
    ] {
        let found = map(&mut guest, section, offset, size, protect);
        // an offset behind the end, that is aligned to nothing
        if offset == 0x1_3000 {
            assert_eq!(found, Err(0xc000_0220));
        } else {
            assert_eq!(found, Err(status), "{offset:x} {size:x} {protect:x}");
        }
    }
    guest.close(section);
    guest.succeeds("ZwUnmapViewOfSection", &[CURRENT, one]);
    assert_eq!(guest.bytes(two + 0xffe, 2), b"ab");
    guest.succeeds("ZwUnmapViewOfSection", &[CURRENT, two + 0x10]);
    assert_eq!(
        guest.status("ZwUnmapViewOfSection", &[CURRENT, two]),
        NOT_MAPPED
    );
}

#[test]
fn a_section_gives_its_pages_back() {
    let mut guest = Guest::new();
    let pages = |guest: &Guest| guest.u64(guest.lab.kernel_symbol("MmAvailablePages").unwrap().0);
    // the tables for the views, and pool
    for _ in 0..2 {
        let section = section(&mut guest, 0x8000, READ_WRITE).unwrap();
        let (view, _) = map(&mut guest, section, 0, 0, READ_WRITE).unwrap();
        guest.succeeds("ZwUnmapViewOfSection", &[CURRENT, view]);
        guest.close(section);
    }
    let before = pages(&guest);
    let section = section(&mut guest, 0x8000, READ_WRITE).unwrap();
    let (view, _) = map(&mut guest, section, 0, 0, READ_WRITE).unwrap();
    assert_eq!(pages(&guest), before - 8);
    guest.close(section);
    assert_eq!(pages(&guest), before - 8);
    guest.succeeds("ZwUnmapViewOfSection", &[CURRENT, view]);
    assert_eq!(pages(&guest), before);
}

#[test]
fn sections_that_cannot_be() {
    let mut guest = Guest::new();
    for (size, protect, status) in [
        (0, READ_WRITE, 0xc000_00f2),
        (1 << 40, READ_WRITE, 0xc000_0040),
        (0x1000, 1, 0xc000_0045),
        (0x1000, 0x999, 0xc000_0045),
    ] {
        assert_eq!(section(&mut guest, size, protect), Err(status));
    }
}

#[test]
fn physical_memory_is_mapped_where_it_is() {
    let mut guest = Guest::new();
    let word = guest.put(&words(&[0x1122_3344_5566_7788]));
    let physical = guest.call("MmGetPhysicalAddress", &[word]);
    assert_eq!(physical & 0xfff, word & 0xfff);
    assert_eq!(guest.call("MmGetVirtualForPhysical", &[physical]), word);
    // a page table is where the self-map has it: the topmost at its own entry's place
    for table in [
        0xffff_f6fb_7dbe_d000,
        0xffff_f6fb_7da0_0000 + (word >> 39 & 0x1ff) * 0x1000,
    ] {
        let physical = guest.call("MmGetPhysicalAddress", &[table]);
        assert_ne!(physical, 0);
        assert_eq!(guest.call("MmGetVirtualForPhysical", &[physical]), table);
    }
    let mapped = guest.call("MmMapIoSpace", &[physical, 8, 0]);
    assert_eq!(guest.u64(mapped), 0x1122_3344_5566_7788);
    guest.lab.machine_mut().write(Va(mapped), &[0xff]).unwrap();
    assert_eq!(guest.bytes(word, 1), [0xff]);
    guest.call("MmUnmapIoSpace", &[mapped, 8]);
    assert!(guest.lab.machine().read_u8(Va(mapped)).is_err());
    assert_eq!(
        guest.call("MmMapIoSpace", &[physical, 8, 0]),
        mapped,
        "the place is free again"
    );
    assert_eq!(guest.call("MmMapIoSpace", &[physical, 0, 0]), 0);
    assert_eq!(guest.call("MmMapIoSpace", &[u64::MAX - 7, 16, 0]), 0);
    assert_eq!(
        guest.call("MmGetPhysicalAddress", &[0xffff_fa80_0fff_0000]),
        0
    );
}

#[test]
fn contiguous_memory_is_in_a_row() {
    let mut guest = Guest::new();
    let pages = guest.u64(guest.lab.kernel_symbol("MmAvailablePages").unwrap().0);
    let memory = guest.call("MmAllocateContiguousMemory", &[0x5001, u64::MAX >> 1]);
    assert_ne!(memory, 0);
    let first = guest.call("MmGetPhysicalAddress", &[memory]);
    for page in 0..6 {
        let at = memory + page * 0x1000;
        assert_eq!(
            guest.call("MmGetPhysicalAddress", &[at]),
            first + page * 0x1000
        );
    }
    guest.call("MmFreeContiguousMemory", &[memory]);
    let left = guest.u64(guest.lab.kernel_symbol("MmAvailablePages").unwrap().0);
    // page tables stay
    assert!(pages - left <= 3, "{pages} {left}");
    assert_eq!(
        guest.call("MmAllocateContiguousMemory", &[0x5001, 0x1000]),
        0,
        "too low"
    );
    let ranges = guest.call("MmGetPhysicalMemoryRanges", &[]);
    let found = [0, 8, 16, 24].map(|offset| guest.u64(ranges + offset));
    assert_eq!(found, [0, 32 << 20, 0, 0]);
}
