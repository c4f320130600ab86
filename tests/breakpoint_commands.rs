//! What becomes of a breakpoint's commands behind those that let the guest go on.

use poolhit::{Lab, Session, StopReason};

/// The debugger's words, as logs quote them.
const SKIPPED: &str = "Some commands were skipped because previous commands caused target execution inside an \
                       event handler.\n";

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

/// How often `? 222` was executed.
fn twos(text: &str) -> usize {
    text.matches("= 00000000`00000222").count()
}

/// "Any command that resumes program execution after a breakpoint (such as g or t) ends the execution of the
/// command list" ("bs (Update Breakpoint Command)").
#[test]
fn whatever_goes_on_freely_ends_the_commands() {
    for motion in ["g", "gc", "gh", "gn"] {
        let mut session = session();
        let commands = format!("bp /1 nt!NtClose \"? 111; {motion}; ? 222\"; g");
        let text = session.execute(&commands).unwrap();
        assert_eq!(text.matches("= 00000000`00000111").count(), 1, "{text}");
        assert_eq!(twos(&text), 0, "{motion}: {text}");
        assert_eq!(text.matches(SKIPPED).count(), 1, "{motion}: {text}");
        // nothing but comments is nothing
        let mut session = self::session();
        let commands = format!("bp /1 nt!NtClose \"{motion} ; ; $$ goes on\"; g");
        let text = session.execute(&commands).unwrap();
        assert!(!text.contains(SKIPPED), "{motion}: {text}");
    }
}

/// `bp nt!RtlAllocateHeap "…; gu; .printf …; gc"` and the like, with logs of what is behind the `gu`.
#[test]
fn what_is_behind_a_motion_that_ends_is_executed_there() {
    let motions = [
        "gu", "t", "p", "t 2", "p 2", "tc", "pc", "tt", "pt", "tct", "pct", "th", "ph", "tb",
        "ta @$ra", "pa @$ra", "g @$ra",
    ];
    for motion in motions {
        let mut session = session();
        // the same by hand
        session.execute("g nt!NtClose").unwrap();
        session.execute(motion).unwrap();
        let place = session.registers().rip();
        let mut session = self::session();
        let commands = format!("bp /1 nt!NtClose \"? 111; {motion}; r $t0 = @rip; ? 222\"; g");
        let text = session.execute(&commands).unwrap();
        assert_eq!(twos(&text), 1, "{motion}: {text}");
        assert!(!text.contains(SKIPPED), "{motion}: {text}");
        assert_eq!(session.value_of("$t0"), Some(place.0), "{motion}");
        assert_eq!(session.registers().rip(), place, "{motion}");
    }
}

#[test]
fn commands_behind_blocks_and_commands_of_steps_are_in_order() {
    for commands in [
        ".if (1) { gu; ? 1; ? 2 }; ? 3",
        "t \\\"? 1\\\"; ? 2; ? 3",
        ".block { .if (1) { g @$ra; ? 1 }; t; ? 2 }; p; ? 3",
        "gu; ? 1; gu; ? 2; gu; ? 3",
    ] {
        let mut session = session();
        let line = format!("bp /1 nt!NtClose \"{commands}\"; g");
        let text = session.execute(&line).unwrap();
        let values: Vec<&str> = text.lines().filter(|one| one.starts_with("Eval")).collect();
        let expected =
            [1, 2, 3].map(|one| format!("Evaluate expression: {one} = 00000000`0000000{one}"));
        assert_eq!(values, expected, "{commands}: {text}");
    }
}

/// `gc` behind `gu` goes on as the guest did before the breakpoint, each time.
#[test]
fn gc_goes_on_as_before_the_breakpoint() {
    let set = "bp nt!NtDeviceIoControlFile \"r $t1 = @$t1 + 1; gu; r $t2 = @$t2 + 1; gc\"";
    let mut session = session();
    let text = session.execute(&format!("{set}; g")).unwrap();
    assert!(
        matches!(session.last_stop().unwrap().reason, StopReason::Idle { .. }),
        "{text}"
    );
    let count = session.value_of("$t1").unwrap();
    assert!(count > 1, "{count}");
    assert_eq!(session.value_of("$t2"), Some(count));
    // to an address, and over a call
    let mut session = self::session();
    session
        .execute(&format!("{set}; g nt!IofCompleteRequest"))
        .unwrap();
    let place = session.resolve("nt!IofCompleteRequest").unwrap();
    assert_eq!(session.registers().rip(), place);
    let mut session = self::session();
    session.execute("g nt!NtDeviceIoControlFile; pc").unwrap();
    let call = session.registers().rip();
    session
        .execute("bp nt!IofCompleteRequest \"gu; r $t3 = @$t3 + 1; gc\"; p")
        .unwrap();
    let behind = session.instruction(call).next_address();
    assert_eq!(session.registers().rip(), behind);
    assert_eq!(session.value_of("$t3"), Some(1));
}

/// A breakpoint on the way whose commands wait, too: each has its own continuation.
#[test]
fn breakpoints_wait_inside_each_other() {
    let mut session = session();
    let line = "bp nt!NtDeviceIoControlFile \"r $t1 = @$t1 + 1; gu; r $t2 = @$t2 + 1; gc\"; \
                bp nt!IofCompleteRequest \"r $t3 = @$t3 + (@$t1 - @$t2); gu; r $t4 = @$t4 + 1; gc\"; g";
    let text = session.execute(line).unwrap();
    assert!(!text.contains(SKIPPED), "{text}");
    let value = |name: &str| session.value_of(name).unwrap();
    assert!(value("$t1") > 0);
    assert_eq!(value("$t1"), value("$t2"));
    assert!(value("$t3") > 0, "inside the other");
    assert!(value("$t4") >= value("$t3"));
}

#[test]
fn what_does_not_come_to_its_end_is_told() {
    for (first, second) in [
        // a breakpoint stops, or goes on freely
        ("gu; ? 222; gc", "bp /1 nt!IopXxxControlFile"),
        ("gu; ? 222; gc", "bp /1 nt!IopXxxControlFile \"bc *; g\""),
        // and the lines of a block around it
        (".if (1) { gu; ? 222 }; ? 222", "bp /1 nt!IopXxxControlFile"),
    ] {
        let mut session = session();
        let line = format!("bp /1 nt!NtDeviceIoControlFile \"{first}\"; {second}; g");
        let text = session.execute(&line).unwrap();
        assert_eq!(twos(&text), 0, "{first}, {second}: {text}");
        assert_eq!(
            text.matches(SKIPPED).count(),
            1,
            "{first}, {second}: {text}"
        );
    }
}

/// A function that calls itself until its stack is used up keeps a limited number waiting.
#[test]
fn waiting_has_a_limit() {
    let mut session = session();
    let line = "eb nt!NtClose e8 fb ff ff ff; bp nt!NtClose \"r $t0 = @$t0 + 1; gu; ? 222; gc\"; g";
    let mut text = String::new();
    let _ = session.execute_to(line, &mut text);
    let depth = session.value_of("$t0").unwrap() as usize;
    assert!(depth > 1000, "{depth}");
    assert_eq!(twos(&text), 0, "{text}");
    let told = text.matches(SKIPPED).count();
    assert_eq!(told, depth.div_ceil(65), "of {depth}");
}

/// The other lines of a script are lines behind a motion, too: comments end with them, and so do errors.
#[test]
fn lines_of_a_script_wait_as_lines() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("lines.txt");
    let lines = "gu\n* a comment; of one line\n? 222\nnonsense\n$$ another\n? 222; * and one\n? 222\ngc\n? 111\n";
    std::fs::write(&script, lines).unwrap();
    for way in ["$<", "$$<"] {
        let mut session = session();
        let commands = format!("bp /1 nt!NtClose \"{way}{}\"; g", script.display());
        let text = session.execute(&commands).unwrap();
        assert_eq!(twos(&text), 3, "{way}: {text}");
        assert_eq!(
            text.matches("Syntax error in 'nonsense'").count(),
            1,
            "{text}"
        );
        assert_eq!(text.matches("kd> ? 222").count(), 3, "{text}");
        assert!(!text.contains("= 00000000`00000111"), "{text}");
        assert_eq!(text.matches(SKIPPED).count(), 1, "{text}");
    }
}

/// A breakpoint where a motion ends does not keep the commands that wait from being executed.
#[test]
fn breakpoints_where_a_motion_ends() {
    let mut session = session();
    session
        .execute("g nt!NtDeviceIoControlFile; r $t1 = poi(@rsp)")
        .unwrap();
    let all = "bp @$t1 \"r $t2 = @$t2 + 1; gc\"; bp nt!NtDeviceIoControlFile \"gu; r $t3 = @$t3 + 1; gc\"; g";
    let text = session.execute(all).unwrap();
    assert!(!text.contains(SKIPPED), "{text}");
    let [returns, waited] = ["$t2", "$t3"].map(|name| session.value_of(name).unwrap());
    assert!(waited > 3, "{waited}");
    // all system calls return there
    assert!(returns > waited, "{returns}, {waited}");
    // nor does one that goes on freely
    let mut session = self::session();
    let all = "bp /1 nt!NtClose \"bp /1 @$ra \\\"g\\\"; gu; ? 222; gc\"; g";
    let text = session.execute(all).unwrap();
    assert_eq!(twos(&text), 1, "{text}");
    // one without commands stops the guest, behind the commands
    let mut session = self::session();
    let all = "bp nt!NtClose \"p; ? 222; gc\"; r $t1 = nt!NtClose + 1; bp @$t1; g";
    let text = session.execute(all).unwrap();
    assert_eq!(twos(&text), 1, "{text}");
    let stop = session.last_stop().unwrap();
    assert_eq!(stop.reason, StopReason::Breakpoint { number: 1 });
}

#[test]
fn turns_of_loops_that_are_not_executed_are_told() {
    let mut session = session();
    let all = "bp /1 nt!NtClose \".for (r $t0=0; @$t0<3; r $t0=@$t0+1) { p; ? 222 }; ? 111\"; g";
    let text = session.execute(all).unwrap();
    assert_eq!(twos(&text), 1, "{text}");
    assert_eq!(text.matches(SKIPPED).count(), 1, "{text}");
}
