//! Physical memory that the machine does not have: reads give ones, writes are dropped (WDK,
//! "MmMapIoSpace", says nothing of it; it is what a PC's bus does where no device answers).

use crate::guest::*;
use poolhit::address::Va;
use poolhit::memory::ReadMemory;

const NON_CACHED: u64 = 0;
const PAGES: u64 = 3;
const BYTES: u64 = PAGES * 0x1000;

/// Maps what is `distance` behind the end of memory.
fn mapped(guest: &mut Guest, distance: u64) -> u64 {
    let physical = guest.lab.machine().memory_size() + distance;
    let mapped = guest.call("MmMapIoSpace", &[physical, BYTES, NON_CACHED]);
    assert_ne!(mapped, 0);
    assert_eq!(guest.call("MmGetPhysicalAddress", &[mapped]), physical);
    mapped
}

#[test]
fn reads_give_ones_and_writes_are_dropped() {
    for distance in [0, 0x1_0000, 0xfee0_0000, 0xff_0000_0000] {
        let mut guest = Guest::new();
        let mapped = mapped(&mut guest, distance);
        let copy = guest.put(&[0x55; BYTES as usize + 0x10]);
        for round in 0..2 {
            guest.call("memcpy", &[copy, mapped, BYTES]);
            let mut expected = vec![0xff; BYTES as usize];
            assert_eq!(guest.bytes(copy, BYTES as usize), expected, "{round}");
            // across pages, at odd addresses
            guest.call("memset", &[mapped + 3, 0x11, BYTES - 7]);
            guest.call("memset", &[copy, 0x22, BYTES]);
            guest.call("memcpy", &[copy, mapped + 1, 0x1fff]);
            expected.truncate(0x1fff);
            expected.push(0x22);
            assert_eq!(guest.bytes(copy, 0x2000), expected, "{round}");
        }
        let beyond = guest.bytes(copy + BYTES, 0x10);
        assert_eq!(beyond, [0x55; 0x10]);
        guest.call("MmUnmapIoSpace", &[mapped, BYTES]);
    }
}

/// The first use is a write, with more to do in the same block of code.
#[test]
fn what_follows_a_dropped_write_is_done() {
    let mut guest = Guest::new();
    let mapped = mapped(&mut guest, 0);
    let code = [
        &[0x48, 0xb8][..], // mov rax, mapped
        &(mapped + 0xffe).to_le_bytes(),
        &[0xc7, 0x00, 0x78, 0x56, 0x34, 0x12], // mov dword ptr [rax], 0x12345678, in two pages
        &[0xb9, 0x05, 0x00, 0x00, 0x00],       // mov ecx, 5
        &[0x83, 0xc1, 0x02],                   // add ecx, 2
        &[0x66, 0x03, 0x08],                   // add cx, [rax]
        &[0xff, 0x00],                         // inc dword ptr [rax]
        &[0x8b, 0x00],                         // mov eax, [rax]
        &[0x48, 0xc1, 0xe0, 0x20],             // shl rax, 32
        &[0x48, 0x09, 0xc8],                   // or rax, rcx
        &[0xc3],
    ];
    let code = guest.put(&code.concat());
    let value = guest.call("KeIpiGenericCall", &[code, 0]);
    assert_eq!(value, 0xffff_ffff_0000_0006);
}

#[test]
fn a_copy_behaves_like_its_source() {
    let mut guest = Guest::new();
    let before = guest.lab.save().unwrap();
    let run = |guest: &mut Guest| {
        let mapped = mapped(guest, 0x1000);
        let copy = guest.put(&[0x55; BYTES as usize]);
        guest.call("memset", &[mapped, 0, BYTES]);
        guest.call("memcpy", &[copy, mapped, BYTES]);
        assert_eq!(
            guest.call("RtlCompareMemory", &[copy, mapped, BYTES]),
            BYTES
        );
        guest.reset();
        guest.lab.machine().state_hash()
    };
    let first = run(&mut guest);
    let after = guest.lab.save().unwrap();
    let second = run(&mut guest);
    // back, in the same machine and in others, to before the first use and behind it
    for (saved, expected) in [(&before, first), (&after, second), (&before, first)] {
        guest.lab.restore(saved).unwrap();
        assert_eq!(run(&mut guest), expected);
        guest.lab = saved.lab().unwrap();
        assert_eq!(run(&mut guest), expected);
    }
}

#[test]
fn a_view_of_physical_memory_reaches_there() {
    let mut guest = Guest::new();
    let attributes = guest.attributes(r"\Device\PhysicalMemory", 0);
    let handle = guest.put(&[0; 8]);
    guest.succeeds("ZwOpenSection", &[handle, 6, attributes]);
    let handle = guest.u64(handle);
    let end = guest.lab.machine().memory_size();
    // the last page of memory, and one that is none
    let (base, size) = (guest.put(&[0; 8]), guest.put(&words(&[0x2000])));
    let offset = guest.put(&words(&[end - 0x1000]));
    let view = [handle, u64::MAX, base, 0, 0, offset, size, 1, 0, 4];
    guest.succeeds("ZwMapViewOfSection", &view);
    let base = guest.u64(base);
    let copy = guest.put(&[0; 0x10]);
    guest.call("memset", &[base + 0xff8, 0x33, 0x10]);
    guest.call("memcpy", &[copy, base + 0xff8, 0x10]);
    assert_eq!(
        guest.bytes(copy, 0x10),
        [[0x33; 8], [0xff; 8]].concat(),
        "memory is written, and what is behind it is not"
    );
    // A debugger sees the guest's memory only.
    let machine = guest.lab.machine();
    assert!(machine.read_u8(Va(base + 0x1000)).is_err());
}
