//! Routines that are called when the kernel stops, and at events that this machine has none of. WDK: "Writing
//! a Bug Check Callback Routine", "KeRegisterNmiCallback", "KeRegisterProcessorChangeCallback".

use crate::guest::*;

/// `KBUGCHECK_CALLBACK_RECORD` is 0x40 bytes, its state at 0x38; `KBUGCHECK_REASON_CALLBACK_RECORD` 0x30, the
/// state at 0x2c.
const INSERTED: u8 = 1;
const FINISHED: u8 = 3;

fn is(guest: &mut Guest, name: &str, arguments: &[u64]) -> bool {
    guest.status(name, arguments) as u8 == 1
}

#[test]
fn drivers_are_told_that_the_kernel_stops() {
    let mut guest = Guest::new();
    let component = guest.put(b"us\0");
    let called = guest.routine(0);
    let records = [(); 3].map(|()| guest.put(&[0; 0x40]));
    for record in records {
        let arguments = [record, called.address, 0x1000 + record, 0x20, component];
        assert!(is(&mut guest, "KeRegisterBugCheckCallback", &arguments));
        assert!(!is(&mut guest, "KeRegisterBugCheckCallback", &arguments));
    }
    let gone = [records[1]];
    assert!(is(&mut guest, "KeDeregisterBugCheckCallback", &gone));
    assert!(!is(&mut guest, "KeDeregisterBugCheckCallback", &gone));
    // one that has been written over since is not called
    guest.write(records[2] + 0x20, &[0x21]);
    let dump = guest.routine(0);
    let [secondary, pages, wrong] = [(); 3].map(|()| guest.put(&[0; 0x30]));
    let register = "KeRegisterBugCheckReasonCallback";
    assert!(is(
        &mut guest,
        register,
        &[secondary, dump.address, 2, component]
    ));
    assert!(is(
        &mut guest,
        register,
        &[pages, dump.address, 4, component]
    ));
    assert!(!is(
        &mut guest,
        register,
        &[wrong, dump.address, 1, component]
    ));
    let deregister = "KeDeregisterBugCheckReasonCallback";
    assert!(is(&mut guest, deregister, &[pages]));
    assert!(!is(&mut guest, deregister, &[pages]));

    let check = guest.bug_check("KeBugCheckEx", &[0xe2, 1, 2, 3, 4]);
    assert_eq!(check, (0xe2, [1, 2, 3, 4]));
    assert_eq!(guest.calls(called), 1);
    assert_eq!(guest.arguments(called)[..2], [0x1000 + records[0], 0x20]);
    let states = records.map(|record| guest.bytes(record + 0x38, 1)[0]);
    assert_eq!(states, [FINISHED, 0, INSERTED]);
    assert_eq!(guest.calls(dump), 1);
    let [reason, record, data, length] = guest.arguments(dump);
    assert_eq!((reason as u32, record, length as u32), (2, secondary, 0x30));
    assert!(guest.u64(data) != 0 && guest.u32(data + 8) == 0x1000);
    assert_eq!(guest.bytes(secondary + 0x2c, 1), [FINISHED]);
}

/// What goes wrong while drivers are told is not what the kernel has stopped for.
#[test]
fn the_first_bug_check_is_the_one_that_counts() {
    let mut guest = Guest::new();
    let record = guest.put(&[0; 0x40]);
    let fault = guest.put(&[0x48, 0x31, 0xc0, 0x48, 0x8b, 0x00, 0xc3]); // mov rax, [0]
    let arguments = [record, fault, 0, 0, 0];
    assert!(is(&mut guest, "KeRegisterBugCheckCallback", &arguments));
    let check = guest.bug_check("KeBugCheckEx", &[0xe2, 1, 2, 3, 4]);
    assert_eq!(check, (0xe2, [1, 2, 3, 4]));
    assert_eq!(guest.bytes(record + 0x38, 1), [2], "started");
}

#[test]
fn nothing_causes_a_nonmaskable_interrupt() {
    let mut guest = Guest::new();
    let routine = guest.routine(1);
    let handle = guest.call("KeRegisterNmiCallback", &[routine.address, 5]);
    assert_ne!(handle, 0);
    assert_eq!(guest.outstanding(b"KeCb"), 1);
    guest.succeeds("KeDeregisterNmiCallback", &[handle]);
    let status = guest.status("KeDeregisterNmiCallback", &[handle]);
    assert_eq!(status, INVALID_HANDLE);
    assert_eq!((guest.outstanding(b"KeCb"), guest.calls(routine)), (0, 0));
}

#[test]
fn processors_that_are_there_are_told_of_if_wanted() {
    let mut guest = Guest::new();
    let routine = guest.routine(0);
    let register = "KeRegisterProcessorChangeCallback";
    let quiet = guest.call(register, &[routine.address, 7, 0]);
    assert_eq!(guest.calls(routine), 0);
    let handle = guest.call(register, &[routine.address, 7, 1]);
    let count = guest.status("KeQueryMaximumProcessorCount", &[]);
    // each is about to come, and then has come
    assert_eq!(guest.calls(routine), 2 * u64::from(count));
    assert_eq!(guest.arguments(routine)[0], 7);
    for handle in [quiet, handle] {
        guest.call("KeDeregisterProcessorChangeCallback", &[handle]);
    }
    assert_eq!(guest.outstanding(b"KeCb"), 0);
    // mov dword ptr [r8], STATUS_INSUFFICIENT_RESOURCES; inc dword ptr [rcx]
    let refuses = [0x41, 0xc7, 0x00, 0x9a, 0x00, 0x00, 0xc0, 0xff, 0x01, 0xc3];
    let (code, calls) = (guest.put(&refuses), guest.put(&[0; 4]));
    let handle = guest.call(register, &[code, calls, 1]);
    assert_ne!(handle, 0);
    assert_eq!(guest.u32(calls), 1, "the first one is refused");
}
