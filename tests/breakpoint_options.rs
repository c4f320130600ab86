//! When breakpoints count, and what their commands may do to breakpoints.

use poolhit::{Lab, Session, StopReason};

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

#[test]
fn breakpoints_count_passes_threads_and_depth() {
    let stops = |command: &str| {
        let mut session = session();
        session.execute(command).unwrap();
        let mut stops = 0;
        while let StopReason::Breakpoint { .. } = session.go().unwrap().reason {
            stops += 1;
        }
        stops
    };
    let all = stops("bp nt!NtDeviceIoControlFile");
    assert!(all > 5);
    assert_eq!(stops("bp nt!NtDeviceIoControlFile 4"), all - 3);
    assert_eq!(stops("bp /t 10 nt!NtDeviceIoControlFile"), 0);
    assert_eq!(stops("bp /p 10 nt!NtDeviceIoControlFile"), 0);
    assert_eq!(stops("bp /c 3 nt!NtDeviceIoControlFile"), 0);
    assert_eq!(stops("bp /C 3 nt!NtDeviceIoControlFile"), all);
    assert_eq!(stops("bp /w \"@rip == 0\" nt!NtDeviceIoControlFile"), 0);
    assert_eq!(stops("bp /w \"@rip != 0\" nt!NtDeviceIoControlFile"), all);
    let mut session = session();
    session
        .execute("bp /1 nt!NtDeviceIoControlFile; g; g")
        .unwrap();
    let last = session.last_stop().unwrap();
    assert_eq!(
        last.reason,
        StopReason::Idle {
            exit_status: Some(0)
        }
    );
    // the thread and process that run are the ones that count
    session = self::session();
    session.execute("g nt!NtDeviceIoControlFile").unwrap();
    let thread = session.current_thread().unwrap();
    let process = session.current_process().unwrap();
    session
        .execute(&format!(
            "bp /t {:x} /p {:x} nt!NtDeviceIoControlFile; g",
            thread.0, process.0
        ))
        .unwrap();
    let last = session.last_stop().unwrap();
    assert_eq!(last.reason, StopReason::Breakpoint { number: 0 });
}

#[test]
fn a_breakpoint_may_change_itself() {
    let mut session = session();
    // it takes itself away, and goes on; then it is set again by one that it has set
    let line = r#"bp nt!NtDeviceIoControlFile "bp nt!NtDeviceIoControlFile \"bc 0; gc\"; gc"; g"#;
    session.execute(line).unwrap();
    assert_eq!(session.breakpoints().iter().count(), 0);
    let last = session.last_stop().unwrap();
    assert_eq!(
        last.reason,
        StopReason::Idle {
            exit_status: Some(0)
        }
    );
}

#[test]
fn a_breakpoint_may_lead_to_a_place_with_commands_of_its_own() {
    let mut session = session();
    let line = r#"bp nt!NtDeviceIoControlFile "g nt!IofCompleteRequest; ? 1; .if_not_there"; g"#;
    let error = session.execute(line).unwrap_err().to_string();
    assert!(error.contains("_not_there"), "{error}");
    let place = session.resolve("nt!IofCompleteRequest").unwrap();
    assert_eq!(session.registers().rip(), place);
    // on a line of its own they are executed wherever the guest has stopped
    let mut session = self::session();
    let text = session
        .execute("bp nt!IofCompleteRequest \"bc *\"; g nt!NtDeviceIoControlFile; ? 2")
        .unwrap();
    assert!(text.ends_with("00000000`00000002\n"), "{text}");
    // somewhere else nothing is executed
    let mut session = self::session();
    let line = r#"bp nt!NtDeviceIoControlFile "g nt!NtDeviceIoControlFile+4; ? 3"; g"#;
    let text = session.execute(line).unwrap();
    assert_eq!(text.matches("00000000`00000003").count(), 1, "{text}");
    let line = r#"bc *; bp nt!NtDeviceIoControlFile "bp nt!NtClose; g nt!NtCreateFile; ? 4"; g"#;
    let text = session.execute(line).unwrap();
    assert!(text.contains("Breakpoint 1 hit\nnt!NtClose:\n"), "{text}");
    assert!(!text.contains("00000000`00000004"), "{text}");
}

/// "The commands are not executed if you are stepping through the code", and "the counter is decremented only if
/// the application executes past the breakpoint in response to a g command" ("bp, bu, bm (Set Breakpoint)").
#[test]
fn a_step_onto_a_breakpoint_neither_executes_nor_counts() {
    for step in ["t", "p"] {
        let mut session = session();
        session.execute("g nt!NtClose").unwrap();
        let next = session.registers().rip();
        let next = session.instruction(next).next_address();
        session
            .execute(&format!("bp {:x} 2 \"? 111; g\"", next.0))
            .unwrap();
        let text = session.execute(step).unwrap();
        assert!(!text.contains("= 00000000`00000111"), "{text}");
        assert_eq!(session.registers().rip(), next);
        let left = session.breakpoints().get(0).unwrap().passes_left;
        assert_eq!(left, 2);
        // that it stands there now is no pass either
        session.execute("bp nt!NtClose; g").unwrap();
        assert_eq!(session.breakpoints().get(0).unwrap().passes_left, 2);
    }
}
