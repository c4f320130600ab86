//! Exceptions and modules as events: what `sx` sets.

use poolhit::address::Rva;
use poolhit::debugger::{StepEnd, Steps};
use poolhit::memory::ReadMemory;
use poolhit::{Lab, Session, StopReason};

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

/// A session whose driver reads address 10h with the first request.
fn faulting() -> Session {
    let mut session = session();
    session
        .execute("eb myfault+1634 8b 04 25 10 00 00 00")
        .unwrap();
    session
}

fn reason(session: &Session) -> &StopReason {
    &session.last_stop().unwrap().reason
}

const IDLE: StopReason = StopReason::Idle {
    exit_status: Some(0),
};

fn is_first_chance(session: &Session) -> bool {
    let exception = reason(session);
    matches!(
        exception,
        StopReason::Exception {
            first_chance: true,
            ..
        }
    )
}

#[test]
fn hits_are_exceptions_too() {
    let hits = |filter: &str| {
        let mut session = session();
        session.execute("ed nt!PoolHitTag 3261654c").unwrap();
        session.execute(filter).unwrap();
        let text = session.execute("g").unwrap();
        (text, reason(&session).clone())
    };
    let (stopped, why) = hits("sxr");
    assert!(stopped.starts_with("Break instruction exception"));
    assert_eq!(why, StopReason::BreakInstruction);
    let (silent, why) = hits("sxi bpe");
    assert_eq!(why, IDLE);
    assert!(silent.starts_with("The guest is idle"), "{silent}");
    let message = "Break instruction exception - code 80000003 (first chance)\n";
    let (told, why) = hits("sxn bpe");
    assert_eq!(why, IDLE);
    let count = told.matches(message).count();
    assert!(count > 5, "{told}");
    let (listed, why) = hits("sxi -c \"? 7\" bpe");
    assert_eq!((why, listed.matches(" 7 = ").count()), (IDLE, count));
    let (gone_on, why) = hits("sxe -c \"? 7; g\" bpe");
    assert_eq!((why, gone_on.matches(" 7 = ").count()), (IDLE, count));
    assert_eq!(gone_on.matches(message).count(), count);
}

#[test]
fn what_is_passed_changes_nothing() {
    let hash = |filter: &str| {
        let mut session = faulting();
        session.execute(filter).unwrap();
        session.execute("g").unwrap();
        (
            reason(&session).clone(),
            session.lab().machine().state_hash(),
        )
    };
    let plain = hash("sxr");
    assert!(matches!(plain.0, StopReason::BugCheck(_)));
    for filter in ["sxn av", "sxi av", "sxi -c \"? 1\" *", "sxe dz", "sxd av"] {
        assert_eq!(hash(filter), plain, "{filter}");
    }
}

#[test]
fn a_first_chance_is_seen_from_the_api_and_by_steps() {
    let mut session = faulting();
    session.execute("sxe av").unwrap();
    let stop = session.go().unwrap();
    assert!(is_first_chance(&session));
    assert_eq!(
        Some(stop.address),
        session.resolve("myfault").map(|at| at + Rva(0x1634))
    );
    assert_eq!(session.registers().rip(), stop.address);
    let record = session.last_exception().unwrap();
    assert_eq!(
        (record.code, record.parameters),
        (0xc0000005, vec![0, 0x10])
    );
    // nobody writes registers there
    assert!(session.execute("r rax=1").is_err());

    let mut stepped = faulting();
    stepped.execute("sxe av; bp myfault+1634; g").unwrap();
    stepped.step(&Steps::into_calls()).unwrap();
    assert!(is_first_chance(&stepped), "{:?}", reason(&stepped));
    let mut over = faulting();
    over.execute("sxn av; g nt!NtDeviceIoControlFile; g nt!IopXxxControlFile")
        .unwrap();
    let end = Steps {
        over: true,
        end: StepEnd::Return,
        count: 1,
    };
    let stop = over.step(&end).unwrap();
    assert_ne!(stop.reason, StopReason::Step);
}

#[test]
fn an_exception_taken_for_handled_goes_on_where_it_came() {
    let plain = session();
    let place = plain.resolve("myfault").unwrap() + Rva(0x1634);
    let mut code = [0; 7];
    plain.lab().machine().read(place, &mut code).unwrap();
    let mended: Vec<String> = code.iter().map(|byte| format!("{byte:02x}")).collect();
    let mend = format!("eb myfault+1634 {}", mended.join(" "));
    let mut session = faulting();
    session.execute("sxe av; g").unwrap();
    // the instruction is mended, and executed again
    session.execute(&format!("{mend}; gh")).unwrap();
    assert_eq!(*reason(&session), IDLE);
    let mut session = faulting();
    session
        .execute(&format!("sxi -c \"{mend}\" av; sxe -h av; g"))
        .unwrap();
    assert_eq!(*reason(&session), IDLE);
}

#[test]
fn a_module_s_end_is_seen_in_front_of_it() {
    let mut session = session();
    let unload = session.resolve("nt!MmUnloadSystemImage").unwrap();
    let mut at = session.resolve("nt!IopDriverIsGone").unwrap();
    let call = loop {
        let instruction = session.instruction(at);
        let text = instruction.to_string();
        if instruction.mnemonic() == "call" && text.contains("MmUnloadSystemImage")
            || instruction.mnemonic() == "jmp" && text.contains("MmUnloadSystemImage")
        {
            break at;
        }
        at = instruction.next_address();
    };
    let last = "poi(nt!PsLoadedModuleList+8)";
    session.execute("sxe ud:other").unwrap();
    session
        .execute(&format!("r rcx={last}, rip={:x}", call.0))
        .unwrap();
    session.execute(&format!("g {:x}", unload.0)).unwrap();
    assert_eq!(*reason(&session), StopReason::Step);
    session.execute("sxe ud:my*").unwrap();
    session
        .execute(&format!("r rcx={last}, rip={:x}", call.0))
        .unwrap();
    let text = session.execute("g").unwrap();
    let StopReason::ModuleUnload(module) = reason(&session).clone() else {
        panic!("{text}");
    };
    assert_eq!(module.name, "myfault.sys");
    assert_eq!(Some(module.base), session.resolve("myfault"));
    assert!(text.starts_with("Unload module myfault.sys at "), "{text}");
}
