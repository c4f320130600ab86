//! Variables of code that runs: what a parameter was when its function was called, it is as long as it is anywhere.

use poolhit::debugger::StackFrame;
use poolhit::debugger::locals::{FrameVariable, VariableLocation};
use poolhit::guest::{ImageFile, Request, RequestStop};
use poolhit::memory::ReadMemory;
use poolhit::registers::Gpr;
use poolhit::report::variables::value_text;
use poolhit::{Lab, Session};
use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};

/// The driver in front of the first instruction of one of its functions, in a request.
fn stopped_at(function: &str) -> Session {
    let driver = ImageFile::parse(LEAKY.name, LEAKY.bytes, Some(LEAKY_PDB.bytes)).unwrap();
    let place = driver.symbols.by_name(function).unwrap().rva;
    let mut lab = Lab::builder().driver(driver).requester().build().unwrap();
    let device = lab.open_device(r"\\.\Leaky").unwrap();
    let place = lab.bases().driver + place;
    lab.machine_mut().set_breakpoint(place).unwrap();
    let request = Request::ioctl(device, 0x222044, &[7, 0, 0, 0], 0);
    let stopped = lab.request(&request).unwrap_err();
    assert_eq!(stopped.stopped().unwrap().reason, RequestStop::Breakpoint);
    lab.machine_mut().clear_breakpoint(place).unwrap();
    Session::new(lab)
}

/// A variable's bits, up to 64 of them.
fn bits(session: &Session, variable: &FrameVariable<'_>) -> Option<(u64, bool)> {
    let size = variable.ty.size().unwrap() as usize;
    match variable.location? {
        VariableLocation::Register { value, .. } => Some((value, false)),
        VariableLocation::Memory { address, .. } => {
            let mut bytes = [0; 8];
            let machine = session.lab().machine();
            machine.read(address, &mut bytes[..size]).unwrap();
            Some((u64::from_le_bytes(bytes), true))
        }
    }
}

fn named<'s>(session: &'s Session, frame: &StackFrame, name: &str) -> FrameVariable<'s> {
    let mut all = session.frame_variables(frame).unwrap();
    let at = all.iter().position(|one| one.name == name).unwrap();
    all.swap_remove(at)
}

/// Where a parameter was found on the way through a function and all that it calls.
#[derive(Debug, Default)]
struct Seen {
    in_registers: usize,
    in_memory: usize,
    in_callers: usize,
}

/// Goes through the function that the guest is at the start of, step by step, and looks at a parameter of it that it
/// does not change.
fn follow(session: &mut Session, name: &str, register: Gpr) -> Seen {
    let registers = session.registers();
    let frame = session.stack_frames(&registers, 1).remove(0);
    let size = named(session, &frame, name).ty.size().unwrap();
    let expected = registers.get(register) & (u64::MAX >> (64 - 8 * size));
    let (function, return_address) = (frame.site.symbol.clone(), frame.site.return_address);
    let returns_at = registers.rsp();
    let mut seen = Seen::default();
    for _ in 0..4000 {
        let registers = session.registers();
        if registers.rip() == return_address && registers.rsp() > returns_at {
            return seen;
        }
        let frames = session.stack_frames(&registers, 16);
        let own = |one: &&StackFrame| {
            one.site.symbol == function && one.site.return_address == return_address
        };
        let frame = frames.iter().find(own).expect("its frame");
        if let Some((value, in_memory)) = bits(session, &named(session, frame, name)) {
            assert_eq!(value, expected, "at {}", frame.site);
            seen.in_memory += usize::from(in_memory);
            seen.in_registers += usize::from(!in_memory);
            seen.in_callers += usize::from(frame != &frames[0]);
        }
        session.execute("t").unwrap();
    }
    panic!("the function does not return");
}

/// The tag that the driver asks for: it is spilled into the frame behind the prologue.
#[test]
fn the_allocators_tag_is_the_drivers() {
    let mut session = stopped_at("CopyInput");
    session
        .execute("bp nt!ExpAllocateSmallPool; g; bc *")
        .unwrap();
    let frame = session.chosen_frame().unwrap();
    let tag = named(&session, &frame, "Tag");
    let lky1 = u32::from_le_bytes(*b"Lky1");
    assert_eq!(value_text(&session, &tag), format!("{lky1:#x}"));
    let pool = named(&session, &frame, "PoolType");
    assert_eq!(value_text(&session, &pool), "NonPagedPool (0n0)");
    let seen = follow(&mut session, "Tag", Gpr::R8);
    assert!(
        seen.in_registers > 3 && seen.in_memory > 50 && seen.in_callers > 5,
        "{seen:?}"
    );
}

/// A parameter that the driver keeps in a register of its caller's, which unwinding gets back.
#[test]
fn a_request_is_the_same_through_all_calls() {
    let mut session = stopped_at("LeakyDeviceControl");
    let seen = follow(&mut session, "Irp", Gpr::Rdx);
    assert!(seen.in_registers > 100 && seen.in_callers > 100, "{seen:?}");
}

#[test]
fn chosen_frames_and_contexts() {
    let mut session = stopped_at("LeakyDeviceControl");
    let irp = session.registers().get(Gpr::Rdx);
    session.execute("bp leaky!CopyInput; g; bc *").unwrap();
    let frames = session.stack_frames(&session.registers(), 3);
    let in_frame = named(&session, &frames[2], "Irp");
    assert_eq!(bits(&session, &in_frame), Some((irp, false)));
    // Looked at from there, what is in volatile registers is as little known.
    session.execute(".frame /c 1").unwrap();
    let frame = session.chosen_frame().unwrap();
    assert_eq!(frame.site.symbol.as_deref(), Some("Parse"));
    assert_eq!(named(&session, &frame, "Input").location, None);
    session.execute(".cxr; .frame 0").unwrap();
    let frame = session.chosen_frame().unwrap();
    assert!(named(&session, &frame, "Input").location.is_some());
    // The assembly between has no private symbols.
    let frames = session.stack_frames(&session.registers(), 4);
    assert!(session.frame_variables(&frames[3]).is_none());
}

/// A variable in memory has an address in expressions; a symbol of the name comes after it.
#[test]
fn names_in_expressions() {
    let mut session = stopped_at("CopyInput");
    session
        .execute("bp nt!ExpAllocateSmallPool; g; bc *")
        .unwrap();
    assert!(session.execute("? Tag").is_err(), "it is in a register");
    while !session.execute("dv /v Tag").unwrap().contains('`') {
        session.execute("t").unwrap();
    }
    let frame = session.chosen_frame().unwrap();
    let tag = named(&session, &frame, "Tag");
    let Some(VariableLocation::Memory {
        address,
        base,
        offset,
    }) = tag.location
    else {
        panic!("{tag:?}");
    };
    assert_eq!(base, Gpr::Rsp);
    let stack = session.registers().rsp();
    assert_eq!(address, stack.wrapping_add_signed_for_test(offset));
    let found = session.execute("dd tag l1").unwrap();
    assert_eq!(found.trim_end(), format!("{address}  31796b4c"));
    let listed = session.execute("dt Tag").unwrap();
    let expected = format!(
        "Local var @ {:#x} Type unsigned long\n0x31796b4c\n",
        address.0
    );
    assert_eq!(listed, expected);
    // "even if the local variable is a case-insensitive match" ("dt (Display Type)")
    assert_eq!(session.execute("dt tag").unwrap(), expected);
    // one in a register has no address, and hides a symbol of the kernel's
    session.execute("r rip=nt!CmpCallBefore").unwrap();
    assert!(session.execute("? nt!Information").is_ok());
    assert!(session.execute("? Information").is_err());
    assert!(session.execute("? leaky!Tag").is_err());
    session.execute("bp nt!NtClose; g").unwrap();
    assert!(session.execute("? Tag").is_err());
}

trait Signed {
    fn wrapping_add_signed_for_test(self, offset: i32) -> Self;
}

impl Signed for poolhit::address::Va {
    fn wrapping_add_signed_for_test(self, offset: i32) -> Self {
        poolhit::address::Va(self.0.wrapping_add_signed(offset.into()))
    }
}
