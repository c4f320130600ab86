//! System calls with every number and with arguments that make no sense.

use crate::support::*;
use poolhit::address::Va;
use poolhit::guest::BugCheck;
use poolhit::{Session, StopReason};
use proptest::prelude::*;

/// Values that system calls get for arguments.
const ARGUMENTS: [u64; 10] = [
    0,
    1,
    4,
    u64::MAX,
    0xd_f700,              // the stack
    PROGRAM_CODE,          // code
    0x7ff_fffe_0000,       // the last page of user mode and what is behind it
    0xfffff800_01653000,   // the kernel
    0xfffff680_00000000,   // the page tables
    0x1234_5678_9abc_def0, // not canonical
];

/// Calls all numbers below 1000h but the one that ends the process, then that one.
fn caller(argument: u64) -> Vec<u8> {
    Code::default()
        .set(RBX, 0)
        // again: mov eax, ebx; cmp eax, 29h; je next (at the `inc`)
        .raw(&[0x89, 0xd8, 0x83, 0xf8, 0x29, 0x74, 40 + 2])
        .set(R10, argument)
        .set(RDX, argument)
        .set(8, argument)
        .set(9, argument)
        .raw(&[0x0f, 0x05])
        // inc ebx; cmp ebx, 1000h; jb again
        .raw(&[0xff, 0xc3, 0x81, 0xfb, 0, 0x10, 0, 0, 0x72, 0xc5])
        .set(RAX, 0x29)
        .set(R10, u64::MAX)
        .set(RDX, 0x1234)
        .raw(&[0x0f, 0x05])
        .0
}

#[test]
fn every_number_with_nonsense_is_answered() {
    for argument in ARGUMENTS {
        let mut session = with_program(&caller(argument));
        session.set_budget(16 << 20);
        let stop = go(&mut session);
        let exit_status = Some(0x1234);
        assert_eq!(
            stop.reason,
            StopReason::Idle { exit_status },
            "{argument:x}"
        );
    }
    fresh_lab_works();
}

/// `nt!MmUserProbeAddress`: taken for a stack pointer above it, so that arguments are never read from
/// the kernel's memory.
const USER_PROBE_ADDRESS: u64 = 0x7ff_ffff_0000;

/// Whether the bug check says that an instruction of the kernel's could not read or write at one of
/// the arguments.
fn reaches_nonsense(session: &Session, check: BugCheck) -> bool {
    let (address, instruction) = match (check.code, check.parameters) {
        (0x50, [address, _, instruction, 0]) => (address, instruction),
        _ => return false,
    };
    let place = session.modules().nearest(Va(instruction));
    let near = |argument: u64| address.wrapping_sub(argument) < 0x1000;
    check.parameters[1] <= Access::Write as u64
        && place.is_some_and(|place| place.to_string().starts_with("nt!"))
        && (ARGUMENTS.into_iter().any(near) || near(USER_PROBE_ADDRESS))
}

/// All services that there are, some numbers that there are none for, and none that sleeps as long as it
/// is told.
const SERVICES: [u64; 24] = [
    0x1,
    0x3,
    0x4,
    0x5,
    0xb,
    0xc,
    0xe,
    0x24,
    0x29,
    0x30,
    0x36,
    0x3b,
    0x45,
    0x48,
    0x52,
    0x5a,
    0x86,
    0xdc,
    0x141,
    0x174,
    0x184,
    0x190,
    0x191,
    u64::MAX,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// The services that there are, with arguments and a stack that make no sense: the call
    /// returns, or the kernel cannot reach what it was given.
    #[test]
    fn services_with_nonsense_end(
        number in prop::sample::select(SERVICES.to_vec()),
        arguments in prop::collection::vec(prop::sample::select(ARGUMENTS.to_vec()), 5),
        stack in prop::collection::vec(prop::sample::select(ARGUMENTS.to_vec()), 12),
    ) {
        let mut code = Code::default();
        if arguments[4] != 0 {
            code = code.set(RSP, arguments[4]);
        } else {
            for value in stack {
                code = code.set(RAX, value).raw(&[0x50]);
            }
        }
        for (register, value) in [R10, RDX, 8, 9].into_iter().zip(arguments) {
            code = code.set(register, value);
        }
        let mut session = with_program(&code.set(RAX, number).raw(&[0x0f, 0x05, 0xeb, 0xfe]).0);
        let reason = go(&mut session).reason;
        match reason {
            StopReason::Budget { .. } | StopReason::Idle { .. } => {}
            // The program goes on without a stack.
            StopReason::Fault(fault) => {
                let ring = session.lab().machine().privilege_level();
                prop_assert!(ring == 3, "{fault:?} in ring {ring}");
            }
            StopReason::BugCheck(check) => {
                prop_assert!(reaches_nonsense(&session, check), "{}", check.in_one_line());
            }
            other => prop_assert!(false, "{other:?}"),
        }
        look(&mut session);
        prop_assert!(session.go().is_ok());
    }
}

/// Only the lower half of RAX is the number: the upper must not choose where the kernel calls.
#[test]
fn the_upper_half_of_the_number_is_nothing() {
    for number in [0x1_0000_000c, 0x7fff_ffff_0000_0052, 0xffff_ffff_0000_0190] {
        let code = Code::default()
            .set(RAX, number)
            .set(R10, 0)
            .set(RDX, 0)
            .raw(&[0x0f, 0x05, 0x0f, 0x0b]) // syscall; ud2
            .0;
        // The kernel has answered, and the program is at its own `ud2`.
        assert_eq!(fault(&mut with_program(&code)), (6, None), "{number:x}");
    }
}
