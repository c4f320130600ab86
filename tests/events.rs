//! Exceptions and modules as events: what `sx` sets.

use poolhit::address::Rva;
use poolhit::debugger::{StepEnd, Steps};
use poolhit::guest::Request;
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

#[test]
fn a_state_that_comes_back_is_at_no_exception() {
    let mut session = faulting();
    let saved = session.save().unwrap();
    let place = session.registers().rip();
    session.execute("sxe av; g").unwrap();
    assert_ne!(session.registers().rip(), place);
    session.restore(&saved).unwrap();
    assert_eq!(session.registers().rip(), place);
    assert!(!session.handle_exception().unwrap());
    session.execute("r rax=1").unwrap();
}

/// A session whose program makes requests, and the driver's device.
fn requesting() -> (Session, poolhit::guest::FileHandle) {
    let mut session = Session::new(Lab::builder().requester().build().unwrap());
    let device = session
        .with_driver(|lab| lab.open_device(r"\\.\Myfault"))
        .unwrap();
    (session, device)
}

const SIZE: [u8; 4] = 64_u32.to_le_bytes();

/// Where the driver's routine for control codes begins.
fn device_control(session: &Session) -> poolhit::address::Va {
    let lab = session.lab();
    let driver = lab.find_object(r"\Driver\myfault").unwrap();
    lab.driver_object(driver).unwrap().major_functions[14]
}

#[test]
fn requests_come_by_exceptions_too() {
    let request = |filter: &str| {
        let (mut session, device) = requesting();
        let place = device_control(&session);
        session
            .write(place, &[0x8b, 4, 0x25, 0x10, 0, 0, 0])
            .unwrap();
        session.execute(filter).unwrap();
        let answer = session.request(&Request::ioctl(device, 0x222004, &SIZE, 0));
        (session, answer.is_ok())
    };
    let (session, answered) = request("sxe av");
    assert!(
        !answered && is_first_chance(&session),
        "{:?}",
        reason(&session)
    );
    let place = device_control(&session);
    assert_eq!(session.last_stop().unwrap().address, place);
    assert_eq!(session.registers().rip(), place);
    // others, and those that are only told of, are passed
    for filter in ["sxr", "sxn av", "sxe dz", "sxi av"] {
        let (session, _) = request(filter);
        assert!(
            matches!(reason(&session), StopReason::BugCheck(_)),
            "{filter}"
        );
        assert_eq!(session.lab().machine().breakpoints().count(), 0);
    }
    // what is taken for handled goes on where it came, and comes again, until the code is mended
    let (mut session, _) = request("sxe av");
    let plain = requesting().0;
    let mut code = [0; 7];
    plain.lab().machine().read(place, &mut code).unwrap();
    session.write(place, &code).unwrap();
    assert!(session.handle_exception().unwrap());
    assert!(session.resume_request().unwrap().is_success());
    let (mut session, _) = request("sxe av; sxe -h av");
    session.write(place, &code).unwrap();
    assert!(session.resume_request().unwrap().is_success());
}

#[test]
fn hits_of_requests_are_passed_if_nobody_wants_them() {
    for (filter, stops) in [
        ("sxr", true),
        ("sxe bpe", true),
        ("sxn bpe", false),
        ("sxi bpe", false),
    ] {
        let (mut session, device) = requesting();
        session.execute("ed nt!PoolHitTag 6b61654c").unwrap();
        session.execute(filter).unwrap();
        let answer = session.request(&Request::ioctl(device, 0x222004, &SIZE, 0));
        assert_eq!(answer.is_err(), stops, "{filter}");
        if stops {
            assert_eq!(*reason(&session), StopReason::BreakInstruction);
            assert!(session.resume_request().unwrap().is_success());
        }
    }
}

#[test]
fn modules_that_come_are_seen() {
    let load = |filter: &str| {
        let mut session = Session::new(Lab::builder().requester().build().unwrap());
        session.with_driver(|lab| lab.unload_driver()).unwrap();
        session.execute(filter).unwrap();
        let loaded = session.with_driver(|lab| lab.load_driver());
        (session, loaded.is_ok())
    };
    for filter in ["sxe ld", "sxe ld:myfault", "sxe ld:MY*.sys"] {
        let (mut session, loaded) = load(filter);
        assert!(!loaded, "{filter}");
        let StopReason::ModuleLoad(module) = reason(&session).clone() else {
            panic!("{filter}: {:?}", reason(&session));
        };
        assert_eq!(module.name, "myfault.sys");
        assert_eq!(Some(module.base), session.resolve("myfault"));
        // it is there, and has not begun
        let entry = session
            .execute("bp myfault+1000; bc *; lm1m m myfault")
            .unwrap();
        assert_eq!(entry, "myfault\n");
        let answer = session.with_driver(|lab| Ok(lab.resume_kernel()?)).unwrap();
        assert_eq!(answer as u32, 0);
        assert!(session.lab().find_object(r"\Device\Myfault").is_ok());
    }
    for filter in ["sxr", "sxe ld:other", "sxn ld", "sxi ld:myfault", "sxe ud"] {
        let (session, loaded) = load(filter);
        assert!(loaded, "{filter}");
        assert_eq!(session.lab().machine().breakpoints().count(), 0);
    }
    let mut session = Session::new(Lab::builder().requester().build().unwrap());
    session.execute("sxe ud:myfault").unwrap();
    session.with_driver(|lab| lab.unload_driver()).unwrap_err();
    assert!(matches!(reason(&session), StopReason::ModuleUnload(_)));
    session.with_driver(|lab| Ok(lab.resume_kernel()?)).unwrap();
    assert!(session.resolve("myfault").is_none());
}
