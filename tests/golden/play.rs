//! Playing the golden session, and judging what is printed.

use crate::compare::starts_with;
use poolhit::Session;
use poolhit::frontends::console::BREAK_IN_KEY;
use poolhit::frontends::demo::BREAK_IN_AFTER;
use poolhit::transcript::{Played, Step, Transcript};

/// The golden session, as it was on a real machine.
pub const GOLDEN: &str = include_str!("session.txt");

pub fn golden() -> Transcript {
    transcript(GOLDEN)
}

pub fn transcript(text: &str) -> Transcript {
    Transcript::parse(text)
        .unwrap()
        .break_in_after(BREAK_IN_AFTER)
}

/// What is printed; every command can be executed.
pub fn play(session: &mut Session, transcript: &Transcript) -> Played {
    let played = transcript.play(session);
    if let Some(step) = played.steps.iter().find(|step| step.failed) {
        panic!("{step}");
    }
    played
}

/// The lines that a step wants; the break-in key is typed, and not printed.
pub fn lines(step: &Step) -> Vec<String> {
    let lines = step.output.iter().filter(|line| *line != BREAK_IN_KEY);
    lines.cloned().collect()
}

/// Checks what was printed for each step. The key shows when it is pressed, wherever that is.
pub fn judge(steps: &[Step], printed: &[String]) -> Result<(), String> {
    if steps.len() != printed.len() {
        return Err(format!(
            "{} commands printed {} times",
            steps.len(),
            printed.len()
        ));
    }
    for (step, printed) in steps.iter().zip(printed) {
        let shows_key = printed.lines().any(|line| line == BREAK_IN_KEY);
        if shows_key != step.breaks_in() {
            return Err(format!("{}: the break-in key", step.command));
        }
        let printed = printed.replace(&format!("{BREAK_IN_KEY}\n"), "");
        starts_with(&printed, &lines(step))
            .map_err(|reason| format!("{}: {reason}", step.command))?;
    }
    Ok(())
}

/// What each step printed.
pub fn printed(played: &Played) -> Vec<String> {
    let steps = played.steps.iter();
    steps.map(|step| step.output.clone()).collect()
}
