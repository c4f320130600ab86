//! Routines of the executive: features, clock, run-down protection, spin locks, lookaside lists, callbacks,
//! resources. The expectations are those of each routine's page in the WDK.

use crate::guest::*;

const PARAMETER_4: u32 = 0xc000_00f2;
const PARAMETER_5: u32 = 0xc000_00f3;

#[test]
fn features_are_the_processor_s() {
    let mut guest = Guest::new();
    let mut has = |feature: u64| guest.status("ExIsProcessorFeaturePresent", &[feature]) as u8 == 1;
    // CMPXCHG8B, MMX, SSE, RDTSC, PAE, SSE2, SSE3: every processor of 64 bits that the emulator knows
    for feature in [2, 3, 6, 8, 9, 10, 13] {
        assert!(has(feature), "{feature}");
    }
    // the divide bug, emulated floating point, others' instructions, and what there is no number for
    for feature in [0, 1, 4, 5, 99] {
        assert!(!has(feature), "{feature}");
    }
}

#[test]
fn the_clock_s_rate_is_the_fastest_that_is_asked_for() {
    let mut guest = Guest::new();
    let at = guest.room(12);
    let current = |guest: &mut Guest| {
        guest.call("ExQueryTimerResolution", &[at, at + 4, at + 8]);
        assert_eq!([guest.u32(at), guest.u32(at + 4)], [156_250, 10_000]);
        guest.u32(at + 8)
    };
    let set = |guest: &mut Guest, time, set| guest.status("ExSetTimerResolution", &[time, set]);
    assert_eq!(current(&mut guest), 156_250);
    assert_eq!(set(&mut guest, 50_000, 1), 50_000);
    assert_eq!(set(&mut guest, 100_000, 1), 50_000);
    assert_eq!(set(&mut guest, 5, 1), 10_000);
    assert_eq!(current(&mut guest), 10_000);
    assert_eq!(set(&mut guest, 0, 0), 10_000);
    assert_eq!(set(&mut guest, 0, 0), 10_000);
    assert_eq!(set(&mut guest, 0, 0), 156_250);
    assert_eq!(current(&mut guest), 156_250);
}

#[test]
fn local_time_is_greenwich_s() {
    let mut guest = Guest::new();
    let (time, result) = (guest.put(&words(&[0x1234_5678_9abc])), guest.room(8));
    guest.call("ExSystemTimeToLocalTime", &[time, result]);
    assert_eq!(guest.u64(result), 0x1234_5678_9abc);
    let bias = guest.lab.kernel_symbol("ExpTimeZoneBias").unwrap().0;
    guest.write(bias, &words(&[36_000_000_000]));
    guest.call("ExSystemTimeToLocalTime", &[time, result]);
    assert_eq!(guest.u64(result), 0x1234_5678_9abc - 36_000_000_000);
    guest.call("ExLocalTimeToSystemTime", &[result, result]);
    assert_eq!(guest.u64(result), 0x1234_5678_9abc);
}

#[test]
fn identifiers_are_made_once_and_the_same_in_each_run() {
    let make = || {
        let mut guest = Guest::new();
        let at = guest.room(16);
        let mut ids = Vec::new();
        for _ in 0..20 {
            assert_eq!(guest.status("ExUuidCreate", &[at]), 0x4002_0056);
            ids.push(guest.bytes(at, 16));
        }
        ids
    };
    let ids = make();
    assert_eq!(ids, make());
    for (number, id) in ids.iter().enumerate() {
        assert_eq!([id[7] >> 4, id[8] >> 6], [1, 2], "version and variant");
        assert!(!ids[..number].contains(id));
    }
}

#[test]
fn adding_gives_what_was_there() {
    let mut guest = Guest::new();
    let (addend, lock) = (guest.put(&words(&[0xffff_ffff])), guest.put(&words(&[0])));
    let add = [addend, 3, lock];
    assert_eq!(guest.status("ExInterlockedAddUlong", &add), 0xffff_ffff);
    assert_eq!(guest.status("ExInterlockedAddUlong", &add), 2);
    assert_eq!(guest.u64(addend), 5);
}

#[test]
fn run_down_protection_ends_with_the_last_user() {
    let mut guest = Guest::new();
    let at = guest.room(8);
    guest.call("ExInitializeRundownProtection", &[at]);
    let acquire = |guest: &mut Guest| guest.status("ExAcquireRundownProtection", &[at]) as u8 == 1;
    assert!(acquire(&mut guest));
    let more = guest.status("ExAcquireRundownProtectionEx", &[at, 3]) as u8;
    assert_eq!(more, 1);
    guest.call("ExReleaseRundownProtection", &[at]);
    guest.call("ExReleaseRundownProtectionEx", &[at, 3]);
    // nobody is left: the wait is over at once, and nobody gets in any more
    guest.call("ExWaitForRundownProtectionRelease", &[at]);
    assert!(!acquire(&mut guest));
    guest.call("ExWaitForRundownProtectionRelease", &[at]);
    guest.call("ExRundownCompleted", &[at]);
    assert!(!acquire(&mut guest));
    guest.call("ExReInitializeRundownProtection", &[at]);
    assert!(acquire(&mut guest));
}

#[test]
fn spin_locks_for_readers_and_writers() {
    let mut guest = Guest::new();
    let lock = guest.put(&[0; 4]);
    let irql = |guest: &mut Guest| guest.status("KeGetCurrentIrqlExport", &[]) as u8;
    let call = |guest: &mut Guest, name: &str| guest.status(name, &[lock]) as u8;
    let convert = "ExTryConvertSharedSpinLockExclusive";
    assert_eq!(call(&mut guest, "ExAcquireSpinLockShared"), 0);
    assert_eq!(irql(&mut guest), 2);
    call(&mut guest, "ExAcquireSpinLockSharedAtDpcLevel");
    assert_eq!(call(&mut guest, convert), 0);
    let exclusive = "ExTryAcquireSpinLockExclusiveAtDpcLevel";
    assert_eq!(call(&mut guest, exclusive), 0);
    call(&mut guest, "ExReleaseSpinLockSharedFromDpcLevel");
    assert_eq!(call(&mut guest, convert), 1);
    assert_eq!(call(&mut guest, "ExTryAcquireSpinLockSharedAtDpcLevel"), 0);
    guest.call("ExReleaseSpinLockExclusive", &[lock, 0]);
    assert_eq!((irql(&mut guest), guest.u32(lock)), (0, 0));
    assert_eq!(call(&mut guest, "ExAcquireSpinLockExclusive"), 0);
    guest.call("ExReleaseSpinLockExclusive", &[lock, 2]);
    call(&mut guest, "ExAcquireSpinLockExclusiveAtDpcLevel");
    call(&mut guest, "ExReleaseSpinLockExclusiveFromDpcLevel");
    guest.call("ExAcquireSpinLockShared", &[lock]);
    guest.call("ExReleaseSpinLockShared", &[lock, 0]);
    assert_eq!((irql(&mut guest), guest.u32(lock)), (0, 0));
}

/// On one processor a lock that is taken is never going to be free: SPIN_LOCK_ALREADY_OWNED; and
/// SPIN_LOCK_NOT_OWNED.
#[test]
fn misused_spin_locks_stop() {
    for (held, name, code) in [
        (1, "ExAcquireSpinLockExclusive", 0xf),
        (0x8000_0000_u32, "ExAcquireSpinLockExclusive", 0xf),
        (0x8000_0000, "ExAcquireSpinLockShared", 0xf),
        (0, "ExReleaseSpinLockShared", 0x10),
        (0x8000_0000, "ExReleaseSpinLockShared", 0x10),
        (1, "ExReleaseSpinLockExclusive", 0x10),
    ] {
        let mut guest = Guest::new();
        let lock = guest.put(&held.to_le_bytes());
        let check = guest.bug_check(name, &[lock, 0]);
        assert_eq!(check, (code, [lock, 0, 0, 0]), "{name}");
    }
}

/// `LOOKASIDE_LIST_EX`: size 0x60, the routines at 0x30 and 0x38.
#[test]
fn lookaside_lists_of_either_pool() {
    let mut guest = Guest::new();
    let list = guest.room(0x60);
    let tag = u64::from(u32::from_le_bytes(*b"Look"));
    let initialize = "ExInitializeLookasideListEx";
    let wrong = [list, 0, 0, 9, 0, 0x20, tag, 0];
    assert_eq!(guest.status(initialize, &wrong), PARAMETER_4);
    let wrong = [list, 0, 0, 0, 3, 0x20, tag, 0];
    assert_eq!(guest.status(initialize, &wrong), PARAMETER_5);
    guest.succeeds(initialize, &[list, 0, 0, 0, 0, 0x20, tag, 0]);
    // what the inline functions of wdm.h do is what this one does: ask the list, and then the routine
    let block = guest.call("ExAllocateFromNPagedLookasideList", &[list]);
    assert_eq!(guest.outstanding(b"Look"), 1);
    guest.call("ExpInterlockedPushEntrySList", &[list, block]);
    guest.call("ExFlushLookasideListEx", &[list]);
    assert_eq!(guest.outstanding(b"Look"), 0);
    guest.call("ExDeleteLookasideListEx", &[list]);

    let (own, free) = (guest.routine(0x1234), guest.routine(0));
    let arguments = [list, own.address, free.address, 1, 2, 0x20, tag, 0];
    guest.succeeds(initialize, &arguments);
    // paged, and POOL_QUOTA_FAIL_INSTEAD_OF_RAISE
    assert_eq!(guest.u32(list + 0x24), 9);
    assert_eq!(guest.u64(list + 0x30), own.address);
    let entry = guest.room(0x20);
    guest.call("ExpInterlockedPushEntrySList", &[list, entry]);
    guest.call("ExDeleteLookasideListEx", &[list]);
    assert_eq!(guest.calls(free), 1);
    assert_eq!(guest.arguments(free)[..2], [entry, list]);
}

#[test]
fn callbacks_by_name() {
    let mut guest = Guest::new();
    let attributes = guest.attributes(r"\Callback\Ours", PERMANENT | 0x40);
    let place = guest.room(8);
    let missing = [place, attributes, 0, 1];
    assert_eq!(guest.status("ExCreateCallback", &missing), NAME_NOT_FOUND);
    guest.succeeds("ExCreateCallback", &[place, attributes, 1, 1]);
    let object = guest.u64(place);
    guest.succeeds("ExCreateCallback", &[place, attributes, 0, 0]);
    assert_eq!(guest.u64(place), object);
    assert_eq!(guest.path(object), r"\Callback\Ours");
    let (first, second) = (guest.routine(0), guest.routine(0));
    let one = guest.call("ExRegisterCallback", &[object, first.address, 0x11]);
    let two = guest.call("ExRegisterCallback", &[object, second.address, 0x22]);
    assert!(one != 0 && two != 0);
    assert_eq!(guest.outstanding(b"CBRe"), 2);
    guest.call("ExNotifyCallback", &[object, 0x33, 0x44]);
    assert_eq!(guest.arguments(first)[..3], [0x11, 0x33, 0x44]);
    assert_eq!(guest.arguments(second)[..3], [0x22, 0x33, 0x44]);
    guest.call("ExUnregisterCallback", &[one]);
    guest.call("ExNotifyCallback", &[object, 0, 0]);
    assert_eq!([guest.calls(first), guest.calls(second)], [1, 2]);
    guest.call("ExUnregisterCallback", &[two]);
    assert_eq!(guest.outstanding(b"CBRe"), 0);
    for _ in 0..2 {
        guest.call("ObfDereferenceObject", &[object]);
    }
    guest.call("ObMakeTemporaryObject", &[object]);

    // one that takes one routine only
    let attributes = guest.attributes(r"\Callback\Single", PERMANENT);
    guest.succeeds("ExCreateCallback", &[place, attributes, 1, 0]);
    let object = guest.u64(place);
    assert_ne!(
        guest.call("ExRegisterCallback", &[object, first.address, 0]),
        0
    );
    let more = guest.call("ExRegisterCallback", &[object, second.address, 0]);
    assert_eq!(more, 0);

    let unnamed = guest.attributes_at(0, None, 0);
    let status = guest.status("ExCreateCallback", &[place, unnamed, 1, 1]);
    assert_eq!(status, 0xc000_0001);
    for system in ["SetSystemTime", "PowerState", "ProcessorAdd"] {
        let attributes = guest.attributes(&format!(r"\Callback\{system}"), 0x40);
        guest.succeeds("ExCreateCallback", &[place, attributes, 0, 0]);
    }
}

#[test]
fn a_resource_changes_hands() {
    let mut guest = Guest::new();
    let resource = guest.room(0x68);
    guest.succeeds("ExInitializeResourceLite", &[resource]);
    let shared = |guest: &mut Guest| guest.status("ExIsResourceAcquiredSharedLite", &[resource]);
    let exclusive = |guest: &mut Guest| {
        guest.status("ExIsResourceAcquiredExclusiveLite", &[resource]) as u8 == 1
    };
    for name in [
        "ExAcquireSharedStarveExclusive",
        "ExAcquireSharedWaitForExclusive",
    ] {
        for count in 1..=2 {
            assert_eq!(guest.status(name, &[resource, 0]) as u8, 1);
            assert_eq!(shared(&mut guest), count);
        }
        guest.call("ExReleaseResourceLite", &[resource]);
        guest.call("ExReleaseResourceLite", &[resource]);
    }
    guest.call("ExAcquireResourceExclusiveLite", &[resource, 1]);
    assert!(exclusive(&mut guest));
    guest.call("ExConvertExclusiveToSharedLite", &[resource]);
    assert!(!exclusive(&mut guest));
    assert_eq!(shared(&mut guest), 1);
    for name in ["ExGetExclusiveWaiterCount", "ExGetSharedWaiterCount"] {
        assert_eq!(guest.status(name, &[resource]), 0);
    }
    // a pointer owns it from now on
    let owner = guest.put(&words(&[0])) | 3;
    guest.call("ExSetResourceOwnerPointer", &[resource, owner]);
    assert_eq!(shared(&mut guest), 0);
    guest.call("ExReleaseResourceForThreadLite", &[resource, owner]);
    let check = guest.bug_check("ExConvertExclusiveToSharedLite", &[resource]);
    assert_eq!((check.0, check.1[0]), (0xe3, resource));
}

#[test]
fn mutexes_without_their_region_and_with() {
    let mut guest = Guest::new();
    let mutex = guest.put(&words(&[1, 0, 0, 0, 0, 0, 0]));
    guest.call("KeInitializeEvent", &[mutex + 0x18, 1, 0]);
    let disabled = |guest: &mut Guest| guest.status("KeAreApcsDisabled", &[]) as u8 == 1;
    let enter = "ExEnterCriticalRegionAndAcquireFastMutexUnsafe";
    guest.call(enter, &[mutex]);
    assert!(disabled(&mut guest));
    assert_eq!(guest.u32(mutex), 0);
    let leave = "ExReleaseFastMutexUnsafeAndLeaveCriticalRegion";
    guest.call(leave, &[mutex]);
    assert!(!disabled(&mut guest));
    assert_eq!(guest.u32(mutex), 1);
    let guarded = guest.room(0x38);
    guest.call("KeInitializeGuardedMutex", &[guarded]);
    guest.call("KeAcquireGuardedMutexUnsafe", &[guarded]);
    assert!(!disabled(&mut guest));
    let again = guest.status("KeTryToAcquireGuardedMutex", &[guarded]) as u8;
    assert_eq!(again, 0);
    guest.call("KeReleaseGuardedMutexUnsafe", &[guarded]);
    assert_eq!(guest.u32(guarded), 1);
}

#[test]
fn pool_is_freed_by_its_newest_name() {
    let mut guest = Guest::new();
    let tag = u64::from(u32::from_le_bytes(*b"Fre2"));
    let block = guest.call("ExAllocatePool2", &[0x40, 0x30, tag]);
    assert_eq!(guest.outstanding(b"Fre2"), 1);
    guest.call("ExFreePool2", &[block, tag, 0, 0]);
    assert_eq!(guest.outstanding(b"Fre2"), 0);
}
