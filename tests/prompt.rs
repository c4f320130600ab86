//! The prompt at a terminal, by a pseudo terminal: what is typed is completed, remembered and repeated, and a
//! guest that runs is broken into.
#![cfg(unix)]

use rexpect::session::{PtySession, spawn_command};
use rustix::termios::{Winsize, tcsetwinsize};
use std::path::Path;
use std::process::Command;

/// How long is waited for a text, in milliseconds: a slow machine boots the guest in it.
const PATIENCE: u64 = 30_000;

/// The program at a terminal, with its state in a folder.
fn start(state: &Path, settings: &[(&str, &str)]) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolhit"));
    command.args(["debug", "--memory", "16"]);
    command.env("XDG_STATE_HOME", state);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    command.envs(settings.iter().copied());
    let mut session = spawn_command(command, Some(PATIENCE)).unwrap();
    session.exp_string("q ends the session.").unwrap();
    prompt(&mut session);
    session
}

/// Waits for the prompt; what comes before it.
fn prompt(session: &mut PtySession) -> String {
    session.exp_string("1: kd> ").unwrap()
}

/// Types keys, and gives what comes up to the next prompt behind a text.
fn answer(session: &mut PtySession, keys: &str, text: &str) -> String {
    session.send(keys).unwrap();
    session.flush().unwrap();
    session.exp_string(text).unwrap();
    prompt(session)
}

/// The program's exit status, once it has left.
fn status(session: &PtySession) -> i32 {
    // rexpect does not name its type: Exited(Pid(7), 0)
    let status = format!("{:?}", session.process().wait().unwrap());
    let number = status.trim_end_matches(')').rsplit(' ').next().unwrap();
    assert!(status.starts_with("Exited("), "{status}");
    number.parse().unwrap()
}

const UP: &str = "\x1b[A";

#[test]
fn lines_are_completed_remembered_and_repeated() {
    let state = tempfile::tempdir().unwrap();
    let mut session = start(state.path(), &[("NO_COLOR", "1")]);
    answer(&mut session, "? nt!PoolHitT\t+4\r", "= fffff800`01653100");
    // an empty line is the last one
    answer(&mut session, "\r", "= fffff800`01653100");
    // Ctrl+C clears the line
    session.send("this is no command\x03").unwrap();
    session.flush().unwrap();
    prompt(&mut session);
    answer(&mut session, "? 7\r", "= 00000000`00000007");
    answer(&mut session, &format!("{UP}{UP}\r"), "= fffff800`01653100");
    session.send("\x04").unwrap();
    session.flush().unwrap();
    session.exp_eof().unwrap();
    assert_eq!(status(&session), 0);

    let kept = std::fs::read_to_string(state.path().join("poolhit/history")).unwrap();
    assert!(kept.contains("? nt!PoolHitTag+4\n? 7\n"), "{kept}");
    assert!(!kept.contains("no command"), "{kept}");
    let mut session = start(state.path(), &[]);
    answer(&mut session, &format!("{UP}\r"), "fffff800`01653100");
    session.send_line("zz").unwrap();
    session.exp_string("Syntax error in 'zz'").unwrap();
    session.send_line("q").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(status(&session), 1);
}

#[test]
fn a_guest_that_runs_shows_it_and_is_broken_into() {
    let state = tempfile::tempdir().unwrap();
    let mut session = start(state.path(), &[]);
    // at the function's start it jumps to itself
    session
        .send_line("eb nt!ExAllocatePoolWithTag eb fe; g")
        .unwrap();
    session.exp_string("*BUSY* Debuggee is running").unwrap();
    session.send("\x03").unwrap();
    session.flush().unwrap();
    session.exp_string("Break instruction exception").unwrap();
    // the line is taken away before something is printed, and symbols are green
    session
        .exp_string("\x1b[32mnt!RtlpBreakWithStatusInstruction:")
        .unwrap();
    prompt(&mut session);
    session.send_line(".while (1) { r $t0 = 1 }").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    session.send("\x03").unwrap();
    session.flush().unwrap();
    session.exp_string("Interrupted").unwrap();
    prompt(&mut session);
    session.send_line("q").unwrap();
    session.exp_eof().unwrap();
}

/// The terminal's window has another size.
fn resize(session: &PtySession, columns: u16, rows: u16) {
    let terminal = session.process().get_file_handle().unwrap();
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}

/// A line that is being typed is drawn again for the window's new size, and stays what it is.
#[test]
fn a_line_is_drawn_again_when_the_window_changes() {
    let state = tempfile::tempdir().unwrap();
    let mut session = start(state.path(), &[("NO_COLOR", "1")]);
    resize(&session, 80, 24);
    let typed = "? 1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1";
    session.send(typed).unwrap();
    session.flush().unwrap();
    session.exp_string(typed).unwrap();
    for columns in [30, 120, 10] {
        resize(&session, columns, 24);
        prompt(&mut session);
        session.exp_string(typed).unwrap();
    }
    resize(&session, 80, 24);
    prompt(&mut session);
    answer(&mut session, "+1\r", "= 00000000`00000019");
    session.send_line("q").unwrap();
    session.exp_eof().unwrap();
}

/// What shows that the guest runs is one row in a window of any size, also if that changes meanwhile.
#[test]
fn a_running_guest_is_shown_in_windows_of_any_size() {
    let state = tempfile::tempdir().unwrap();
    let mut session = start(state.path(), &[("NO_COLOR", "1")]);
    resize(&session, 20, 10);
    session
        .send_line("eb nt!ExAllocatePoolWithTag eb fe; g")
        .unwrap();
    for columns in [20, 100, 5] {
        resize(&session, columns, 10);
        session
            .exp_string("\r\x1b[K\x1b[?7l*BUSY* Debuggee is running")
            .unwrap();
        session.exp_string("(Ctrl+C breaks in)\x1b[?7h").unwrap();
    }
    resize(&session, 80, 24);
    session.send("\x03").unwrap();
    session.flush().unwrap();
    session
        .exp_string("\r\x1b[KBreak instruction exception")
        .unwrap();
    prompt(&mut session);
    answer(&mut session, "? 7\r", "= 00000000`00000007");
    session.send_line("q").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn nothing_is_coloured_if_nobody_wants_it() {
    let state = tempfile::tempdir().unwrap();
    for (settings, coloured) in [
        (&[][..], true),
        (&[("NO_COLOR", "1")][..], false),
        (&[("TERM", "dumb")][..], false),
    ] {
        let mut session = start(state.path(), settings);
        session.send_line("ln nt!PoolHitTag").unwrap();
        let text = session.exp_string("Exact matches:").unwrap();
        assert_eq!(text.contains("\x1b[36m"), coloured, "{settings:?} {text:?}");
        session.send_line("q").unwrap();
        session.exp_eof().unwrap();
    }
}

/// Whatever is no terminal is a script: no escape codes, and status 1 if a line failed. With `--strict` the
/// first that fails is the last.
#[test]
fn a_script_is_no_terminal() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolhit"));
        command.arg("debug").args(arguments);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains('\x1b'), "{text:?}");
        (output.status.code(), text)
    };
    let commands = "? 1\nzz\n? 2";
    let (status, text) = run(&["-c", commands]);
    assert_eq!(status, Some(1));
    assert!(text.ends_with("= 00000000`00000002\n"), "{text}");
    let (status, text) = run(&["--strict", "-c", commands]);
    assert_eq!(status, Some(1));
    assert!(text.ends_with("^ Syntax error in 'zz'\n"), "{text}");
    let (status, _) = run(&["--strict", "-c", "? 1\n? 2"]);
    assert_eq!(status, Some(0));
}
