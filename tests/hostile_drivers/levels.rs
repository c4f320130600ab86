//! Interrupt request levels, waits and locks.

use crate::driver::{Act, End, Way};
use crate::ended::{ends, ends_both_ways};
use poolhit::address::Va;
use poolhit::machine::Exit;

/// ATTEMPTED_SWITCH_FROM_DPC: the thread, the one to be switched to, the former's stack (Microsoft, "Bug
/// Check 0xB8").
#[test]
fn a_wait_at_a_raised_level() {
    for mut ended in ends_both_ways(Act::WaitDispatch, 0, 0) {
        let [thread, other, _, zero] = ended.parameters(0xb8);
        let region = ended.lab.processor_control_region();
        let read = |offset| {
            use poolhit::memory::ReadMemory;
            ended.lab.machine().read_u64(region.wrapping_add(offset))
        };
        // _KPRCB.CurrentThread and IdleThread
        assert_eq!((read(0x188), read(0x198)), (Ok(thread), Ok(other)));
        assert_eq!(zero, 0);
        assert!(ended.text.contains("\n    nt!KeWaitForSingleObject+"));
        ended.instruction();
        ended.stack_is_whole();
        ended.works_again();
    }
}

/// SPIN_LOCK_ALREADY_OWNED: "a recursive request for a spin lock" (Microsoft, "Bug Check 0xF"), which would
/// never be granted.
#[test]
fn a_spin_lock_taken_twice() {
    for mut ended in ends_both_ways(Act::LockTwice, 0, 0) {
        let [lock, ..] = ended.parameters(0xf);
        let driver = ended.lab.bases().driver;
        assert!((driver..driver.wrapping_add(0x4000)).contains(&Va(lock)));
        assert!(ended.text.contains("\n    nt!KeAcquireSpinLockRaiseToDpc+"));
        ended.instruction();
        ended.stack_is_whole();
        ended.works_again();
    }
}

/// "It is a fatal error to call KeLowerIrql using an input NewIrql that was not returned by …" (WDK,
/// "KeLowerIrql"): IRQL_NOT_LESS_OR_EQUAL with both levels. The other way it is
/// IRQL_NOT_GREATER_OR_EQUAL.
#[test]
fn levels_changed_the_wrong_way() {
    for (what, code, levels, function) in [
        (Act::LowerIrql, 0xa, [15, 0], "KeLowerIrql"),
        (Act::RaiseIrql, 9, [15, 2], "KfRaiseIrql"),
    ] {
        for mut ended in ends_both_ways(what, 0, 0) {
            let [one, two, three, four] = ended.parameters(code);
            assert_eq!(([one, two], [three, four]), (levels, [0, 0]));
            let place = format!("\n    nt!{function}+");
            assert!(ended.text.contains(&place), "{}", ended.text);
            ended.instruction();
            ended.stack_is_whole();
            ended.works_again();
        }
    }
}

/// IRQL_GT_ZERO_AT_SYSTEM_SERVICE: the system service and the level (Microsoft, "Bug Check 0x4A"). The
/// driver has returned, and is on no stack.
#[test]
fn a_system_call_that_returns_at_a_raised_level() {
    let ended = ends(Way::Request, Act::ReturnRaised, 0, 0);
    let service = ended.lab.kernel_symbol("NtDeviceIoControlFile").unwrap();
    assert_eq!(ended.parameters(0x4a), [service.0, 2, 0, 0]);
    assert!(ended.text.contains("\n    ntdll!ZwDeviceIoControlFile+"));
    ended.works_again();
    // A function may do that.
    let ended = ends(Way::Call, Act::ReturnRaised, 0, 0);
    assert_eq!(ended.end, End::Back);
    ended.works_again();
}

/// Its own bug check has the parameters that it gives.
#[test]
fn a_bug_check_of_the_drivers_own() {
    for mut ended in ends_both_ways(Act::BugCheck, 7, 0xe2) {
        assert_eq!(ended.parameters(0xe2), [7, 0, 0, 0]);
        ended.instruction();
        ended.stack_is_whole();
        ended.works_again();
    }
}

/// A processor that waits in a driver for an interrupt, and none may come. That the program's thread is
/// who stands there, the error says.
#[test]
fn a_processor_that_is_halted() {
    for mut ended in ends_both_ways(Act::HaltCli, 0, 0) {
        assert_eq!(ended.exit(), Exit::Halt, "{}", ended.text);
        let at = ended.lab.machine().registers().rip;
        assert_eq!(ended.instruction(), at, "{}", ended.text);
        assert!(ended.text.contains(&Va(at).to_string()), "{}", ended.text);
        ended.stack_is_whole();
        ended.works_again();
    }
}

/// The next tick of the clock ends the wait.
#[test]
fn a_processor_that_waits_for_an_interrupt() {
    for ended in ends_both_ways(Act::Halt, 0, 0) {
        assert_eq!(ended.end, End::Back, "{}", ended.text);
        ended.works_again();
    }
}
