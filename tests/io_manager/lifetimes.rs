//! What lives for a while and then goes, or is there at times.

use crate::guest::*;
use crate::plug_and_play::INTERFACE;
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{BugCheck, DeviceAction, Request, RequestStop};
use poolhit::machine::Exit;
use poolhit::memory::WriteMemory;

const LIFETIMES: u32 = 0x831;

const MAP: u32 = 7;
const UNMAP: u64 = 8;
const UNMAP_LESS: u64 = 9;

fn of(lab: &mut Lab, device: &str, case: u32) -> Vec<u32> {
    numbers(lab, device, LIFETIMES, &case.to_le_bytes())
}

/// `KeLowerIrql` is inline on x64: paged pool is there for those who only look at it, and for its allocator.
#[test]
fn paged_pool_is_seen_when_the_driver_lowers_the_level_itself() {
    let expected = [1, 1, 0x4321, 1, 0x4321, 0, 0, 0];
    assert_eq!(of(&mut lab(), "IoTest", 1), expected);
}

/// An item that another one waits for gets a thread once there is pool for it.
#[test]
fn a_worker_thread_that_could_not_be_made_is_made_later() {
    let driver = driver(0, 0);
    let builder = Lab::builder().driver(driver).requester();
    let mut lab = builder.nonpaged_pool_limit(4 << 20).build().unwrap();
    assert_eq!(of(&mut lab, "IoTest", 2)[..2], [0, 0]);
}

/// WDK, "ObUnRegisterCallbacks": a driver calls it before it unloads, so it waits for calls that are under way.
#[test]
fn unregistering_waits_for_callbacks_that_run() {
    let mut lab = lab();
    let before = outstanding(&lab);
    assert_eq!(of(&mut lab, "IoTest", 3), [0, 0, 2, 2, 1, 1, 0, 0]);
    assert_eq!(outstanding(&lab), before);
}

/// WDK, "IoSetDeviceInterfaceState": each is told of, also where it is not the first or last of its link.
#[test]
fn interfaces_behind_one_link_are_told_of_one_by_one() {
    let mut lab = lab_with(PNP | LISTEN, 0);
    let first = lab.add_device().unwrap();
    lab.add_device().unwrap();
    assert_eq!(of(&mut lab, INTERFACE, 4)[..4], [0; 4]);
    assert_eq!(Counters::of(&lab).interfaces(), [4, 0, 4]);
    assert_eq!(of(&mut lab, INTERFACE, 5)[..4], [0; 4]);
    assert_eq!(Counters::of(&lab).interfaces(), [4, 2, 2]);
    assert_eq!(of(&mut lab, INTERFACE, 4)[..4], [0; 4]);
    lab.device(first, DeviceAction::Remove).unwrap();
    let sleep = Request::Sleep { milliseconds: 5 };
    assert!(ask(&mut lab, &sleep).is_success());
    assert_eq!(Counters::of(&lab).interfaces(), [6, 5, 1]);
}

/// Without a thread nobody waits for it: one that is cancelled is freed.
#[test]
fn a_request_of_the_drivers_own_that_is_cancelled_is_dropped() {
    let mut lab = lab();
    let before = outstanding(&lab);
    assert_eq!(of(&mut lab, "IoTest", 6)[..2], [0, 0]);
    assert_eq!(Counters::of(&lab).shutdowns(), 1);
    assert_eq!(outstanding(&lab), before);
}

/// The address that the driver has mapped three pages at for the program.
fn mapped(lab: &mut Lab) -> u64 {
    let words = of(lab, "IoTest", MAP);
    u64::from(words[1]) << 32 | u64::from(words[0])
}

fn unmap(case: u64, address: u64) -> [u8; 16] {
    let mut input = [0; 16];
    input[..8].copy_from_slice(&case.to_le_bytes());
    input[8..].copy_from_slice(&address.to_le_bytes());
    input
}

/// The program's own code reads and writes what the driver has mapped for it.
#[test]
fn the_program_uses_what_is_mapped_for_it() {
    let mut lab = lab();
    let address = mapped(&mut lab);
    let saved = lab.save().unwrap();
    let machine = lab.machine_mut();
    // mov rcx, address; mov al, [rcx]; inc al; mov [rcx+1], al; mov [rcx], al; int3
    let mut code = vec![0x48, 0xb9];
    code.extend(address.to_le_bytes());
    code.extend([0x8a, 0x01, 0xfe, 0xc0, 0x88, 0x41, 0x01, 0x88, 0x01, 0xcc]);
    let at = machine.instruction_pointer();
    assert!(at.0 < 1 << 47, "{at}");
    machine.write(at, &code).unwrap();
    let limit = machine.work() + 1000;
    let exit = lab.run(limit).unwrap();
    assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
    let end = lab.machine().instruction_pointer().0;
    let last = at.0 + code.len() as u64;
    assert!(end == last || end == last - 1, "{end:x}");
    let memory = poolhit::memory::ReadMemory::read_u32(lab.machine(), Va(address)).unwrap();
    assert_eq!(memory & 0xffff, 79 << 8 | 79);
    // The driver sees the same memory.
    let mut lab = saved.lab().unwrap();
    lab.machine_mut().write(Va(address), &[79]).unwrap();
    assert_eq!(
        numbers(&mut lab, "IoTest", LIFETIMES, &unmap(UNMAP, address))[0],
        79
    );
    let gone = poolhit::memory::ReadMemory::read_u32(lab.machine(), Va(address));
    assert!(gone.is_err());
}

/// SYSTEM_PTE_MISUSE: neither an address inside of it nor a part of its length is the mapping.
#[test]
fn only_a_whole_mapping_is_unmapped() {
    for (case, offset) in [(UNMAP, 0x1000), (UNMAP_LESS, 0)] {
        let mut lab = lab();
        let address = mapped(&mut lab) + offset;
        let handle = open(&mut lab, "IoTest");
        let input = unmap(case, address);
        let request = Request::ioctl(handle, code(LIFETIMES, BUFFERED), &input, 32);
        let error = lab.request(&request).unwrap_err();
        let Some(RequestStop::BugCheck(BugCheck { code, parameters })) =
            error.stopped().map(|stopped| &stopped.reason)
        else {
            panic!("{error}");
        };
        assert_eq!((*code, parameters[1]), (0xda, address));
    }
}
