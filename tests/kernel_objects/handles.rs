//! Handles: their tables, what they grant, and what closing them does.

use crate::guest::*;
use poolhit::guest::CallError;
use poolhit::tag::Tag;

fn type_of(guest: &Guest, pointer: &str) -> u64 {
    guest.u64(guest.lab.kernel_symbol(pointer).unwrap().0)
}

#[test]
fn a_handle_is_referenced_by_type_and_access() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let handle = guest
        .handle("ZwCreateEvent", &[1, attributes, 0, 0])
        .unwrap();
    let (place, information) = (guest.room(8), guest.room(8));
    let [event, process] = ["ExEventObjectType", "PsProcessType"].map(|name| type_of(&guest, name));
    let reference = "ObReferenceObjectByHandle";
    let call = [handle, 0x10_0003, event, 0, place, information];
    guest.succeeds(reference, &call);
    assert_eq!([guest.u32(information), guest.u32(information + 4)], [0, 1]);
    let object = guest.u64(place);
    assert_eq!(guest.counts(object), (2, 1));
    // user mode has only what the handle grants
    assert_eq!(
        guest.status(reference, &[handle, 2, event, 1, place, 0]),
        ACCESS_DENIED
    );
    assert_eq!(
        guest.status(reference, &[handle, 1, event, 1, place, 0]),
        SUCCESS
    );
    assert_eq!(
        guest.status(reference, &[handle, 1, process, 0, place, 0]),
        TYPE_MISMATCH
    );
    assert_eq!(guest.u64(place), 0);
    assert_eq!(
        guest.status(reference, &[handle + 0x800, 0, 0, 0, place, 0]),
        INVALID_HANDLE
    );
    // the low two bits mean nothing
    assert_eq!(
        guest.status(reference, &[handle | 3, 0, 0, 0, place, 0]),
        SUCCESS
    );
    for _ in 0..3 {
        guest.call("ObfDereferenceObject", &[object]);
    }
    assert_eq!(guest.counts(object), (1, 1));
    guest.close(handle);
}

#[test]
fn generic_rights_are_the_type_s() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let information = guest.room(8);
    for (wanted, granted) in [
        (0x8000_0000_u64, 0x2_0001), // GENERIC_READ
        (0x4000_0000, 0x2_0002),
        (0x2000_0000, 0x12_0000),
        (0x1000_0000, 0x1f_0003),
        (0x200_0000, 0x1f_0003), // MAXIMUM_ALLOWED
        (1, 1),
    ] {
        let handle = guest
            .handle("ZwCreateEvent", &[wanted, attributes, 0, 0])
            .unwrap();
        let place = guest.room(8);
        guest.succeeds(
            "ObReferenceObjectByHandle",
            &[handle, 0, 0, 0, place, information],
        );
        assert_eq!(guest.u32(information + 4), granted, "{wanted:x}");
    }
}

#[test]
fn the_current_process_and_thread_have_handles() {
    let mut guest = Guest::new();
    let place = guest.room(8);
    for (handle, type_name, routine) in [
        (u64::MAX, "PsProcessType", "PsGetCurrentProcess"),
        (u64::MAX - 1, "PsThreadType", "PsGetCurrentThread"),
    ] {
        let (wanted, current) = (type_of(&guest, type_name), guest.call(routine, &[]));
        guest.succeeds(
            "ObReferenceObjectByHandle",
            &[handle, 0, wanted, 0, place, 0],
        );
        assert_eq!(guest.u64(place), current);
        guest.call("ObfDereferenceObject", &[current]);
        let event = type_of(&guest, "ExEventObjectType");
        let call = [handle, 0, event, 0, place, 0];
        assert_eq!(
            guest.status("ObReferenceObjectByHandle", &call),
            TYPE_MISMATCH
        );
    }
}

/// Tables grow by pages of entries, then by a level, and handles are used again.
#[test]
fn tables_grow() {
    let mut guest = Guest::new();
    let process = guest.call("PsGetCurrentProcess", &[]);
    let table = guest.u64(process + 0x200);
    let before = guest.u32(table + 0x58);
    let attributes = guest.attributes_at(0, None, 0);
    let place = guest.room(8);
    let mut handles = Vec::new();
    for _ in 0..1200 {
        guest.succeeds("ZwCreateEvent", &[place, 1, attributes, 0, 0]);
        handles.push(guest.u64(place));
    }
    assert_eq!(guest.u64(table) & 3, 1, "two levels");
    assert_eq!(guest.u32(table + 0x58), before + 1200);
    let mut sorted = handles.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted, handles, "each one new, and in order");
    assert!(
        handles
            .iter()
            .all(|handle| handle % 4 == 0 && handle % 0x400 != 0)
    );
    let objects = handles.iter().map(|handle| guest.object(*handle));
    // the events are all different
    let mut objects: Vec<u64> = objects.collect();
    guest.reset();
    objects.sort_unstable();
    objects.dedup();
    assert_eq!(objects.len(), 1200);
    for handle in handles.iter().rev() {
        guest.close(*handle);
    }
    assert_eq!(guest.u32(table + 0x58), before);
    let attributes = guest.attributes_at(0, None, 0);
    let again = guest
        .handle("ZwCreateEvent", &[1, attributes, 0, 0])
        .unwrap();
    assert_eq!(again, handles[0], "the one freed last");
}

#[test]
fn the_third_level() {
    let mut guest = Guest::of(poolhit::Lab::builder().memory(128 << 20).build().unwrap());
    let attributes = guest.attributes_at(0, None, 0);
    let place = guest.room(8);
    guest.succeeds("ZwCreateEvent", &[place, 1, attributes, 0, 0]);
    let event = guest.u64(place);
    let process = guest.call("PsGetCurrentProcess", &[]);
    let table = guest.u64(process + 0x200);
    // A page of pointers is good for 512 pages of 255 handles.
    let call = [u64::MAX, event, u64::MAX, place, 0, 0, 2];
    let mut last = 0;
    for _ in 0..512 * 255 + 10 {
        guest.succeeds("ZwDuplicateObject", &call);
        last = guest.u64(place);
    }
    assert_eq!(guest.u64(table) & 3, 2, "three levels");
    assert!(last > 512 * 256 * 4);
    let object = guest.object(last);
    assert_eq!(object, guest.object(event));
    assert_eq!(guest.counts(object).1, 512 * 255 + 11);
    guest.close(last);
    assert_eq!(guest.counts(object).1, 512 * 255 + 10);
}

#[test]
fn duplicates_share_the_object() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let event = guest
        .handle("ZwCreateEvent", &[3, attributes, 0, 0])
        .unwrap();
    let place = guest.room(8);
    const SAME_ACCESS: u64 = 2;
    const CLOSE_SOURCE: u64 = 1;
    let call = [u64::MAX, event, u64::MAX, place, 1, 0, 0];
    guest.succeeds("ZwDuplicateObject", &call);
    let one = guest.u64(place);
    let call = [
        u64::MAX,
        event,
        u64::MAX,
        place,
        0,
        0,
        SAME_ACCESS | CLOSE_SOURCE,
    ];
    guest.succeeds("ZwDuplicateObject", &call);
    let two = guest.u64(place);
    let object = guest.object(one);
    assert_eq!(guest.object(two), object);
    assert_eq!(guest.counts(object), (2, 2));
    let information = guest.room(0x38);
    let access: Vec<u32> = [one, two]
        .into_iter()
        .map(|handle| {
            guest.succeeds("ZwQueryObject", &[handle, 0, information, 0x38, 0]);
            guest.u32(information + 4)
        })
        .collect();
    assert_eq!(access, [1, 3]);
    let gone = [u64::MAX, 0x7ff0, u64::MAX, place, 0, 0, SAME_ACCESS];
    assert_eq!(guest.status("ZwDuplicateObject", &gone), INVALID_HANDLE);
}

#[track_caller]
fn bug_check(guest: &mut Guest, name: &str, arguments: &[u64]) -> (u32, [u64; 4]) {
    match guest.try_call(name, arguments) {
        Err(CallError::BugCheck { check, .. }) => (check.code, check.parameters),
        other => panic!("{other:?}"),
    }
}

/// Bug check 0x93, INVALID_KERNEL_HANDLE: the handle, and 1 for one that is none.
#[test]
fn a_driver_that_closes_what_is_no_handle() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, KERNEL_HANDLE);
    let event = guest
        .handle("ZwCreateEvent", &[3, attributes, 0, 0])
        .unwrap();
    guest.close(event);
    let check = bug_check(&mut guest, "ZwClose", &[event]);
    assert_eq!(check, (0x93, [event, 1, 0, 0]));
}

/// Bug check 0x18, REFERENCE_BY_POINTER: the object is the second parameter.
#[test]
fn a_driver_that_dereferences_once_too_often() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let event = guest
        .handle("ZwCreateEvent", &[3, attributes, 0, 0])
        .unwrap();
    let object = guest.object(event);
    let (code, parameters) = bug_check(&mut guest, "ObfDereferenceObject", &[object]);
    assert_eq!((code, parameters[1]), (0x18, object));
}

#[test]
fn objects_go_back_to_the_pool() {
    let mut guest = Guest::new();
    let even = Tag(u32::from_le_bytes(*b"Even"));
    let blocks = |guest: &Guest| {
        let trackers = guest.lab.pool().unwrap().trackers().unwrap();
        let rows = trackers.iter().filter(|row| row.tag == even);
        rows.map(|row| row.nonpaged.outstanding()).sum::<u32>()
    };
    let before = blocks(&guest);
    let attributes = guest.attributes_at(0, None, 0);
    let handles: Vec<u64> = (0..50)
        .map(|_| {
            guest
                .handle("ZwCreateEvent", &[3, attributes, 0, 0])
                .unwrap()
        })
        .collect();
    assert_eq!(blocks(&guest), before + 50);
    handles.into_iter().for_each(|handle| guest.close(handle));
    assert_eq!(blocks(&guest), before);
}
