//! Writes to where nothing is to be written: NULL, code, the machine's own pages.

use crate::driver::{Act, End, WAYS, Way, act_by, lab, lab_for};
use crate::ended::{ACCESS_VIOLATION, ends, ends_both_ways};
use poolhit::address::Va;
use poolhit::memory::ReadMemory;

/// The pages through which the machine makes system calls: code for ring 3, code for ring 0, data.
pub const GATE: u64 = 0xfffff7ff_fff00000;

#[test]
fn to_user_memory_that_is_not_there() {
    for address in [0, 8, 0x1234_5678, 0x7ff_ffff_0000] {
        for mut ended in ends_both_ways(Act::Write, address, 0) {
            ended.exception(ACCESS_VIOLATION, ended.instruction(), [1, address]);
            ended.stack_is_whole();
            ended.works_again();
        }
    }
    for mut ended in ends_both_ways(Act::Write, 0x8000_0000_0000_0000, 0) {
        ended.exception(ACCESS_VIOLATION, ended.instruction(), [0, u64::MAX]);
        ended.stack_is_whole();
        ended.works_again();
    }
}

/// PAGE_FAULT_IN_NONPAGED_AREA: the address, 1 for a write, the instruction.
#[test]
fn to_kernel_memory_that_is_not_there() {
    for address in [0xfffffa80_0eee_0000, 0xffff8000_0000_0000, u64::MAX - 7] {
        for mut ended in ends_both_ways(Act::Write, address, 0) {
            assert_eq!(ended.parameters(0x50), [address, 1, ended.instruction(), 0]);
            ended.stack_is_whole();
            ended.works_again();
        }
    }
}

/// DRIVER_IRQL_NOT_LESS_OR_EQUAL: the address, the level, 1 for a write, the instruction.
#[test]
fn at_a_raised_level() {
    for address in [0, 0x1234_5678, 0xfffffa80_0eee_0000] {
        for mut ended in ends_both_ways(Act::WriteDispatch, address, 0) {
            assert_eq!(ended.parameters(0xd1), [address, 2, 1, ended.instruction()]);
            ended.stack_is_whole();
            ended.works_again();
        }
    }
}

/// ATTEMPTED_WRITE_TO_READONLY_MEMORY: the address and the contents of the page table entry; dumps of x64
/// have the trap frame and a kind behind them. Nothing has been written.
#[test]
fn to_code_and_other_pages_that_are_read_only() {
    let lab = lab();
    let driver = lab.driver_function("HostileAct").unwrap().address().0;
    let addresses = [
        lab.kernel_symbol("NtClose").unwrap().0,
        lab.kernel_symbol("KiPageFault").unwrap().0,
        lab.bases().kernel.0,
        driver & !0xfff,
        // The machine's own.
        GATE,
        GATE + 0x1000,
        GATE + 0x1030,
        GATE + 0x2000,
        GATE + 0x2040,
    ];
    drop(lab);
    for address in addresses {
        for (what, kind) in [(Act::Write, 0xb), (Act::WriteDispatch, 0xa)] {
            for mut ended in ends_both_ways(what, address, 0x1122_3344_5566_7788) {
                let [target, entry, frame, four] = ended.parameters(0xbe);
                let machine = ended.lab.machine();
                let at = 0xfffff680_0000_0000 + (address >> 9 & 0x7f_ffff_fff8);
                assert_eq!((target, four), (address, kind));
                assert_eq!(machine.read_u64(Va(at)), Ok(entry));
                assert_eq!(entry & 3, 1, "present, and not to be written");
                // _KTRAP_FRAME.Rip
                let rip = machine.read_u64(Va(frame + 0x168));
                assert_eq!(rip, Ok(ended.instruction()));
                assert_ne!(machine.read_u64(Va(address)), Ok(0x1122_3344_5566_7788));
                ended.stack_is_whole();
                ended.works_again();
            }
        }
    }
}

/// In the program's half that is an exception, which a driver may handle; not at a raised level.
#[test]
fn to_the_programs_code() {
    for way in WAYS {
        let lab = lab_for(way);
        let entry = lab.images().program.image.entry_point();
        let code = (lab.bases().program + entry).0;
        let mut ended = ends(way, Act::Write, code, 0);
        ended.exception(ACCESS_VIOLATION, ended.instruction(), [1, code]);
        ended.stack_is_whole();
        ended.works_again();
        let ended = ends(way, Act::WriteDispatch, code, 0);
        let [address, _, _, kind] = ended.parameters(0xbe);
        assert_eq!((address, kind), (code, 0xa));
        ended.works_again();
    }
}

/// With CR0.WP off a driver may write to code, as on the processor. The lab's kernel runs what is there
/// then; it is the lab's own, and no other's.
#[test]
fn to_code_with_write_protection_off() {
    let address = lab().kernel_symbol("NtClose").unwrap().0;
    let original = lab().machine().read_u64(Va(address)).unwrap();
    let broken = original & !0xff | 0xcc;
    let ended = ends(Way::Call, Act::WriteUnprotected, address, broken);
    assert_eq!(ended.end, End::Back);
    let written = ended.lab.machine().read_u64(Va(address));
    assert_eq!(written, Ok(broken));
    ended.works_again();
    let mut lab = lab_for(Way::Request);
    let other = lab_for(Way::Request);
    // The program closes its handle.
    let (end, text) = act_by(
        &mut lab,
        Way::Request,
        Act::WriteUnprotected,
        address,
        broken,
    );
    assert!(matches!(end, End::Stopped(_)), "{text}");
    assert!(text.contains("\n    nt!NtClose\n"), "{text}");
    assert_eq!(other.machine().read_u64(Va(address)), Ok(original));
}
