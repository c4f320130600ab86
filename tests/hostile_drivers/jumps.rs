//! Jumps to where no code is.

use crate::driver::{Act, End, Way};
use crate::ended::{ACCESS_VIOLATION, Ended, ends, ends_both_ways};
use crate::writes::GATE;
use poolhit::address::Va;
use poolhit::machine::Exit;
use poolhit::memory::ReadMemory;

/// The place that was jumped to is the innermost of the fault, and the driver's call follows.
#[track_caller]
fn leads_back(ended: &mut Ended, target: u64) {
    let place = format!("\n    0x{}\n    hostile!", Va(target));
    assert!(ended.text.contains(&place), "{}", ended.text);
    ended.instruction();
    ended.stack_is_whole();
}

/// To NULL, to memory of the program's half that is not there: STATUS_ACCESS_VIOLATION, 8 for an execution.
#[test]
fn to_user_memory_that_is_not_there() {
    for target in [0, 8, 0x1234_5678, 0x7ff_ffff_0000] {
        for mut ended in ends_both_ways(Act::Jump, target, 0) {
            ended.exception(ACCESS_VIOLATION, target, [8, target]);
            leads_back(&mut ended, target);
            ended.works_again();
        }
    }
}

/// The processor does not tell the address, so that the exception has -1.
#[test]
fn to_addresses_that_are_not_canonical() {
    for target in [
        0x8000_0000_0000_0000,
        0x4141_4141_4141_4141,
        0x8000_0000_0000,
    ] {
        for mut ended in ends_both_ways(Act::Jump, target, 0) {
            ended.exception(ACCESS_VIOLATION, target, [0, u64::MAX]);
            leads_back(&mut ended, target);
            ended.works_again();
        }
    }
}

/// PAGE_FAULT_IN_NONPAGED_AREA: the address, 8 for an execution, the instruction, which is there, too.
#[test]
fn to_kernel_memory_that_is_not_there() {
    for target in [0xfffffa80_0eee_0000, 0xffff8000_0000_0000, u64::MAX] {
        for mut ended in ends_both_ways(Act::Jump, target, 0) {
            assert_eq!(ended.parameters(0x50), [target, 8, target, 0]);
            leads_back(&mut ended, target);
            ended.works_again();
        }
    }
}

/// ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY: the address and the contents of its page table entry (Microsoft,
/// "Bug Check 0xFC"); the others are reserved.
#[test]
fn to_data() {
    let lab = crate::driver::lab();
    let data = lab.kernel_symbol("PoolHitTag").unwrap().0;
    let stack = lab.machine().registers().rsp().0 & !0xfff;
    drop(lab);
    for target in [data, stack, 0xfffff8a0_0000_0000, GATE + 0x2000] {
        for ended in ends_both_ways(Act::Jump, target, 0) {
            let [address, entry, ..] = ended.parameters(0xfc);
            let at = 0xfffff680_0000_0000 + (target >> 9 & 0x7f_ffff_fff8);
            let expected = ended.lab.machine().read_u64(Va(at)).unwrap();
            assert_eq!((address, entry), (target, expected));
            assert_eq!(entry >> 63, 1);
            ended.instruction();
            ended.works_again();
        }
    }
}

/// To the machine's own code, which no kernel has: a fault there, or a halt. A call does not take that for
/// its end, and nothing of the program runs in ring 0.
#[test]
fn to_the_machines_own_code() {
    for offset in [0, 0x20, 0x1000, 0x1020, 0x1030] {
        for ended in ends_both_ways(Act::Jump, GATE + offset, 0) {
            ended.is_a_stop();
            assert_eq!(ended.lab.machine().privilege_level(), 0, "{}", ended.text);
            if ended.end == End::Stopped(Exit::Halt) {
                assert_eq!(offset, 0x1030);
            }
            ended.works_again();
        }
    }
    // Where functions return to that a call has called.
    let landing = crate::driver::lab().machine().return_landing().0;
    let ended = ends(Way::Call, Act::Jump, landing, 0);
    assert_eq!(ended.exit(), Exit::Halt);
    ended.works_again();
}
