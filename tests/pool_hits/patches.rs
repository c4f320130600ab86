//! Code changed by the debugger runs as changed, at once.

use crate::schedule::{LEAK_PAGED, NO_TAG, Path, REQUESTS};
use crate::{break_instruction, session, symbol};
use poolhit::memory::ReadMemory;
use poolhit::{Session, StopReason};

const NOP: &[u8] = &[0x90];
const INT3: &[u8] = &[0xcc];

fn done(failures: u32) -> StopReason {
    StopReason::Idle {
        exit_status: Some(failures),
    }
}

/// The reason and address of the next stop.
fn go(session: &mut Session) -> (StopReason, poolhit::address::Va) {
    let stop = session.go().unwrap();
    (stop.reason, stop.address)
}

#[test]
fn a_break_instruction_is_gone_and_back() {
    let mut session = session(LEAK_PAGED);
    let (big, free) = (
        break_instruction(Path::BigPool),
        break_instruction(Path::Free),
    );
    let request = symbol(&session, "nt!NtDeviceIoControlFile");
    let hit = StopReason::BreakInstruction;
    assert_eq!(go(&mut session), (hit.clone(), big));
    assert_eq!(go(&mut session), (hit.clone(), big));
    // translated by now; the processor is at it
    session.write(big, NOP).unwrap();
    assert_eq!(go(&mut session), (hit.clone(), free));
    session.write(free, NOP).unwrap();
    session.set_breakpoint(request, "").unwrap();
    for _ in 3..20 {
        assert_eq!(session.go().unwrap().address, request);
    }
    session.clear_breakpoint(0).unwrap();
    session.write(free, INT3).unwrap();
    assert_eq!(go(&mut session), (hit.clone(), free));
    session.write(big, INT3).unwrap();
    assert_eq!(go(&mut session), (hit, big));
    session.write(big, NOP).unwrap();
    session.write(free, NOP).unwrap();
    assert_eq!(session.go().unwrap().reason, done(0));
}

/// From the middle of the first request on, user mode asks for a service that is not there.
#[test]
fn code_in_user_mode_changes_under_a_running_request() {
    let mut session = session(LEAK_PAGED);
    assert_eq!(session.go().unwrap().reason, StopReason::BreakInstruction);
    // mov eax, 4; behind mov r10, rcx
    let service = symbol(&session, "ntdll!ZwDeviceIoControlFile").wrapping_add(3);
    let mut bytes = [0; 5];
    session.lab().machine().read(service, &mut bytes).unwrap();
    assert_eq!(bytes, [0xb8, 4, 0, 0, 0]);
    session.write(service, &[0xb8, 5]).unwrap();
    assert_eq!(session.go().unwrap().reason, done(REQUESTS as u32 - 1));
}

/// Put in and taken out while the processor is at its first instruction, time and again.
#[test]
fn a_function_is_replaced() {
    let mut session = session(NO_TAG);
    let request = symbol(&session, "nt!NtDeviceIoControlFile");
    session.set_breakpoint(request, "").unwrap();
    for _ in 0..10 {
        assert_eq!(session.go().unwrap().address, request);
    }
    let mut original = [0; 6];
    let machine = session.lab().machine();
    machine.read(request, &mut original).unwrap();
    // mov eax, STATUS_INVALID_DEVICE_REQUEST; ret
    let refuse = [0xb8, 0x10, 0x00, 0x00, 0xc0, 0xc3];
    session.write(request, &refuse).unwrap();
    for _ in 0..5 {
        assert_eq!(session.go().unwrap().address, request);
    }
    session.write(request, &original).unwrap();
    session.clear_breakpoint(0).unwrap();
    // The tenth to the fourteenth met the patch; the fifteenth is only about to start.
    assert_eq!(session.go().unwrap().reason, done(5));
}
