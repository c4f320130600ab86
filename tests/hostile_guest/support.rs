//! Guests whose driver, program or kernel does what the test says, and what has to hold whatever
//! it does.

use poolhit::address::Va;
use poolhit::guest::{BugCheck, ImageFile, LabError};
use poolhit::{Lab, Session, Stop, StopReason};
use poolhit_fixtures::pe_builder::{CODE, PeBuilder};

/// Where the driver's code starts: the golden session's driver and its first section.
pub const DRIVER_CODE: u64 = 0xfffff880_0496e000;
/// Where the program's code starts.
pub const PROGRAM_CODE: u64 = 0x1_4000_1000;
/// The work that a `g` may take in these tests, in bytes of code retired.
pub const BUDGET: u64 = 100_000;

/// An image whose one section, which may be written too, holds `code`.
fn image(name: &str, code_at: u64, code: &[u8]) -> ImageFile {
    const WRITE: u32 = 0x8000_0000;
    let mut builder = PeBuilder::new(code_at - 0x1000);
    let text = builder.section(".text", CODE | WRITE, code.to_vec(), 0x1000);
    builder.entry_point(text);
    ImageFile::parse(name, builder.build(), None).unwrap()
}

/// A driver whose `DriverEntry` is `code`.
pub fn driver(code: &[u8]) -> ImageFile {
    image("hostile.sys", DRIVER_CODE, code)
}

/// A session with a program that is `code`.
pub fn with_program(code: &[u8]) -> Session {
    let program = image("hostile.exe", PROGRAM_CODE, code);
    let mut session = Session::new(Lab::builder().program(program).build().unwrap());
    session.set_budget(BUDGET);
    session
}

/// A session in whose kernel `code` takes the place of `NtDeviceIoControlFile`, and the address of
/// that.
pub fn with_system_call(code: &[u8]) -> (Session, Va) {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let at = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    session.write(at, code).unwrap();
    session.set_budget(BUDGET);
    (session, at)
}

/// The same behind the prologue that the function's unwind data tell of, so that its stack can be walked;
/// the address is that of `code`.
pub fn with_body_of_system_call(code: &[u8]) -> (Session, Va) {
    const PROLOGUE: [u8; 4] = [0x48, 0x83, 0xec, 0x68]; // sub rsp, 68h
    let (session, at) = with_system_call(&[&PROLOGUE, code].concat());
    (session, at.wrapping_add(PROLOGUE.len() as u64))
}

/// Boots a driver that keeps the kernel from booting, and says how.
pub fn boot_error(code: &[u8]) -> String {
    let error = Lab::builder().driver(driver(code)).build().unwrap_err();
    assert!(matches!(error, LabError::Boot { .. }), "{error:?}");
    error.to_string()
}

/// Runs the guest to its next stop.
#[track_caller]
pub fn go(session: &mut Session) -> Stop {
    session.go().unwrap_or_else(|error| panic!("{error}"))
}

/// Runs the guest to a fault, and gives its vector and the address that could not be reached.
#[track_caller]
pub fn fault(session: &mut Session) -> (u32, Option<Va>) {
    match go(session).reason {
        StopReason::Fault(fault) => (fault.vector, fault.accessed),
        other => panic!("no fault but {other:?}"),
    }
}

/// Runs the guest to a bug check. It is the kernel's own break that the debugger stops at.
#[track_caller]
pub fn bug_check(session: &mut Session) -> BugCheck {
    let stop = go(session);
    match stop.reason {
        StopReason::BugCheck(check) => {
            let at = session.resolve("nt!RtlpBreakWithStatusInstruction");
            assert_eq!(Some(stop.address), at);
            check
        }
        other => panic!("no bug check but {other:?}"),
    }
}

/// What an instruction wanted of the address that it could not reach, as bug checks count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read = 0,
    Write = 1,
    Execute = 8,
}

/// `STATUS_ACCESS_VIOLATION`, as bug checks have it.
pub const ACCESS_VIOLATION: u64 = 0xffff_ffff_c000_0005;

/// Where code runs: which bug check an exception is there that nobody handles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inside {
    /// A system thread, such as the one that calls `DriverEntry`.
    SystemThread,
    /// A system call.
    SystemCall,
    /// A stack that does not lead to where it began.
    Nowhere,
}

/// Whether a bug check is that of an exception which nobody handles (Microsoft, "Bug Check Code
/// Reference": SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SYSTEM_SERVICE_EXCEPTION and
/// KMODE_EXCEPTION_NOT_HANDLED). `information` is told by the last one only; the others have the
/// addresses of records on the kernel's stack.
#[track_caller]
pub fn assert_exception(
    check: BugCheck,
    inside: Inside,
    status: u64,
    instruction: u64,
    information: [u64; 2],
) {
    let [first, second, third, fourth] = check.parameters;
    // In a system call's the status is not sign-extended.
    let status = match inside {
        Inside::SystemCall => status & 0xffff_ffff,
        _ => status,
    };
    assert_eq!((first, second), (status, instruction), "{check:?}");
    let on_stack = |at: u64| at >> 32 == 0xffff_f880;
    match inside {
        Inside::SystemThread => {
            assert_eq!(check.code, 0x7e, "{check:?}");
            assert!(on_stack(third) && on_stack(fourth), "{check:?}");
        }
        Inside::SystemCall => {
            assert_eq!((check.code, fourth), (0x3b, 0), "{check:?}");
            assert!(on_stack(third), "{check:?}");
        }
        Inside::Nowhere => {
            assert_eq!(
                (check.code, [third, fourth]),
                (0x1e, information),
                "{check:?}"
            );
        }
    }
}

/// Whether a bug check is that of an instruction in ring 0, at a level below DISPATCH_LEVEL, that cannot
/// reach `address`: PAGE_FAULT_IN_NONPAGED_AREA for the kernel's addresses, an exception with
/// STATUS_ACCESS_VIOLATION for the others.
#[track_caller]
pub fn assert_page_fault(
    check: BugCheck,
    inside: Inside,
    address: u64,
    access: Access,
    instruction: u64,
) {
    let access = access as u64;
    if address >> 63 == 1 {
        let parameters = [address, access, instruction, 0];
        let code = 0x50;
        assert_eq!(check, BugCheck { code, parameters });
    } else {
        let information = [access, address];
        assert_exception(check, inside, ACCESS_VIOLATION, instruction, information);
    }
}

/// Uses all that looks at the guest, in the state that it is in.
pub fn look(session: &mut Session) {
    for command in ["k", "r", "lm", "u", "dc", "dq @rsp", "bl", "? poi(@rsp)"] {
        // An address that is not there is an error; what matters is that it is no more than that.
        let _ = session.execute(command);
    }
    assert!(session.stack(0x10000).frames.len() <= 0xffff);
}

/// A fresh lab is not touched by what went on before.
pub fn fresh_lab_works() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let tag = session.resolve("nt!PoolHitTag").unwrap();
    session.write(tag, b"Lea2").unwrap();
    let stop = go(&mut session);
    assert_eq!(stop.reason, StopReason::BreakInstruction);
    assert_eq!(stop.address, Va(0xfffff800_014798f6));
    assert_eq!(session.stack(64).frames.len(), 11);
}

/// Machine code, put together from pieces.
#[derive(Default)]
pub struct Code(pub Vec<u8>);

impl Code {
    pub fn raw(mut self, bytes: &[u8]) -> Code {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `mov register, value`; registers by their number.
    pub fn set(self, register: u8, value: u64) -> Code {
        self.raw(&[0x48 | register >> 3, 0xb8 + (register & 7)])
            .raw(&value.to_le_bytes())
    }

    /// `wrmsr`.
    pub fn write_msr(self, msr: u32, value: u64) -> Code {
        self.set(RCX, msr.into())
            .set(RAX, value & 0xffff_ffff)
            .set(RDX, value >> 32)
            .raw(&[0x0f, 0x30])
    }

    /// Fills `length` bytes at `address` with `byte`: `rep stosb`.
    pub fn fill(self, address: u64, length: u64, byte: u8) -> Code {
        self.set(RDI, address)
            .set(RCX, length)
            .set(RAX, byte.into())
            .raw(&[0xf3, 0xaa])
    }

    /// `xor eax, eax; ret`: a `DriverEntry` that has succeeded.
    pub fn succeed(self) -> Vec<u8> {
        self.raw(&[0x31, 0xc0, 0xc3]).0
    }
}

pub const RAX: u8 = 0;
pub const RCX: u8 = 1;
pub const RDX: u8 = 2;
pub const RBX: u8 = 3;
pub const RSP: u8 = 4;
pub const RSI: u8 = 6;
pub const RDI: u8 = 7;
pub const R10: u8 = 10;
