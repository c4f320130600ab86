//! System services that the kernel's own code calls, a driver's: by the Zw routines, which make a machine
//! frame and go into the service as a system call of ring 0.

use crate::VISITS;
use crate::guest::Guest;
use crate::threads::boot;
use poolhit::address::Va;
use poolhit::machine::Exit;
use poolhit::memory::{ReadMemory, WriteMemory};
use std::collections::BTreeMap;

/// What the driver calls, first in DriverEntry and then in a thread.
const SERVICES: u8 = 52;
const TIMEOUT: u64 = 0x102;
const NO_MORE_ENTRIES: u64 = 0x8000_001a;
const INVALID_HANDLE: u64 = 0xc000_0008;
const NOT_MAPPED_VIEW: u64 = 0xc000_0019;
const BUFFER_TOO_SMALL: u64 = 0xc000_0023;
const OBJECT_NAME_NOT_FOUND: u64 = 0xc000_0034;
const MUTANT_NOT_OWNED: u64 = 0xc000_0046;

/// What comes of those calls that are not just successful.
const OTHERS: [(u32, u64); 11] = [
    (502, TIMEOUT),
    (503, TIMEOUT),
    (509, MUTANT_NOT_OWNED),
    // The mutex is the caller's own.
    (515, 2),
    (516, 0),
    (525, INVALID_HANDLE),
    (533, BUFFER_TOO_SMALL),
    (535, NO_MORE_ENTRIES),
    (544, NOT_MAPPED_VIEW),
    (564, OBJECT_NAME_NOT_FOUND),
    (570, TIMEOUT),
];

/// How often each call came to what.
fn notes(guest: &Guest) -> BTreeMap<(u32, u64), u32> {
    let driver = &guest.lab.images().driver.symbols;
    let at = |name| guest.lab.bases().driver + driver.by_name(name).unwrap().rva;
    let machine = guest.lab.machine();
    let mut notes = BTreeMap::new();
    for number in 0..machine.read_u32(at("SchedulerNoteCount")).unwrap() {
        let note = at("SchedulerNotes").wrapping_add(u64::from(number) * 24);
        let event = machine.read_u32(note).unwrap();
        let value = machine.read_u64(note.wrapping_add(8)).unwrap();
        *notes.entry((event, value)).or_default() += 1;
    }
    notes
}

/// All was called, in DriverEntry and in the thread, and did what it was to do.
#[track_caller]
fn all_was_called(guest: &Guest) {
    let notes = notes(guest);
    assert_eq!(notes.get(&(9999, 0)), Some(&1), "{notes:x?}");
    let calls = notes.iter().filter(|((event, _), _)| *event != 9999);
    for ((event, value), count) in calls.clone() {
        let expected = OTHERS.iter().find(|(other, _)| other == event);
        assert_eq!(*value, expected.map_or(0, |(_, value)| *value), "{event}");
        // The device's routine is called for each of its requests, and once more for a file's end.
        assert!(*count == 2 || *event == 570, "{event}: {count}");
    }
    assert!(calls.count() == 53, "{notes:x?}");
}

#[test]
fn services_of_all_kinds() {
    let mut guest = boot(SERVICES);
    assert_eq!(guest.go(), Exit::Halt);
    all_was_called(&guest);
    let counts = guest.finish();
    assert!(counts.boundaries > 100_000, "{counts:?}");
}

/// The clock ticks after every so many bytes of code, in services too.
#[test]
fn the_clock_ticks_in_services() {
    let mut guest = boot(SERVICES);
    guest.pass_break_instruction();
    let (mut ticks, mut distance) = (0, 1);
    loop {
        distance = distance * 5 % 1021;
        let limit = guest.lab.machine().work() + distance;
        match guest.run(limit) {
            Exit::Limit => ticks += u32::from(guest.clock(false)),
            Exit::Halt => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(ticks > 100, "{ticks}");
    all_was_called(&guest);
    guest.finish();
}

/// The names of the services' routines, from the list that the kernel makes them of.
fn names() -> Vec<String> {
    let list = include_str!("../../fixtures/guest/include/services.h");
    let lines = list.lines().filter(|line| line.starts_with("SERVICE("));
    let name = |line: &str| {
        line.split(", ")
            .nth(2)?
            .strip_suffix(')')
            .map(str::to_owned)
    };
    lines.filter_map(name).collect()
}

/// Arguments that make no sense are refused, by every service: by the ways out that are seldom taken.
#[test]
fn services_that_refuse() {
    // The first ends the caller's process, the second the system; a kernel handle that the third does not
    // find is a bug check.
    const UNASKED: [&str; 3] = ["TerminateProcess", "ShutdownSystem", "Close"];
    const PROCESS: u64 = u64::MAX;
    const THREAD: u64 = u64::MAX - 1;
    const BYTES: u64 = 0x1000;
    let mut guest = Guest::boot(Some(VISITS));
    let tag = u64::from(u32::from_le_bytes(*b"Test"));
    let block = guest.call("ExAllocatePoolWithTag", &[0, BYTES, tag]);
    let block = block.unwrap().value;
    let call = [block, 0x1f_0003, 0, 0, 0];
    assert_eq!(guest.call("ZwCreateEvent", &call).unwrap().value, 0);
    let event = guest.lab.machine().read_u64(Va(block)).unwrap();
    let names = names();
    assert!(names.len() > 70, "{names:?}");
    let mut refused = 0;
    for name in names
        .iter()
        .filter(|name| !UNASKED.contains(&name.as_str()))
    {
        let mut call = |first: u64| {
            let machine = guest.lab.machine_mut();
            machine.write(Va(block), &[0; BYTES as usize]).unwrap();
            let mut arguments = [block; 11];
            arguments[0] = first;
            let called = guest.call(&format!("Zw{name}"), &arguments);
            let called = called.unwrap_or_else(|error| panic!("Zw{name}({first:x}): {error}"));
            refused += u32::from((called.value as u32) >> 30 == 3);
            called.value & 0xffff_ffff
        };
        if call(block) == INVALID_HANDLE {
            // Those that take a handle first: none, one of another kind, and what stands for one.
            for handle in [0, 0x7770, event, PROCESS, THREAD] {
                call(handle);
            }
        }
    }
    assert!(refused > 200, "{refused}");
    let counts = guest.finish();
    assert!(counts.compared > 10_000, "{counts:?}");
}
