//! The golden session's text: commands, and the lines that a debugger printed for each.

/// What stands in front of each command.
const PROMPT: &str = "1: kd> ";
/// What stands for the break-in key.
pub const BREAK_IN_KEY: &str = "<Ctrl+Break>";

/// A command and what it printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub command: String,
    /// Whether the break-in key is pressed while the guest runs.
    pub break_in: bool,
    pub lines: Vec<String>,
}

/// Reads a transcript. What is printed in front of the first prompt is no step's and an error.
pub fn steps(transcript: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix(PROMPT) {
            steps.push(Step {
                command: command.to_string(),
                break_in: false,
                lines: Vec::new(),
            });
            continue;
        }
        let step = steps
            .last_mut()
            .ok_or_else(|| format!("no prompt in front of {line:?}"))?;
        if line == BREAK_IN_KEY {
            step.break_in = true;
        } else {
            step.lines.push(line.to_string());
        }
    }
    Ok(steps)
}

/// The golden session, as it was on a real machine.
pub fn golden() -> Vec<Step> {
    steps(include_str!("session.txt")).unwrap()
}
