//! Reading transcripts, playing them, and what a mismatch says.

use super::*;
use crate::guest::Lab;
use proptest::prelude::*;

fn session() -> Session {
    Session::new(Lab::builder().memory(16 << 20).build().unwrap())
}

#[test]
fn prompts() {
    for (line, command) in [
        ("kd> g", Some("g")),
        ("1: kd> g", Some("g")),
        ("255: kd> g", Some("g")),
        ("0: kd>  g ", Some(" g ")),
        ("1: kd> ", Some("")),
        ("kd>", Some("")),
        ("1000: kd> g", None),
        ("1:kd> g", None),
        (" kd> g", None),
        ("kd>g", None),
        ("lkd> g", None),
        ("1: ", None),
        ("fffff800`016530fc  ffffff0f", None),
        ("", None),
    ] {
        let found = prompt_length(line).map(|length| &line[length..]);
        assert_eq!(found, command, "{line:?}");
    }
}

#[test]
fn texts_that_are_no_transcripts() {
    let parse = |text: &str| Transcript::parse(text).unwrap_err().to_string();
    assert!(parse("").starts_with("there is no prompt"));
    assert!(parse("$$ only a comment\n").starts_with("there is no prompt"));
    assert!(parse("$$ a\n\nb\nkd> g").starts_with("line 3: "));
    let long = " ".repeat(MAX_LENGTH + 1);
    let error = Transcript::parse(&long).unwrap_err();
    assert_eq!(error, ParseError::TooLong { length: long.len() });
}

#[test]
fn line_ends_of_windows_are_line_ends() {
    let unix = Transcript::parse("$$ c\nkd> ? 1\nx\n");
    assert_eq!(Transcript::parse("$$ c\r\nkd> ? 1\r\nx\r\n"), unix);
}

#[test]
fn a_played_transcript_is_one_that_passes() {
    let text = "$$ A comment.\n\nkd> ? 1\n1: kd> zz\n7: kd> g\n<Ctrl+Break>\n1: kd>\n1: kd> k 2\n";
    let transcript = Transcript::parse(text).unwrap();
    let played = transcript.play(&mut session()).to_string();
    assert!(
        played.starts_with("$$ A comment.\n\nkd> ? 1\nEvaluate"),
        "{played}"
    );
    assert!(
        played.contains("\n1: kd> g\n<Ctrl+Break>\nBreak instruction"),
        "{played}"
    );
    let again = Transcript::parse(&played).unwrap();
    again.check(&mut session()).unwrap();
    assert!(transcript.check(&mut session()).is_err());
}

#[test]
fn the_session_ends_with_q() {
    let text = "kd> ? 7\nEvaluate expression: 7 = 00000000`00000007\nkd> q\nkd> ? 8\nkd> ? 9\n";
    let transcript = Transcript::parse(text).unwrap();
    let error = transcript.check(&mut session()).unwrap_err().to_string();
    assert_eq!(error, "<transcript>:4: not what is printed:\n-  kd> ? 8\n");
}

/// A key that is pressed at a command that runs nothing is not kept for a later one.
#[test]
fn a_key_is_for_its_own_command() {
    let transcript = Transcript::parse("kd> ? 1\n<Ctrl+Break>\nkd> g").unwrap();
    let played = transcript.play(&mut session()).to_string();
    assert!(!played.contains("<Ctrl+Break>"), "{played}");
    assert!(played.contains("The guest is idle"), "{played}");
}

#[test]
fn every_line_that_differs_is_told() {
    let mut session = session();
    let right = Transcript::parse("kd> dq nt l20")
        .unwrap()
        .play(&mut session);
    let right = right.to_string();
    let lines: Vec<&str> = right.lines().collect();
    for at in 1..lines.len() {
        let mut other = lines.clone();
        let changed = format!("{} ", lines[at]);
        other[at] = &changed;
        let other = Transcript::parse(&other.join("\n")).unwrap();
        let error = other.check(&mut session).unwrap_err().to_string();
        let first = format!("<transcript>:{}: not what is printed:", at + 1);
        assert_eq!(error.lines().next(), Some(first.as_str()));
        assert!(error.contains(&format!("\n-  {changed}¶\n+  {}\n", lines[at])));
        assert!(error.lines().count() < 13, "{error}");
    }
}

#[test]
fn what_is_printed_has_a_limit() {
    let text = "kd> db nt l100000\n".repeat(12);
    let played = Transcript::parse(&text).unwrap().play(&mut session());
    assert!(played.steps.len() < 12, "{}", played.steps.len());
    assert!(played.to_string().len() < MAX_LENGTH + 1000);
    let last = played.steps.last().unwrap();
    assert!(last.failed && last.output.ends_with("bytes are printed\n"));
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in "((\\$\\$|kd>|[0-9]: kd>| |\n|\r|.){0,12})") {
        match Transcript::parse(&text) {
            Ok(transcript) => {
                let count = transcript.comments.len() + transcript.steps.iter()
                    .map(|step| 1 + step.output.len()).sum::<usize>();
                prop_assert_eq!(count, text.lines().count());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Whatever is typed and expected, the play ends, and what is printed is told or passes.
    #[test]
    fn any_transcript_plays(lines in prop::collection::vec(
        prop::sample::select(vec![
            "kd> g", "1: kd> k 1;q", "kd> zz", "0: kd> ? 1", "<Ctrl+Break>", "", "kd>", "kd> \u{fc}",
            "Evaluate expression: 1 = 00000000`00000001", "kd> bp nt!NtDeviceIoControlFile \"g\"",
        ]),
        1..8,
    )) {
        thread_local! {
            static SESSION: std::cell::RefCell<Session> = std::cell::RefCell::new(session());
        }
        let text = format!("kd> ? 0\n{}", lines.join("\n"));
        let transcript = Transcript::parse(&text).unwrap();
        let played = SESSION.with_borrow_mut(|session| transcript.play(session));
        let told = transcript.mismatch(&played).map(|mismatch| mismatch.to_string());
        let same = played.to_string().lines().eq(text.lines());
        prop_assert_eq!(told.is_none(), same, "{:?}", told);
    }
}
