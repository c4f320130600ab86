//! Events, semaphores, mutants and timers by handle, and waits for handles.

use crate::guest::*;

const TIMEOUT: u32 = 0x102;
const MUTANT_NOT_OWNED: u32 = 0xc000_0046;
const SEMAPHORE_LIMIT: u32 = 0xc000_0047;

/// Waits for no time at all.
fn poll(guest: &mut Guest, handle: u64) -> u32 {
    let now = guest.put(&words(&[0]));
    guest.status("ZwWaitForSingleObject", &[handle, 0, now])
}

#[test]
fn events() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let previous = guest.room(4);
    for (kind, after_wait) in [(0, SUCCESS), (1, TIMEOUT)] {
        let event = guest
            .handle("ZwCreateEvent", &[0x1f_0003, attributes, kind, 0])
            .unwrap();
        assert_eq!(poll(&mut guest, event), TIMEOUT);
        guest.succeeds("ZwSetEvent", &[event, previous]);
        assert_eq!(guest.u32(previous), 0);
        assert_eq!(poll(&mut guest, event), SUCCESS);
        assert_eq!(poll(&mut guest, event), after_wait);
        guest.succeeds("ZwSetEvent", &[event, 0]);
        guest.succeeds("ZwResetEvent", &[event, previous]);
        assert_eq!(guest.u32(previous), 1);
        assert_eq!(poll(&mut guest, event), TIMEOUT);
        let state = guest.room(8);
        guest.succeeds("ZwQueryEvent", &[event, 0, state, 8, 0]);
        assert_eq!([guest.u32(state), guest.u32(state + 4)], [kind as u32, 0]);
        let short = [event, 0, state, 7, 0];
        assert_eq!(guest.status("ZwQueryEvent", &short), INFO_LENGTH_MISMATCH);
    }
    let call = [0x1f_0003, attributes, 2, 0];
    assert_eq!(
        guest.handle("ZwCreateEvent", &call).unwrap_err(),
        INVALID_PARAMETER
    );
}

#[test]
fn semaphores() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let semaphore = guest
        .handle("ZwCreateSemaphore", &[0x1f_0003, attributes, 1, 2])
        .unwrap();
    let previous = guest.room(4);
    assert_eq!(poll(&mut guest, semaphore), SUCCESS);
    assert_eq!(poll(&mut guest, semaphore), TIMEOUT);
    guest.succeeds("ZwReleaseSemaphore", &[semaphore, 2, previous]);
    assert_eq!(guest.u32(previous), 0);
    let more = [semaphore, 1, previous];
    assert_eq!(guest.status("ZwReleaseSemaphore", &more), SEMAPHORE_LIMIT);
    let none = [semaphore, 0, previous];
    assert_eq!(guest.status("ZwReleaseSemaphore", &none), INVALID_PARAMETER);
    for (count, limit) in [(3, 2), (0, 0), (u64::from(u32::MAX), 2)] {
        let call = [0x1f_0003, attributes, count, limit];
        assert_eq!(
            guest.handle("ZwCreateSemaphore", &call).unwrap_err(),
            INVALID_PARAMETER
        );
    }
}

#[test]
fn mutants_are_their_owner_s() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let mutant = guest
        .handle("ZwCreateMutant", &[0x1f_0001, attributes, 1])
        .unwrap();
    let previous = guest.room(4);
    // taken again, and given back twice
    assert_eq!(poll(&mut guest, mutant), SUCCESS);
    for count in [-1_i32, 0] {
        guest.succeeds("ZwReleaseMutant", &[mutant, previous]);
        assert_eq!(guest.u32(previous) as i32, count);
    }
    let call = [mutant, previous];
    assert_eq!(guest.status("ZwReleaseMutant", &call), MUTANT_NOT_OWNED);
}

/// A mutant that is deleted while it is owned is in no thread's list any more.
#[test]
fn a_mutant_that_is_deleted_is_nobody_s() {
    const MUTANT_LIST_HEAD: u64 = 0x308;
    const MUTANT_LIST_ENTRY: u64 = 0x18;
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let thread = guest.call("PsGetCurrentThread", &[]);
    let head = thread + MUTANT_LIST_HEAD;
    let create = |guest: &mut Guest| {
        let call = [0x1f_0001, attributes, 1];
        guest.handle("ZwCreateMutant", &call).unwrap()
    };
    let [kept, deleted] = [create(&mut guest), create(&mut guest)];
    let links = [kept, deleted].map(|handle| guest.object(handle) + MUTANT_LIST_ENTRY);
    assert_eq!(guest.u64(head), links[1]);
    guest.close(deleted);
    assert_eq!([guest.u64(head), guest.u64(head + 8)], [links[0]; 2]);
    guest.succeeds("ZwReleaseMutant", &[kept, 0]);
    assert_eq!([guest.u64(head), guest.u64(head + 8)], [head; 2]);
}

#[test]
fn timers_come_due() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let timer = guest
        .handle("ZwCreateTimer", &[0x1f_0003, attributes, 0])
        .unwrap();
    assert_eq!(poll(&mut guest, timer), TIMEOUT);
    let due = guest.put(&words(&[0]));
    let state = guest.room(1);
    guest.succeeds("ZwSetTimer", &[timer, due, 0, 0, 0, 0, state]);
    assert_eq!(guest.bytes(state, 1), [0]);
    let second = guest.put(&words(&[-10_000_000_i64 as u64]));
    let call = [timer, 0, second];
    assert_eq!(guest.status("ZwWaitForSingleObject", &call), SUCCESS);
    let late = guest.put(&words(&[-1_000_000_000_i64 as u64]));
    guest.succeeds("ZwSetTimer", &[timer, late, 0, 0, 0, 0, state]);
    assert_eq!(guest.bytes(state, 1), [1]);
    let basic = guest.room(16);
    guest.succeeds("ZwQueryTimer", &[timer, 0, basic, 16, 0]);
    let left = guest.u64(basic);
    assert!((900_000_000..=1_000_000_000).contains(&left), "{left}");
    guest.succeeds("ZwCancelTimer", &[timer, state]);
    assert_eq!(guest.bytes(state, 1), [0]);
    let call = [timer, due, 0, 0, 0, u64::from(u32::MAX), 0];
    assert_eq!(guest.status("ZwSetTimer", &call), 0xc000_00f4);
}

#[test]
fn waits_for_many() {
    let mut guest = Guest::new();
    let attributes = guest.attributes_at(0, None, 0);
    let events: Vec<u64> = (0..5)
        .map(|number| {
            let state = u64::from(number == 2 || number == 4);
            guest
                .handle("ZwCreateEvent", &[0x1f_0003, attributes, 0, state])
                .unwrap()
        })
        .collect();
    let handles = guest.put(&words(&events));
    let now = guest.put(&words(&[0]));
    const ALL: u64 = 0;
    const ANY: u64 = 1;
    let mut wait = |count: u64, kind: u64| {
        guest.status("ZwWaitForMultipleObjects", &[count, handles, kind, 0, now])
    };
    assert_eq!(wait(5, ANY), 2);
    assert_eq!(wait(2, ANY), TIMEOUT);
    assert_eq!(wait(5, ALL), TIMEOUT);
    assert_eq!(wait(0, ANY), 0xc000_00ef);
    assert_eq!(wait(65, ANY), 0xc000_00ef);
    assert_eq!(wait(1, 2), 0xc000_00f1);
    for event in &events {
        guest.succeeds("ZwSetEvent", &[*event, 0]);
    }
    let call = [5, handles, ALL, 0, now];
    assert_eq!(guest.status("ZwWaitForMultipleObjects", &call), SUCCESS);
    let object = guest.object(events[0]);
    assert_eq!(
        guest.counts(object),
        (2 - 1, 1),
        "the wait's references are gone"
    );
}

/// What cannot be waited for itself is always there.
#[test]
fn a_wait_for_a_directory() {
    let mut guest = Guest::new();
    let attributes = guest.attributes(r"\Device", 0);
    let directory = guest
        .handle("ZwOpenDirectoryObject", &[0xf, attributes])
        .unwrap();
    assert_eq!(poll(&mut guest, directory), SUCCESS);
    assert_eq!(poll(&mut guest, 0x7ff0), INVALID_HANDLE);
    // a process that has not ended
    assert_eq!(poll(&mut guest, u64::MAX), TIMEOUT);
}
