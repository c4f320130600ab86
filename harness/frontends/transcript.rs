//! Transcripts: what was typed at a debugger's prompt and what it printed, as a text that a test
//! plays again.
//!
//! ```text
//! $$ Where the kernel's pool compares tags.
//! 1: kd> ? nt!PoolHitTag
//! Evaluate expression: -8796069417732 = fffff800`016530fc
//! 1: kd> dc nt!PoolHitTag l1
//! fffff800`016530fc  ffffff0f                             ....
//! ```
//!
//! - A line that starts with a prompt is a command line: `1: kd> `, with the number of the processor
//!   that the debugger is at, or `kd> `, which stands for any.
//! - The lines up to the next prompt are what it prints, exactly: white space counts. An error is
//!   printed, too, with its caret below the prompt.
//! - `<Ctrl+Break>` among them is the break-in key, pressed while the guest runs, after a fixed
//!   amount of work ([`Transcript::break_in_after`]).
//! - Lines in front of the first prompt are comments: each starts with `$$`, or is empty.
//!
//! [`check`] compares a file with what a session prints, and says what is different, line by line.
//! With the environment variable [`REWRITE`] set to 1 it writes what is printed into the file
//! instead, so that a change can be looked at as a difference between versions of the file.

mod check;
mod diff;

pub use check::{CheckError, Mismatch, REWRITE, check};

use super::console::{self, BREAK_IN_KEY};
use super::options::DEFAULT_BREAK_IN_AFTER;
use crate::commands::Flow;
use crate::debugger::Session;
use std::fmt::{self, Write};
use std::path::PathBuf;

/// The longest transcript that is read or played, in bytes. The project's own limit.
pub const MAX_LENGTH: usize = 16 << 20;

/// Why a text is no transcript.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// A line in front of the first prompt is no comment.
    #[error("line {line}: neither a prompt such as `1: kd> ` nor a comment with `$$`: {text:?}")]
    BeforePrompt {
        /// The line's number, from 1.
        line: usize,
        /// The line's start.
        text: String,
    },
    /// There is no prompt, so that nothing would be checked.
    #[error("there is no prompt such as `1: kd> `, so there is nothing to play")]
    NoPrompt,
    /// It is too long.
    #[error("a transcript of {length} bytes is too long: the limit is {MAX_LENGTH}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// A prompt with its command line, and the lines that it prints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The number of the prompt's line in the text, from 1.
    pub line: usize,
    /// The prompt, with the space behind it.
    pub prompt: String,
    /// What is typed.
    pub command: String,
    /// What is printed.
    pub output: Vec<String>,
}

impl Step {
    /// Whether the break-in key is pressed while the guest runs.
    ///
    /// ```
    /// let transcript = poolhit::transcript::Transcript::parse("kd> g\n<Ctrl+Break>\nkd> k")?;
    /// assert!(transcript.steps()[0].breaks_in());
    /// assert!(!transcript.steps()[1].breaks_in());
    /// # Ok::<(), poolhit::transcript::ParseError>(())
    /// ```
    pub fn breaks_in(&self) -> bool {
        self.output.iter().any(|line| line == BREAK_IN_KEY)
    }
}

/// A transcript, read and ready to be played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transcript {
    path: Option<PathBuf>,
    comments: Vec<String>,
    steps: Vec<Step>,
    break_in_after: u64,
}

/// The length of the prompt at the start of a line, with one space behind it.
fn prompt_length(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = match digits {
        0 => line,
        // more processors than Windows 7 can have (256)
        4.. => return None,
        _ => line[digits..].strip_prefix(": ")?,
    };
    match rest.strip_prefix("kd>")? {
        "" => Some(line.len()),
        command => command
            .starts_with(' ')
            .then_some(line.len() - command.len() + 1),
    }
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    /// The text is no transcript: see [`ParseError`].
    ///
    /// ```
    /// use poolhit::transcript::Transcript;
    /// let text = "$$ A sum.\n1: kd> ? 2*8\nEvaluate expression: 16 = 00000000`00000010\n";
    /// let transcript = Transcript::parse(text)?;
    /// assert_eq!(transcript.steps()[0].command, "? 2*8");
    /// assert!(Transcript::parse("a letter to a friend").is_err());
    /// # Ok::<(), poolhit::transcript::ParseError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Transcript, ParseError> {
        if text.len() > MAX_LENGTH {
            return Err(ParseError::TooLong { length: text.len() });
        }
        let (mut comments, mut steps) = (Vec::new(), Vec::<Step>::new());
        for (line, number) in text.lines().zip(1..) {
            if let Some(length) = prompt_length(line) {
                let (prompt, command) = line.split_at(length);
                steps.push(Step {
                    line: number,
                    prompt: prompt.to_string(),
                    command: command.to_string(),
                    output: Vec::new(),
                });
            } else if let Some(step) = steps.last_mut() {
                step.output.push(line.to_string());
            } else if line.starts_with("$$") || line.is_empty() {
                comments.push(line.to_string());
            } else {
                return Err(ParseError::BeforePrompt {
                    line: number,
                    text: line.chars().take(60).collect(),
                });
            }
        }
        if steps.is_empty() {
            return Err(ParseError::NoPrompt);
        }
        Ok(Transcript {
            path: None,
            comments,
            steps,
            break_in_after: DEFAULT_BREAK_IN_AFTER,
        })
    }

    /// The work after which a break-in key takes effect, in bytes of code retired; by default
    /// [`DEFAULT_BREAK_IN_AFTER`].
    ///
    /// ```
    /// use poolhit::{Lab, Session, transcript::Transcript};
    /// let transcript = Transcript::parse("kd> g\n<Ctrl+Break>\n")?.break_in_after(1000);
    /// let mut session = Session::new(Lab::builder().build()?);
    /// assert!(transcript.play(&mut session).to_string().contains("kd> g\n<Ctrl+Break>\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn break_in_after(mut self, work: u64) -> Transcript {
        self.break_in_after = work;
        self
    }

    /// The commands, in their order.
    ///
    /// ```
    /// let transcript = poolhit::transcript::Transcript::parse("kd> k\nkd> g")?;
    /// let commands: Vec<_> = transcript.steps().iter().map(|step| &step.command).collect();
    /// assert_eq!(commands, ["k", "g"]);
    /// # Ok::<(), poolhit::transcript::ParseError>(())
    /// ```
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The comments in front of the first prompt, line by line.
    ///
    /// ```
    /// let transcript = poolhit::transcript::Transcript::parse("$$ Who leaks?\nkd> k")?;
    /// assert_eq!(transcript.comments(), ["$$ Who leaks?"]);
    /// # Ok::<(), poolhit::transcript::ParseError>(())
    /// ```
    pub fn comments(&self) -> &[String] {
        &self.comments
    }

    /// Types the commands at a session's prompt, and gives what comes out. A command that fails
    /// leaves its error, and the next one follows; `q` ends the play.
    ///
    /// ```
    /// use poolhit::{Lab, Session, transcript::Transcript};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let played = Transcript::parse("1: kd> ? 2*8\n1: kd> zz")?.play(&mut session);
    /// assert_eq!(
    ///     played.to_string(),
    ///     "1: kd> ? 2*8
    /// Evaluate expression: 16 = 00000000`00000010
    /// 1: kd> zz
    ///        ^ Syntax error in 'zz'
    /// "
    /// );
    /// assert!(!played.steps[0].failed && played.steps[1].failed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn play(&self, session: &mut Session) -> Played {
        let mut played = Played {
            comments: self.comments.clone(),
            steps: Vec::new(),
        };
        let mut room = MAX_LENGTH;
        for step in &self.steps {
            let mut prompt = step.prompt.clone();
            if prompt.starts_with(|c: char| c.is_ascii_digit()) {
                let rest = prompt.trim_start_matches(|c: char| c.is_ascii_digit());
                prompt = format!("{}{rest}", session.processor_number());
            }
            let mut output = Bounded {
                text: String::new(),
                room,
            };
            let break_in = step.breaks_in().then_some(self.break_in_after);
            let width = prompt.len();
            let answer = console::answer(session, &step.command, width, break_in, &mut output);
            room = output.room;
            let mut output = output.text;
            let full = answer.is_err();
            if full {
                let _ = write!(output, "\nmore than {MAX_LENGTH} bytes are printed\n");
            } else if !output.is_empty() && !output.ends_with('\n') {
                output.push('\n');
            }
            let flow = answer.ok().flatten();
            played.steps.push(PlayedStep {
                prompt,
                command: step.command.clone(),
                output,
                failed: flow.is_none(),
            });
            if full || flow == Some(Flow::Quit) {
                break;
            }
        }
        played
    }
}

/// A text with a limit.
struct Bounded {
    text: String,
    room: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.room = self.room.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.text.push_str(text);
        Ok(())
    }
}

/// A command as it was played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlayedStep {
    /// The prompt, with the space behind it.
    pub prompt: String,
    /// What was typed.
    pub command: String,
    /// What was printed: whole lines.
    pub output: String,
    /// Whether the command, or one of the line's, could not be executed; the error is printed.
    pub failed: bool,
}

impl fmt::Display for PlayedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}\n{}", self.prompt, self.command, self.output)
    }
}

/// What came out of a transcript's commands. Shown as text it is a transcript again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Played {
    /// The comments of the transcript that was played.
    pub comments: Vec<String>,
    /// The commands that were played; fewer than there are if one of them ended the session.
    pub steps: Vec<PlayedStep>,
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            writeln!(f, "{comment}")?;
        }
        for step in &self.steps {
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
