//! Breakpoints: on code, on patched code, on break instructions, with commands; and that guest
//! memory does not show them.

use crate::schedule::{LEAK_PAGED, NO_TAG, Path, REQUESTS, hits};
use crate::{break_instruction, session, symbol};
use poolhit::address::Va;
use poolhit::memory::ReadMemory;
use poolhit::{Session, StopReason};

const DONE: StopReason = StopReason::Idle {
    exit_status: Some(0),
};

fn at(number: usize) -> StopReason {
    StopReason::Breakpoint { number }
}

fn go(session: &mut Session) -> (StopReason, Va) {
    let stop = session.go().unwrap();
    (stop.reason, stop.address)
}

fn hash(session: &Session) -> u128 {
    session.lab().machine().state_hash()
}

#[test]
fn a_break_instruction_is_reported_where_it_is_and_passed() {
    let mut session = session(LEAK_PAGED);
    let big = break_instruction(Path::BigPool);
    let behind = big.wrapping_add(1);
    session.set_breakpoint(behind, "").unwrap();
    for _ in 0..2 {
        assert_eq!(go(&mut session), (StopReason::BreakInstruction, big));
        assert_eq!(session.registers().rip(), big);
        assert_eq!(session.lab().machine().read_u8(big), Ok(0xcc));
        assert_eq!(go(&mut session), (at(0), behind));
    }
    let free = break_instruction(Path::FreeBig);
    assert_eq!(go(&mut session), (StopReason::BreakInstruction, free));
}

#[test]
fn guest_memory_does_not_show_them() {
    let mut watched = session(NO_TAG);
    let before = hash(&watched);
    let places = [
        symbol(&watched, "nt!NtDeviceIoControlFile"),
        symbol(&watched, "ntdll!ZwDeviceIoControlFile"),
        symbol(&watched, "nt!KiSystemServiceCopyEnd").wrapping_add(0x13),
        break_instruction(Path::FreeBig),
    ];
    let bytes = |session: &Session| {
        places.map(|place| {
            let mut bytes = [0; 16];
            session.lab().machine().read(place, &mut bytes).unwrap();
            bytes
        })
    };
    let code = bytes(&watched);
    for place in places {
        watched.set_breakpoint(place, "").unwrap();
    }
    assert_eq!(bytes(&watched), code);
    assert_eq!(hash(&watched), before);

    let mut passed = 0;
    while go(&mut watched).0 != DONE {
        passed += 1;
        assert_eq!(bytes(&watched), code);
    }
    // Behind the system calls there are two more: to open the device and to close it.
    assert_eq!(passed, 3 * REQUESTS + 2);
    let mut alone = session(NO_TAG);
    assert_eq!(go(&mut alone).0, DONE);
    assert_eq!(hash(&watched), hash(&alone));
}

#[test]
fn on_a_patched_instruction() {
    let mut session = session(LEAK_PAGED);
    let big = break_instruction(Path::BigPool);
    let free = break_instruction(Path::FreeBig);
    for place in [big, free] {
        session.write(place, &[0x90]).unwrap();
        session.set_breakpoint(place, "").unwrap();
    }
    for operation in hits(LEAK_PAGED) {
        let expected = match operation.path {
            Path::FreeBig => (at(1), free),
            _ => (at(0), big),
        };
        assert_eq!(go(&mut session), expected);
    }
    assert_eq!(go(&mut session).0, DONE);
}

/// It stops in front of the instruction; going on executes that, and it reports itself.
#[test]
fn on_a_break_instruction() {
    let mut session = session(LEAK_PAGED);
    let big = break_instruction(Path::BigPool);
    session.set_breakpoint(big, "").unwrap();
    for _ in 0..2 {
        let breakpoint = session.go().unwrap();
        assert_eq!((breakpoint.reason, breakpoint.address), (at(0), big));
        let instruction = session.go().unwrap();
        assert_eq!(
            (instruction.reason, instruction.address),
            (StopReason::BreakInstruction, big)
        );
        assert_eq!(instruction.work, breakpoint.work);
    }
}

/// A debugger's break-in is an interrupt to the guest, and the handler's first instruction is code
/// like any other.
#[test]
fn on_the_interrupt_that_breaks_in() {
    let mut session = session(NO_TAG);
    let handler = symbol(&session, "nt!KiClockInterrupt");
    session.set_breakpoint(handler, "").unwrap();
    session.break_in_after(100_000);
    assert_eq!(go(&mut session), (at(0), handler));
    let break_in = symbol(&session, "nt!RtlpBreakWithStatusInstruction");
    assert_eq!(go(&mut session), (StopReason::BreakIn, break_in));
    // And so is the clock's next tick.
    assert_eq!(go(&mut session), (at(0), handler));
    session.clear_breakpoint(0).unwrap();
    assert_eq!(go(&mut session).0, DONE);
}

// ---- their commands ------------------------------------------------------------------------

/// A session whose break instructions are patched away, and what `g` prints in it.
fn printed(breakpoint: &str) -> (Session, String) {
    let mut session = session(LEAK_PAGED);
    for line in [
        "eb nt+298f6 90",
        "eb nt!ExFreePoolWithTag+27 90",
        breakpoint,
    ] {
        assert_eq!(session.execute(line).unwrap(), "", "{line}");
    }
    let text = session.execute("g").unwrap();
    (session, text)
}

const IDLE: &str = "\
The guest is idle: the program has ended with status 0x0, and nothing is left to run.
nt!KiIdleLoop+0x20:
fffff800`014d0090 ebfc            jmp     nt!KiIdleLoop+0x1e (fffff800`014d008e)
";

fn allocations() -> usize {
    hits(LEAK_PAGED)
        .filter(|operation| !operation.path.is_free())
        .count()
}

#[test]
fn commands_that_go_on_run_each_time() {
    let (_, text) = printed("bp nt+298f6 \"? 7; g; ? 8\"");
    let once = "\
Evaluate expression: 7 = 00000000`00000007
Some commands were skipped because previous commands caused target execution inside an event handler.
";
    assert_eq!(text, once.repeat(allocations()) + IDLE);
}

#[test]
fn every_stack_is_listed() {
    let (_, text) = printed("bp nt+298f6 \"k;g\"");
    let listing = text.split_inclusive("NotMyfault+0x2384\n").next().unwrap();
    insta::assert_snapshot!(listing, @r"
    Child-SP          RetAddr           Call Site
    fffff880`04ec1680 fffff800`0161090e nt! ?? ::FNODOBFM::`string'+0x24a2a
    fffff880`04ec1770 fffff880`0496e634 nt!ExAllocatePoolWithTag+0x82e
    fffff880`04ec1860 fffff880`0496e727 myfault+0x1634
    fffff880`04ec19b0 fffff800`017fca97 myfault+0x1727
    fffff880`04ec1a10 fffff800`017fd2f6 nt!IopXxxControlFile+0x607
    fffff880`04ec1b40 fffff800`014e0ed3 nt!NtDeviceIoControlFile+0x56
    fffff880`04ec1bb0 00000000`7756138a nt!KiSystemServiceCopyEnd+0x13
    00000000`000df4c8 000007fe`fd5fa249 ntdll!ZwDeviceIoControlFile+0xa
    00000000`000df4d0 00000000`7740683f KERNELBASE!DeviceIoControl+0x75
    00000000`000df540 00000000`ff222384 kernel32!DeviceIoControlImplementation+0x7f
    00000000`000df590 00000000`00000000 NotMyfault+0x2384
    ");
    // Leaks of paged pool differ in nothing but their size.
    assert_eq!(text, listing.repeat(allocations()) + IDLE);
}

#[test]
fn commands_that_do_not_go_on_show_the_place() {
    let (mut session, text) = printed("bp nt+298f6 \"dc nt!PoolHitTag l1\"");
    insta::assert_snapshot!(text, @r"
    fffff800`016530fc  3261654c                             Lea2
    nt! ?? ::FNODOBFM::`string'+0x24a2a:
    fffff800`014798f6 90              nop
    ");
    let big = break_instruction(Path::BigPool);
    assert_eq!(session.registers().rip(), big);
    assert_eq!(go(&mut session), (at(0), big));
}

#[test]
fn without_commands_it_is_announced() {
    let (_, text) = printed("bp nt+298f6");
    insta::assert_snapshot!(text, @r"
    Breakpoint 0 hit
    nt! ?? ::FNODOBFM::`string'+0x24a2a:
    fffff800`014798f6 90              nop
    ");
}

#[test]
fn commands_may_clear_their_own_breakpoint() {
    let (session, text) = printed("bp nt+298f6 \"? 7; bc 0; g\"");
    assert_eq!(
        text,
        format!("Evaluate expression: 7 = 00000000`00000007\n{IDLE}")
    );
    assert_eq!(session.breakpoints().iter().count(), 0);
}

#[test]
fn commands_that_fail_stop_the_guest() {
    let mut session = session(NO_TAG);
    session
        .execute("bp nt!NtDeviceIoControlFile \"? nosuch!thing; g\"")
        .unwrap();
    session.execute("g").unwrap_err();
    let request = symbol(&session, "nt!NtDeviceIoControlFile");
    assert_eq!(session.registers().rip(), request);
    assert_eq!(go(&mut session), (at(0), request));
}

#[test]
fn they_are_listed_redefined_and_cleared() {
    let mut session = session(NO_TAG);
    let mut text = String::new();
    for line in [
        "bp nt!NtDeviceIoControlFile \"k;g\"",
        "bp ntdll!ZwDeviceIoControlFile+a",
        "bp myfault+1634 \"? 1\"",
        "bl",
        "bp nt!NtDeviceIoControlFile",
        "bc 1 7",
        "bl",
        "bp nt!IopXxxControlFile",
        "bl",
        "bc 0-1,2",
        "bl",
    ] {
        text += &format!("> {line}\n{}", session.execute(line).unwrap());
    }
    insta::assert_snapshot!(text, @r#"
    > bp nt!NtDeviceIoControlFile "k;g"
    > bp ntdll!ZwDeviceIoControlFile+a
    > bp myfault+1634 "? 1"
    > bl
     0 e fffff800`017fd2a0     0001 (0001) nt!NtDeviceIoControlFile "k;g"
     1 e 00000000`7756138a     0001 (0001) ntdll!ZwDeviceIoControlFile+0xa
     2 e fffff880`0496e634     0001 (0001) myfault+0x1634 "? 1"
    > bp nt!NtDeviceIoControlFile
    breakpoint 0 redefined
    > bc 1 7
    breakpoint 7 does not exist
    > bl
     0 e fffff800`017fd2a0     0001 (0001) nt!NtDeviceIoControlFile
     2 e fffff880`0496e634     0001 (0001) myfault+0x1634 "? 1"
    > bp nt!IopXxxControlFile
    > bl
     0 e fffff800`017fd2a0     0001 (0001) nt!NtDeviceIoControlFile
     1 e fffff800`017fc490     0001 (0001) nt!IopXxxControlFile
     2 e fffff880`0496e634     0001 (0001) myfault+0x1634 "? 1"
    > bc 0-1,2
    > bl
    "#);
    assert_eq!(go(&mut session).0, DONE);
}
