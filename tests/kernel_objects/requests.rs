//! Sharing of files, interrupt objects, work items, hints, power requests and references with tags. The
//! expectations are those of each routine's page in the WDK.

use crate::guest::*;
use proptest::prelude::*;

const SHARING_VIOLATION: u32 = 0xc000_0043;
const NOT_SUPPORTED: u32 = 0xc000_00bb;
const READ: u32 = 1;
const WRITE: u32 = 2;
const DELETE: u32 = 0x1_0000;

/// Files that have been opened share what they share, and one more is let in if it and all of them agree.
#[test]
fn files_are_shared_with_who_agrees() {
    let guest = std::cell::RefCell::new(Guest::new());
    let one = (0..8u32, 0..8u32).prop_map(|(wants, shares)| {
        let bit = |bit: u32, right| if wants >> bit & 1 == 1 { right } else { 0 };
        (bit(0, READ) | bit(1, WRITE) | bit(2, DELETE), shares)
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&proptest::collection::vec(one, 1..6), |files| {
        let mut guest = guest.borrow_mut();
        guest.reset();
        let share = guest.put(&[0; 28]);
        let mut open: Vec<(u64, u32, u32)> = Vec::new();
        for (access, shares) in files {
            let file = guest.put(&[0; 0xd8]);
            let wants = |access: u32| {
                u32::from(access & READ != 0)
                    | u32::from(access & WRITE != 0) << 1
                    | u32::from(access & DELETE != 0) << 2
            };
            let agrees = wants(access) == 0
                || open.iter().all(|(_, other, others)| {
                    wants(access) & !others == 0 && wants(*other) & !shares == 0
                });
            let (access, wanted) = (u64::from(access), wants(access) != 0);
            if open.is_empty() {
                guest.call("IoSetShareAccess", &[access, shares.into(), file, share]);
            } else {
                let check = [access, shares.into(), file, share, 0];
                let status = guest.status("IoCheckShareAccess", &check);
                assert_eq!(status == SUCCESS, agrees);
                if !agrees {
                    assert_eq!(status, SHARING_VIOLATION);
                    continue;
                }
                guest.call("IoUpdateShareAccess", &[file, share]);
            }
            if wanted {
                open.push((file, access as u32, shares));
            }
            assert_eq!(guest.u32(share) as usize, open.len());
        }
        for (file, ..) in open {
            guest.call("IoRemoveShareAccess", &[file, share]);
        }
        assert_eq!(guest.bytes(share, 28), [0; 28]);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let mut guest = guest.into_inner();
    let (file, share) = (guest.put(&[0; 0xd8]), guest.put(&[0; 28]));
    let check = [READ.into(), 1, file, share, 1];
    guest.succeeds("IoCheckShareAccess", &check);
    assert_eq!([guest.u32(share), guest.u32(share + 4)], [1, 1]);
}

#[test]
fn interrupt_objects_are_connected_and_synchronized_with() {
    let mut guest = Guest::new();
    let place = guest.room(8);
    let connect = |guest: &mut Guest, vector: u64, shared: u64| {
        let call = [place, 0x1000, 0x22, 0, vector, 9, 10, 0, shared, 3, 0];
        match guest.status("IoConnectInterrupt", &call) {
            SUCCESS => Ok(guest.u64(place)),
            status => Err(status),
        }
    };
    let one = connect(&mut guest, 0x91, 1).unwrap();
    let two = connect(&mut guest, 0x91, 1).unwrap();
    assert_eq!(guest.outstanding(b"IoIn"), 2);
    assert_eq!(connect(&mut guest, 0x91, 0), Err(INVALID_PARAMETER));
    assert_eq!(connect(&mut guest, 0x100, 0), Err(INVALID_PARAMETER));
    let routine = guest.routine(1);
    let synchronize = [one, routine.address, 0x77];
    let value = guest.status("KeSynchronizeExecution", &synchronize);
    assert_eq!(value as u8, 1);
    assert_eq!(guest.arguments(routine)[0], 0x77);
    let old = guest.status("KeAcquireInterruptSpinLock", &[one]) as u8;
    assert_eq!(guest.status("KeGetCurrentIrqlExport", &[]) as u8, 10);
    guest.call("KeReleaseInterruptSpinLock", &[one, old.into()]);
    assert_eq!(guest.status("KeGetCurrentIrqlExport", &[]) as u8, 0);
    guest.call("IoDisconnectInterrupt", &[one]);

    // the same by parameters: version, and in the union device, object, routine, context, lock …
    let mut parameters = words(&[1, 0, place, 0x1000, 0, 0]);
    parameters.extend([10, 0, 0, 0]);
    parameters.extend(0x92_u32.to_le_bytes());
    parameters.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    parameters.extend(words(&[3, 0]));
    let at = guest.put(&parameters);
    guest.succeeds("IoConnectInterruptEx", &[at]);
    let three = guest.u64(place);
    assert_eq!(guest.u32(three + 0x58), 0x92);
    let disconnect = guest.put(&words(&[1, three]));
    guest.call("IoDisconnectInterruptEx", &[disconnect]);
    guest.write(at, &[2]);
    assert_eq!(guest.status("IoConnectInterruptEx", &[at]), 0xc000_0225);
    guest.call("IoDisconnectInterrupt", &[two]);
    assert_eq!(guest.outstanding(b"IoIn"), 0);
}

#[test]
fn work_items_in_memory_of_the_driver_s() {
    let mut guest = Guest::new();
    let size = guest.status("IoSizeofWorkItem", &[]);
    let item = guest.room(size as usize);
    let name = guest.unicode(r"\Device\Myfault");
    let (file, device) = (guest.room(8), guest.room(8));
    guest.succeeds("IoGetDeviceObjectPointer", &[name, 0x80, file, device]);
    let device = guest.u64(device);
    guest.call("IoInitializeWorkItem", &[device, item]);
    guest.call("IoUninitializeWorkItem", &[item]);
    let routine = guest.routine(0);
    let queue = [item, routine.address, 1, 0x99];
    guest.call("IoQueueWorkItemEx", &queue);
    // this thread's priority is a worker's at most: let them run
    let interval = guest.put(&words(&[-100_000_i64 as u64]));
    guest.call("KeDelayExecutionThread", &[0, 0, interval]);
    assert_eq!(guest.calls(routine), 1);
    assert_eq!(guest.arguments(routine)[..3], [device, 0x99, item]);
    guest.call("IoUninitializeWorkItem", &[item]);
    let raised = guest.call("KfRaiseIrql", &[2]) as u8;
    assert_eq!(raised, 0);
    guest.call("IoQueueWorkItemEx", &queue);
    let check = guest.bug_check("IoUninitializeWorkItem", &[item]);
    assert_eq!((check.0, check.1[2]), (0x96, item));
}

#[test]
fn requests_have_hints_and_owners() {
    let mut guest = Guest::new();
    let irp = guest.call("IoAllocateIrp", &[1, 0]);
    let hint = |guest: &mut Guest| guest.status("IoGetIoPriorityHint", &[irp]);
    assert_eq!(hint(&mut guest), 2);
    for value in [0, 4, 3] {
        guest.succeeds("IoSetIoPriorityHint", &[irp, value]);
        assert_eq!(u64::from(hint(&mut guest)), value);
    }
    let wrong = guest.status("IoSetIoPriorityHint", &[irp, 5]);
    assert_eq!(wrong, INVALID_PARAMETER);
    assert_eq!(guest.status("IoIs32bitProcess", &[irp]) as u8, 0);
    let session = guest.room(4);
    let thread = guest.call("KeGetCurrentThreadExport", &[]);
    guest.write(irp + 0x98, &words(&[thread]));
    guest.succeeds("IoGetRequestorSessionId", &[irp, session]);
    assert_eq!(guest.u32(session), 1);
    guest.write(irp + 0x98, &words(&[0]));
    let nobody = guest.status("IoGetRequestorSessionId", &[irp, session]);
    assert_eq!(nobody, 0xc000_0001);
    // the lowest driver's location (`_IRP.CurrentLocation` is 1) has none behind it
    guest.write(irp + 0x43, &[1]);
    let sent = guest.status("IoForwardIrpSynchronously", &[0, irp]) as u8;
    assert_eq!(sent, 0);
    assert_eq!(guest.status("IoIsSystemThread", &[thread]) as u8, 0);
    let information = guest.call("IoGetConfigurationInformation", &[]);
    assert_eq!(guest.u32(information + 0x20), 0x28);
    guest.write(irp + 0x43, &[2]);
    guest.call("IoFreeIrp", &[irp]);
}

#[test]
fn power_settings_and_requests_are_kept_until_they_are_given_up() {
    let mut guest = Guest::new();
    // GUID_ACDC_POWER_SOURCE and one of nobody's
    let source = guest.put(&[
        0x59, 0x9a, 0x3e, 0x5d, 0xd5, 0xe9, 0x00, 0x4b, 0xa6, 0xbd, 0xff, 0x34, 0xff, 0x51, 0x65,
        0x48,
    ]);
    let other = guest.put(b"nobody's setting");
    let (routine, place) = (guest.routine(0), guest.room(8));
    let mut handles = Vec::new();
    for (setting, calls) in [(source, 1), (other, 1)] {
        let register = [0, setting, routine.address, 0x55, place];
        guest.succeeds("PoRegisterPowerSettingCallback", &register);
        assert_eq!(guest.calls(routine), calls);
        handles.push(guest.u64(place));
    }
    let [_, _, length, context] = guest.arguments(routine);
    assert_eq!((length as u32, context), (4, 0x55));
    assert_eq!(guest.outstanding(b"PoSs"), 2);
    for handle in &handles {
        guest.succeeds("PoUnregisterPowerSettingCallback", &[*handle]);
    }
    let again = guest.status("PoUnregisterPowerSettingCallback", &[handles[0]]);
    assert_eq!((again, guest.outstanding(b"PoSs")), (INVALID_PARAMETER, 0));

    let busy = guest.call("PoRegisterSystemState", &[0, 1]);
    assert_eq!(guest.call("PoRegisterSystemState", &[busy, 3]), busy);
    assert_eq!(guest.outstanding(b"PoBs"), 1);
    guest.call("PoUnregisterSystemState", &[busy]);
    assert_eq!(guest.outstanding(b"PoBs"), 0);

    let none = guest.status("PoCreatePowerRequest", &[place, 0, 0]);
    assert_eq!((none, guest.u64(place)), (INVALID_PARAMETER, 0));
    guest.succeeds("PoCreatePowerRequest", &[place, 0x1000, 0]);
    let request = guest.u64(place);
    guest.succeeds("PoSetPowerRequest", &[request, 1]);
    let display = guest.status("PoSetPowerRequest", &[request, 0]);
    assert_eq!(display, NOT_SUPPORTED);
    guest.succeeds("PoClearPowerRequest", &[request, 1]);
    let more = guest.status("PoClearPowerRequest", &[request, 1]);
    assert_eq!(more, INVALID_PARAMETER);
    guest.call("PoDeletePowerRequest", &[request]);
    assert_eq!(guest.outstanding(b"PoRq"), 0);
}

#[test]
fn references_with_tags_count_like_others() {
    let mut guest = Guest::new();
    let handle = guest.event(r"\BaseNamedObjects\Tagged", 0).unwrap();
    let object = guest.object(handle);
    let before = guest.counts(object);
    let (tag, place) = (0x3147_4154, guest.room(8));
    let call = [handle, 0, 0, 0, tag, place, 0];
    guest.succeeds("ObReferenceObjectByHandleWithTag", &call);
    assert_eq!(guest.u64(place), object);
    guest.succeeds("ObReferenceObjectByPointerWithTag", &[object, 0, 0, 0, tag]);
    let count = guest.call("ObfReferenceObjectWithTag", &[object, tag]);
    assert_eq!(count, before.0 + 3);
    guest.call("ObfDereferenceObjectWithTag", &[object, tag]);
    guest.call("ObfDereferenceObjectWithTag", &[object, tag]);
    guest.call("ObDereferenceObjectDeferDeleteWithTag", &[object, tag]);
    assert_eq!(guest.counts(object), before);
    let is_kernel = |guest: &mut Guest, handle| guest.status("ObIsKernelHandle", &[handle]) as u8;
    let attributes = guest.attributes_at(0, None, KERNEL_HANDLE);
    let call = [0x1f_0003, attributes, 0, 0];
    let kernel = guest.handle("ZwCreateEvent", &call).unwrap();
    assert_eq!(is_kernel(&mut guest, kernel), 1);
    for other in [handle, u64::MAX, u64::MAX - 1] {
        assert_eq!(is_kernel(&mut guest, other), 0);
    }
}

#[test]
fn parts_of_processes_and_quota() {
    let mut guest = Guest::new();
    let process = guest.call("PsGetCurrentThreadProcess", &[]);
    assert_eq!(process, guest.call("PsGetCurrentProcess", &[]));
    let id = guest.call("PsGetCurrentThreadProcessId", &[]);
    assert_eq!(id, guest.call("PsGetProcessId", &[process]));
    let base = guest.call("PsGetCurrentThreadStackBase", &[]);
    let limit = guest.call("PsGetCurrentThreadStackLimit", &[]);
    assert!(limit < base && base - limit <= 0x1_0000);
    let mode = guest.status("PsGetCurrentThreadPreviousMode", &[]) as u8;
    assert_eq!(mode, 0);
    let created = guest.call("PsGetProcessCreateTimeQuadPart", &[process]);
    let now = guest.room(8);
    guest.call("KeQuerySystemTime", &[now]);
    // The time of the last tick, both.
    assert!((1..=guest.u64(now)).contains(&created));
    let exits = guest.status("PsGetProcessExitProcessCalled", &[process]) as u8;
    assert_eq!(exits, 0);
    let class = guest.status("PsGetProcessPriorityClass", &[process]) as u8;
    assert_eq!(class, 2);
    let system = guest.lab.kernel_symbol("PsInitialSystemProcess").unwrap().0;
    let system = guest.u64(system);
    let sessions = [process, system].map(|of| guest.status("PsGetProcessSessionIdEx", &[of]));
    assert_eq!(sessions, [1, u32::MAX]);
    for name in [
        "PsGetProcessJob",
        "PsGetProcessDebugPort",
        "PsGetProcessSecurityPort",
        "PsGetProcessWin32Process",
    ] {
        assert_eq!(guest.call(name, &[process]), 0);
    }
    // ProcessQuotaUsage and ProcessQuotaPeak are at 0x198 and 0x1a8
    let before = guest.u64(process + 0x1a0);
    guest.succeeds("PsChargeProcessPoolQuota", &[process, 1, 0x500]);
    guest.call("PsChargePoolQuota", &[process, 1, 0x300]);
    assert_eq!(guest.u64(process + 0x1a0), before + 0x800);
    guest.call("PsReturnPoolQuota", &[process, 1, 0x800]);
    assert_eq!(guest.u64(process + 0x1a0), before);
    assert!(guest.u64(process + 0x1b0) >= before + 0x800);
    let verifying = guest.status("MmIsDriverVerifyingByAddress", &[process]);
    assert_eq!(verifying, 0);
}
