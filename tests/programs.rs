//! Programs of commands: what a transcript cannot show. The rules are those of the debugger's manual, in the
//! pages that the commands' own pages name.

use poolhit::commands::{ExecuteError, Flow};
use poolhit::frontends::console::{ConsoleOptions, run};
use poolhit::{Lab, Session};
use std::fs;
use std::time::Duration;

fn session() -> Session {
    Session::new(Lab::builder().memory(16 << 20).build().unwrap())
}

/// A script file, and the command that runs it.
fn script(command: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.txt");
    fs::write(&path, text).unwrap();
    let line = format!("{command}{}", path.display());
    (folder, line)
}

#[test]
fn lines_of_a_script_are_echoed_and_go_on_after_an_error() {
    for command in ["$<", "$$<"] {
        let (_folder, line) = script(command, "? 1; ? 2\n$$ nothing\nk 1 2\nr $t0 = 7\r\n? @$t0");
        let mut session = session();
        let mut out = Vec::new();
        let options = ConsoleOptions {
            interactive: false,
            strict: false,
            break_in_after: 1000,
        };
        let failed = run(&mut session, line.as_bytes(), &mut out, options).unwrap();
        assert_eq!(failed, 1);
        let text = String::from_utf8(out).unwrap();
        let behind = text.split_once('\n').unwrap().1;
        assert_eq!(
            behind,
            "1: kd> ? 1; ? 2
Evaluate expression: 1 = 00000000`00000001
Evaluate expression: 2 = 00000000`00000002
1: kd> $$ nothing
1: kd> k 1 2
           ^ Extra character error in 'k 1 2'
1: kd> r $t0 = 7
1: kd> ? @$t0
Evaluate expression: 7 = 00000000`00000007
"
        );
    }
}

#[test]
fn a_script_may_quit_and_let_the_guest_go_on() {
    let (_folder, line) = script("$$<", "g\nq\n? 1\n");
    let mut out = String::new();
    let flow = session().execute_to(&line, &mut out).unwrap();
    assert_eq!(flow, Flow::Quit);
    assert!(
        out.contains("The guest is idle") && !out.contains("Evaluate"),
        "{out}"
    );
}

/// The walk of a list as the manual's "Debugger Command Program Examples" writes it, but for its C++
/// expressions, which are not there.
#[test]
fn the_manuals_walk_of_a_list() {
    let text = r#"
$$  Get process list LIST_ENTRY in $t0.
r $t0 = nt!PsActiveProcessHead

$$  Iterate over all processes in list.
.for (r $t1 = poi(@$t0);
      (@$t1 != 0) & (@$t1 != @$t0);
      r $t1 = poi(@$t1))
{
    r $t2 = @$t1 - 188;
    as /x Procc @$t2

    $$  Get image name into $ImageName.
    as /ma $ImageName @$t2 + 2e0

    .block
    {
        .echo ${$ImageName} at ${Procc}
    }

    ad $ImageName
    ad Procc
}
"#;
    let (_folder, line) = script("$$><", text);
    let mut session = session();
    let out = session.execute(&line).unwrap();
    let process = session.current_process().unwrap();
    let expected = format!("NotMyfault.exe at {:#x}\n", process.0);
    assert!(out.contains(&expected), "{out}");
    assert_eq!(session.aliases().iter().count(), 0);
}

/// "Using Aliases": a name set in a block counts from the next block on.
#[test]
fn aliases_of_a_loop_are_those_of_the_turn_before() {
    let text = "
.foreach (value { .echo 10 20 30 })
{
   as /x ${/v:myAlias} value + 1
   .echo value myAlias
}
ad myAlias
";
    let (_folder, line) = script("$$><", text);
    let out = session().execute(&line).unwrap();
    assert_eq!(out, "10 myAlias\n20 0x11\n30 0x21\n");
    let (_folder, line) = script(
        "$$><",
        &text.replace(".echo value myAlias", ".block{.echo value myAlias}"),
    );
    let out = session().execute(&line).unwrap();
    assert_eq!(out, "10 0x11\n20 0x21\n30 0x31\n");
}

#[test]
fn the_log_has_what_is_typed_and_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a log.txt");
    let mut session = session();
    let script = format!(
        ".logopen \"{}\"\n? 1\nk 1 2\n.logclose\n? 2\n",
        path.display()
    );
    let options = ConsoleOptions {
        interactive: false,
        strict: false,
        break_in_after: 1000,
    };
    run(&mut session, script.as_bytes(), &mut Vec::new(), options).unwrap();
    let log = fs::read_to_string(&path).unwrap();
    let expected = "1: kd> ? 1
Evaluate expression: 1 = 00000000`00000001
1: kd> k 1 2
           ^ Extra character error in 'k 1 2'
1: kd> .logclose
Closing open log file ";
    let opened = format!("Opened log file '{}'\n", path.display());
    let behind = log.strip_prefix(&opened).unwrap_or(&log);
    assert!(behind.starts_with(expected), "{log}");
    assert!(!log.contains("? 2"), "{log}");
    session
        .execute(&format!(".logappend {}", path.display()))
        .unwrap();
    session.execute("? 3; .logclose").unwrap();
    let log = fs::read_to_string(&path).unwrap();
    assert!(
        log.contains("? 1") && log.contains("= 00000000`00000003\n"),
        "{log}"
    );
}

#[test]
fn endless_programs_end() {
    let mut session = session();
    session.set_budget(50_000_000);
    session.execute("as More .block { More ; More }").unwrap();
    for line in [
        ".while (1) { }",
        ".do { } (1)",
        ".for (;;) { .continue }",
        ".while (1) { .catch { .while (1) { } } }",
        ".catch { .while (1) { zz } }; .while (1) { .catch { zz } }",
        "r $t0 = 1; z(1)",
        ".block { r $t0 = 1; z(@$t0) }",
        ".while (1) { .foreach (x { lm }) { .echo x } }",
        ".while (1) { db nt l10000 }",
        ".while (1) { .foreach (x { db nt l1000 }) { } }",
        "bp nt!ExAllocatePoolWithTag \".while (1) { }\"; g",
        "bp nt!ExAllocatePoolWithTag \"r $t0 = 1; z(1)\"; g",
        "bp nt!ExAllocatePoolWithTag \".while (1) { k; .catch { gc x } }\"; g",
    ] {
        let error = session.execute_to(line, &mut String::new()).unwrap_err();
        let error = match error {
            ExecuteError::AtBreakpoint { error, .. } => *error,
            error => error,
        };
        assert!(
            matches!(error, ExecuteError::Endless { .. }),
            "{line}: {error}"
        );
    }
    let error = session.execute_to("More", &mut String::new()).unwrap_err();
    let ends = matches!(error, ExecuteError::Endless { .. } | ExecuteError::TooDeep);
    assert!(ends, "{error}");
}

#[test]
fn blocks_have_a_depth() {
    let mut session = session();
    let nested = |depth| format!("{}? 1{}", ".block { ".repeat(depth), " }".repeat(depth));
    assert!(session.execute(&nested(63)).is_ok());
    let error = session.execute(&nested(64)).unwrap_err();
    assert!(matches!(error, ExecuteError::TooDeep), "{error}");
    assert!(session.execute(&nested(3000)).is_err());
    let (_folder, line) = script("$$><", "? 1");
    let path = line.strip_prefix("$$><").unwrap();
    fs::write(path, format!(".catch {{ $$><{path}; .echo not reached }}")).unwrap();
    let out = session.execute(&line).unwrap();
    assert!(
        out.starts_with("commands are more than 64 blocks deep"),
        "{out}"
    );
    // and a loop that was left by an error is no loop any more
    assert!(session.execute(".while (1) { zz }").is_err());
    assert!(session.execute(".break").is_err());
}

#[test]
fn a_break_in_ends_a_loop() {
    let mut session = session();
    session.set_budget(u64::MAX);
    for line in [
        ".while (1) { }",
        ".while (1) { .catch { k } }",
        ".for (;;) { bc *; ea nt!PoolHitTag \"Lea2\" }",
        "z(1)",
        "bp nt!ExAllocatePoolWithTag \".while (1) { r $t0 = 1 }\"; g",
    ] {
        let handle = session.break_in_handle();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            handle.request();
        });
        let error = session.execute_to(line, &mut String::new()).unwrap_err();
        thread.join().unwrap();
        let error = match error {
            ExecuteError::AtBreakpoint { error, .. } => *error,
            error => error,
        };
        assert!(
            matches!(error, ExecuteError::Interrupted),
            "{line}: {error}"
        );
    }
}

#[test]
fn files_can_be_refused() {
    let mut session = session();
    session.allow_files(false);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.log");
    for line in [
        format!(".logopen {}", path.display()),
        format!(".logappend {}", path.display()),
        "$$<Cargo.toml".to_string(),
        "$$>a<Cargo.toml x".to_string(),
        ".foreach /f (x \"Cargo.toml\") { .echo x }".to_string(),
        "aS /f x Cargo.toml".to_string(),
        "as /e x PATH".to_string(),
    ] {
        let error = session.execute(&line).unwrap_err();
        assert!(
            matches!(error, ExecuteError::FilesRefused),
            "{line}: {error}"
        );
    }
    assert!(!path.exists());
    session.allow_files(true);
    assert!(session.execute("as /e x PATH").is_ok());
}
