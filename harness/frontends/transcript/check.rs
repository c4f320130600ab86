//! Comparing a transcript with what a session prints, and rewriting its file.

use super::diff::{Line, difference};
use super::{MAX_LENGTH, ParseError, Played, Transcript};
use crate::debugger::Session;
use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The environment variable that makes [`check`] write what is printed into the file, if it is 1:
/// `POOLHIT_REWRITE=1 cargo test`.
pub const REWRITE: &str = "POOLHIT_REWRITE";

/// The one place where the switch is looked at.
fn rewrites() -> bool {
    env::var_os(REWRITE).is_some_and(|value| value == "1")
}

/// Why a transcript did not pass.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is no transcript.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The file cannot be rewritten.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The session printed something else.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// Plays the transcript in a file, and compares what comes out with it. If [`REWRITE`] is 1 in the
/// environment, a file that is different is written anew instead.
///
/// # Errors
/// The file cannot be read or written, is no transcript, or is not what is printed.
///
/// ```
/// use poolhit::{Lab, Session, transcript};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sum.kd");
/// std::fs::write(&path, "1: kd> ? 2*8\nEvaluate expression: 15 = 00000000`0000000f\n")?;
/// let mut session = Session::new(Lab::builder().build()?);
/// # if std::env::var_os(transcript::REWRITE).is_some() { return Ok(()); }
/// let error = transcript::check(&path, &mut session).unwrap_err().to_string();
/// let (place, lines) = error.split_once("\n").unwrap();
/// assert!(place.ends_with("sum.kd:2: not what is printed:"));
/// assert!(lines.starts_with("   1: kd> ? 2*8
/// -  Evaluate expression: 15 = 00000000`0000000f
/// +  Evaluate expression: 16 = 00000000`00000010
/// "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(path: impl AsRef<Path>, session: &mut Session) -> Result<(), CheckError> {
    Transcript::read(path)?.check(session)
}

impl Transcript {
    /// Reads a transcript from a file.
    ///
    /// # Errors
    /// The file cannot be read or is no transcript.
    ///
    /// ```
    /// use poolhit::transcript::Transcript;
    /// let error = Transcript::read("no/such.kd").unwrap_err();
    /// assert!(error.to_string().starts_with("cannot read no/such.kd: "));
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<Transcript, CheckError> {
        let path = path.as_ref().to_path_buf();
        let read = || {
            let mut text = String::new();
            // A device has no length that could be asked for.
            File::open(&path)?
                .take(MAX_LENGTH as u64 + 1)
                .read_to_string(&mut text)?;
            Ok(text)
        };
        let text = match read() {
            Ok(text) => text,
            Err(source) => return Err(CheckError::Read { path, source }),
        };
        match Transcript::parse(&text) {
            Ok(transcript) => Ok(Transcript {
                path: Some(path),
                ..transcript
            }),
            Err(source) => Err(CheckError::Parse { path, source }),
        }
    }

    /// Plays the transcript, and compares what comes out with it. If [`REWRITE`] is 1 in the
    /// environment, the file that it was [`read`](Transcript::read) from is written anew instead.
    ///
    /// # Errors
    /// Something else is printed, or the file cannot be written.
    ///
    /// ```
    /// use poolhit::{Lab, Session, transcript::Transcript};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// Transcript::parse("kd> ? 7\nEvaluate expression: 7 = 00000000`00000007")?.check(&mut session)?;
    /// let other = Transcript::parse("kd> ? 7\nEvaluate expression: 8 = 00000000`00000008")?;
    /// assert!(other.check(&mut session).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, session: &mut Session) -> Result<(), CheckError> {
        let played = self.play(session);
        let Some(mismatch) = self.mismatch(&played) else {
            return Ok(());
        };
        match &self.path {
            Some(path) if rewrites() => {
                replace(path, &played.to_string()).map_err(|source| CheckError::Write {
                    path: path.clone(),
                    source,
                })
            }
            _ => Err(mismatch.into()),
        }
    }

    /// What is different from what was played, if anything is.
    ///
    /// ```
    /// use poolhit::{Lab, Session, transcript::Transcript};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let transcript = Transcript::parse("kd> ? 7")?;
    /// let mismatch = transcript.mismatch(&transcript.play(&mut session)).unwrap();
    /// assert_eq!(mismatch.to_string(), "<transcript>:2: not what is printed:
    ///    kd> ? 7
    /// +  Evaluate expression: 7 = 00000000`00000007
    /// ");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mismatch(&self, played: &Played) -> Option<Mismatch> {
        let mut places = Vec::new();
        let mut played = played.steps.iter();
        for step in &self.steps {
            let Some(played) = played.next() else {
                places.push(Place {
                    line: step.line,
                    lines: vec![format!("-  {}{}", step.prompt, step.command)],
                });
                break;
            };
            let prompt = format!("{}{}", step.prompt, step.command);
            let mut expected = vec![prompt.as_str()];
            expected.extend(step.output.iter().map(String::as_str));
            let text = played.to_string();
            let printed: Vec<&str> = text.lines().collect();
            if expected != printed {
                let (first, lines) = readable(&difference(&expected, &printed));
                places.push(Place {
                    line: step.line + first,
                    lines,
                });
            }
        }
        (!places.is_empty()).then(|| Mismatch {
            file: self.path.clone(),
            places,
        })
    }
}

/// Puts a new file into an old one's place: another test that reads it sees the one or the other.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

/// Lines shown around what differs.
const AROUND: usize = 3;
/// Lines shown of one command's difference at most.
const LINES_SHOWN: usize = 100;
/// Commands shown at most.
const PLACES_SHOWN: usize = 20;

/// White space at a line's end would not be seen.
fn visible(text: &str) -> String {
    match text.ends_with(|c: char| c.is_whitespace()) {
        true => format!("{text}¶"),
        false => text.to_string(),
    }
}

/// A difference as lines of text, without most of what is the same; and how many of the lines
/// expected stand in front of it.
fn readable(difference: &[Line]) -> (usize, Vec<String>) {
    let is_same = |line: &Line| matches!(line, Line::Same(_));
    let first = difference.iter().take_while(|line| is_same(line)).count();
    let mut lines = Vec::new();
    let mut gap = false;
    for (at, line) in difference.iter().enumerate() {
        let (start, end) = (at.saturating_sub(AROUND), at.saturating_add(AROUND + 1));
        let near = &difference[start..end.min(difference.len())];
        // The command is always shown.
        if at > 0 && near.iter().all(is_same) {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            lines.push("   …".to_string());
        }
        if lines.len() >= LINES_SHOWN {
            lines.push(format!("   … {} lines more", difference.len() - at));
            break;
        }
        lines.push(match line {
            Line::Same(text) => format!("   {}", visible(text)),
            Line::Expected(text) => format!("-  {}", visible(text)),
            Line::Printed(text) => format!("+  {}", visible(text)),
        });
    }
    (first, lines)
}

/// A command that printed something else.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    /// The first line of the transcript that differs, from 1.
    line: usize,
    lines: Vec<String>,
}

/// What differs between a transcript and what is printed: for each command, the file and the line
/// of the first difference, and the lines: `-` is in the transcript alone, `+` is printed alone.
/// White space at the end of a line shows as `¶`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    file: Option<PathBuf>,
    places: Vec<Place>,
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = match &self.file {
            Some(path) => path.display().to_string(),
            None => "<transcript>".to_string(),
        };
        for place in self.places.iter().take(PLACES_SHOWN) {
            writeln!(f, "{file}:{}: not what is printed:", place.line)?;
            for line in &place.lines {
                writeln!(f, "{line}")?;
            }
        }
        if self.places.len() > PLACES_SHOWN {
            let more = self.places.len() - PLACES_SHOWN;
            writeln!(f, "{more} commands more print something else")?;
        }
        if self.file.is_some() {
            writeln!(f, "{REWRITE}=1 writes what is printed into the file")?;
        }
        Ok(())
    }
}
