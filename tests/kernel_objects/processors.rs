//! Processors by number and group, a thread's affinity, states that are saved, and the debugger's switch. The
//! expectations are those of each routine's page in the WDK. The guest has two processors; the second one
//! runs.

use crate::guest::*;

const INFO_CLASS: u32 = 0xc000_0003;

#[test]
fn processors_have_numbers_and_indexes() {
    let mut guest = Guest::new();
    let number = guest.room(4);
    let here = guest.status("KeGetCurrentProcessorNumberEx", &[number]);
    assert_eq!(here, guest.status("KeGetCurrentProcessorNumber", &[]));
    assert_eq!(guest.bytes(number, 4), [0, 0, here as u8, 0]);
    guest.status("KeGetCurrentProcessorNumberEx", &[0]);
    let affinity = guest.room(8);
    let count = guest.status("KeQueryActiveProcessorCount", &[affinity]);
    assert!(here < count, "{here} of {count}");
    assert_eq!(guest.u64(affinity), (1 << count) - 1);
    assert_eq!(guest.call("KeQueryActiveProcessors", &[]), (1 << count) - 1);
    assert_eq!(guest.call("KeQueryGroupAffinity", &[0]), (1 << count) - 1);
    assert_eq!(guest.call("KeQueryGroupAffinity", &[1]), 0);
    let at = guest.lab.kernel_symbol("KeNumberProcessors").unwrap().0;
    assert_eq!(u32::from(guest.bytes(at, 1)[0]), count);
    assert_eq!(guest.status("KeQueryMaximumProcessorCount", &[]), count);
    for name in [
        "KeQueryActiveProcessorCountEx",
        "KeQueryMaximumProcessorCountEx",
    ] {
        let counts = [0, 0xffff, 1].map(|group| guest.status(name, &[group]));
        assert_eq!(counts, [count, count, 0]);
    }
    for name in ["KeQueryActiveGroupCount", "KeQueryMaximumGroupCount"] {
        assert_eq!(guest.status(name, &[]) as u16, 1);
    }
    assert_eq!(guest.status("KeQueryHighestNodeNumber", &[]) as u16, 0);
    for index in 0..count {
        let by_index = "KeGetProcessorNumberFromIndex";
        guest.succeeds(by_index, &[index.into(), number]);
        assert_eq!(guest.bytes(number, 4), [0, 0, index as u8, 0]);
        let back = guest.status("KeGetProcessorIndexFromNumber", &[number]);
        assert_eq!(back, index);
        let dpc = guest.room(0x40);
        guest.call("KeInitializeDpc", &[dpc, 0, 0]);
        guest.succeeds("KeSetTargetProcessorDpcEx", &[dpc, number]);
        assert_eq!(u32::from(guest.u16(dpc + 2)), 0x800 + index);
    }
    let wrong = guest.status("KeGetProcessorNumberFromIndex", &[count.into(), number]);
    assert_eq!(wrong, INVALID_PARAMETER);
    for bytes in [[1, 0, 0, 0], [0, 0, count as u8, 0], [0, 0, 0, 1]] {
        guest.write(number, &bytes);
        let index = guest.status("KeGetProcessorIndexFromNumber", &[number]);
        assert_eq!(index, u32::MAX);
        let dpc = guest.room(0x40);
        let status = guest.status("KeSetTargetProcessorDpcEx", &[dpc, number]);
        assert_eq!(status, INVALID_PARAMETER);
    }
}

/// `GROUP_AFFINITY`: the mask, and the group behind it. Zero stands for the user's affinity.
#[test]
fn affinity_is_set_and_reverted() {
    let mut guest = Guest::new();
    let (new, old) = (guest.room(16), guest.room(16));
    let set = |guest: &mut Guest, mask: u64, group: u64| {
        guest.write(new, &words(&[mask, group]));
        guest.call("KeSetSystemGroupAffinityThread", &[new, old]);
        [guest.u64(old), guest.u64(old + 8)]
    };
    let thread = guest.call("KeGetCurrentThreadExport", &[]);
    let affinity = |guest: &Guest| guest.u64(thread + 0x218);
    assert_eq!(affinity(&guest), 3);
    assert_eq!(set(&mut guest, 2, 0), [0, 0]);
    assert_eq!(affinity(&guest), 2);
    assert_eq!(set(&mut guest, 1, 0), [2, 0]);
    // none of these is a valid affinity
    for (mask, group) in [(0, 0), (4, 0), (5, 0), (1, 1)] {
        assert_eq!(set(&mut guest, mask, group), [0, 0]);
        assert_eq!(affinity(&guest), 1);
    }
    guest.write(old, &words(&[2, 0]));
    guest.call("KeRevertToUserGroupAffinityThread", &[old]);
    assert_eq!(affinity(&guest), 2);
    guest.write(old, &words(&[0, 0]));
    guest.call("KeRevertToUserGroupAffinityThread", &[old]);
    assert_eq!(affinity(&guest), 3);
    guest.write(old, &words(&[1, 0]));
    guest.call("KeRevertToUserGroupAffinityThread", &[old]);
    assert_eq!(affinity(&guest), 3, "nothing was set");

    assert_eq!(guest.call("KeSetSystemAffinityThreadEx", &[1]), 0);
    assert_eq!(guest.call("KeSetSystemAffinityThreadEx", &[2]), 1);
    guest.call("KeRevertToUserAffinityThreadEx", &[1]);
    assert_eq!(affinity(&guest), 1);
    guest.call("KeRevertToUserAffinityThread", &[]);
    assert_eq!(affinity(&guest), 3);
    let ideal = guest.status("KeSetIdealProcessorThread", &[thread, 0]) as u8;
    assert_eq!(ideal, 1);
    let ideal = guest.status("KeSetIdealProcessorThread", &[thread, 9]) as u8;
    assert_eq!(ideal, 0);
    let ideal = guest.status("KeSetIdealProcessorThread", &[thread, 1]) as u8;
    assert_eq!(ideal, 0);
}

#[test]
fn time_goes_on() {
    let mut guest = Guest::new();
    const TICK: u64 = 156_250;
    let ticks = guest.room(8);
    let before = guest.call("KeQueryUnbiasedInterruptTime", &[]);
    let counter = guest.call("KeQueryPerformanceCounter", &[0]);
    guest.call("KeStallExecutionProcessor", &[31_250]);
    let passed = guest.call("KeQueryPerformanceCounter", &[0]) - counter;
    assert!((31_250_000..31_500_000).contains(&passed), "{passed}");
    guest.call("KeQueryTickCount", &[ticks]);
    let after = guest.call("KeQueryUnbiasedInterruptTime", &[]);
    // The time of a tick, of which two or three have come; none between the last two calls.
    let passed = after - before;
    assert!(
        (2 * TICK - 3000..3 * TICK + 3000).contains(&passed),
        "{passed}"
    );
    assert_eq!(guest.u64(ticks), after / TICK);
}

/// The control word of the floating-point unit: a fresh one has 0x37f.
#[test]
fn the_floating_point_state_comes_back() {
    let mut guest = Guest::new();
    // fldcw [rcx]; fnstcw [rcx]
    let (load, store) = (
        guest.put(&[0xd9, 0x29, 0xc3]),
        guest.put(&[0xd9, 0x39, 0xc3]),
    );
    let attributes = guest.attributes(r"\Callback\Fpu", 0x10);
    let place = guest.room(8);
    guest.succeeds("ExCreateCallback", &[place, attributes, 1, 1]);
    let callback = guest.u64(place);
    let word = guest.put(&[0x7f, 0x02, 0, 0]);
    let run = |guest: &mut Guest, code: u64| {
        let handle = guest.call("ExRegisterCallback", &[callback, code, word]);
        guest.call("ExNotifyCallback", &[callback, 0, 0]);
        guest.call("ExUnregisterCallback", &[handle]);
        guest.u16(word)
    };
    let (saved, extended) = (guest.room(4), guest.room(0x38));
    run(&mut guest, load);
    guest.succeeds("KeSaveExtendedProcessorState", &[7, extended]);
    guest.succeeds("KeSaveFloatingPointState", &[saved]);
    assert_eq!(guest.outstanding(b"FpSv"), 2);
    assert_eq!(run(&mut guest, store), 0x37f);
    guest.succeeds("KeRestoreFloatingPointState", &[saved]);
    assert_eq!(run(&mut guest, store), 0x27f);
    guest.write(word, &[0x7f, 0x03]);
    run(&mut guest, load);
    guest.call("KeRestoreExtendedProcessorState", &[extended]);
    assert_eq!(run(&mut guest, store), 0x27f);
    assert_eq!(guest.outstanding(b"FpSv"), 0);
    let status = guest.status("KeRestoreFloatingPointState", &[saved]);
    assert_eq!(status, 0xc000_0001);
    // a feature that is not turned on takes no memory
    guest.succeeds("KeSaveExtendedProcessorState", &[4, extended]);
    assert_eq!(guest.outstanding(b"FpSv"), 0);
    guest.call("KeRestoreExtendedProcessorState", &[extended]);
}

#[test]
fn levels_regions_and_locks() {
    let mut guest = Guest::new();
    let boolean = |guest: &mut Guest, name: &str, of: &[u64]| guest.status(name, of) as u8 == 1;
    assert_eq!(guest.status("KeRaiseIrqlToSynchLevel", &[]) as u8, 0);
    assert_eq!(guest.status("KeGetCurrentIrqlExport", &[]) as u8, 12);
    assert!(boolean(&mut guest, "KeAreAllApcsDisabled", &[]));
    guest.call("KeLowerIrql", &[0]);
    guest.call("KeEnterCriticalRegion", &[]);
    assert!(boolean(&mut guest, "KeAreApcsDisabled", &[]));
    assert!(!boolean(&mut guest, "KeAreAllApcsDisabled", &[]));
    guest.call("KeEnterGuardedRegion", &[]);
    assert!(boolean(&mut guest, "KeAreAllApcsDisabled", &[]));
    guest.call("KeLeaveGuardedRegion", &[]);
    guest.call("KeLeaveCriticalRegion", &[]);
    assert!(!boolean(&mut guest, "KeAreApcsDisabled", &[]));
    let lock = guest.put(&[0; 8]);
    assert!(boolean(&mut guest, "KeTestSpinLock", &[lock]));
    guest.call("KeAcquireSpinLockRaiseToDpc", &[lock]);
    assert!(!boolean(&mut guest, "KeTestSpinLock", &[lock]));
    guest.call("KeReleaseSpinLock", &[lock, 0]);
    assert!(!boolean(&mut guest, "KeIsAttachedProcess", &[]));
    assert!(!boolean(&mut guest, "KeIsExecutingDpc", &[]));
    let system = guest.lab.kernel_symbol("PsInitialSystemProcess").unwrap().0;
    let (state, process) = (guest.room(0x30), guest.u64(system));
    guest.call("KeStackAttachProcess", &[process, state]);
    assert!(boolean(&mut guest, "KeIsAttachedProcess", &[]));
    guest.call("KeUnstackDetachProcess", &[state]);
    for (enable, was) in [(0, true), (0, false), (1, false), (1, true)] {
        let enabled = boolean(&mut guest, "KeSetKernelStackSwapEnable", &[enable]);
        assert_eq!(enabled, was);
    }
    guest.call("KeFlushEntireTb", &[1, 1]);
    guest.call("KeFlushIoBuffers", &[0, 0, 0]);
    assert!(boolean(&mut guest, "KeInvalidateAllCaches", &[]));
}

#[test]
fn the_debugger_can_be_turned_off() {
    let mut guest = Guest::new();
    let format = guest.put(b"heard\n\0");
    let enabled = guest.lab.kernel_symbol("KdDebuggerEnabled").unwrap().0;
    guest.call("DbgPrint", &[format]);
    guest.succeeds("KdDisableDebugger", &[]);
    guest.succeeds("KdDisableDebugger", &[]);
    guest.call("DbgPrint", &[format]);
    assert_eq!(guest.bytes(enabled, 1), [0]);
    guest.succeeds("KdEnableDebugger", &[]);
    guest.call("DbgPrint", &[format]);
    guest.succeeds("KdEnableDebugger", &[]);
    assert_eq!(guest.bytes(enabled, 1), [1]);
    assert_eq!(guest.status("KdEnableDebugger", &[]), INVALID_PARAMETER);
    let printed = guest.lab.debug_output();
    assert_eq!(printed.matches("heard").count(), 1, "{printed}");

    let (block, change) = (guest.put(&[1]), "KdChangeOption");
    assert_eq!(guest.status(change, &[1, 1, block, 0, 0, 0]), INFO_CLASS);
    let wrong = [0, 2, block, 0, 0, 0];
    assert_eq!(guest.status(change, &wrong), INVALID_PARAMETER);
    guest.succeeds(change, &[0, 1, block, 0, 0, 0]);
    assert_eq!(guest.status("KdDisableDebugger", &[]), ACCESS_DENIED);
    guest.write(block, &[0x80]);
    guest.succeeds(change, &[0, 1, block, 0, 0, 0]);
    let again = [0, 1, block, 0, 0, 0];
    assert_eq!(guest.status(change, &again), ACCESS_DENIED);
}
