//! `$$<FILE`, `$<FILE`: execute a file's lines one after the other, as if they were typed; a line that cannot
//! be executed is no end. `$$><FILE`, `$><FILE`: execute the file as one block, in which the end of a line is
//! a semicolon. `$$>a<FILE [ARGUMENT…]`: so, too, and `${$arg1}`, `${$arg2}` … stand for the arguments.
//!
//! Those that begin with one `$` take the rest of the line as the file's name, semicolons included. With
//! spaces in it, a name is in double quotes behind `$$>a<`, and may be behind the others. In a block `*` makes
//! a comment of all that follows it, as the manual says; `$$` of the rest of its line.
//!
//! The page "$<, $><, $$<, $$><, $$>a< (Run Script File)" of the debugger's manual. It says that all but the
//! last echo the commands; its examples show no echo of the blocks, so only those that execute lines do here.
//! A file may have a megabyte.
//!
//! ```text
//! kd> $$>a<tests/transcripts/scripts/arguments.txt "First one" Two
//! The first argument is First one.
//! The fifth argument is ${$arg5}.
//! The second argument is Two.
//! kd> $$><tests/transcripts/scripts/block.txt; .echo behind
//! not one: 0
//! one
//! not one: 2
//! behind
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::alias::{AliasError, MAX_EXPANDED_LENGTH};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The names of the commands; a longer one comes before its own beginning.
pub(super) const NAMES: [&str; 5] = ["$$>a<", "$$><", "$$<", "$><", "$<"];

pub(super) const LINES: u8 = 0;
pub(super) const BLOCK: u8 = 1;
pub(super) const ARGUMENTS: u8 = 2;

/// The longest file that is read, in bytes. The project's own limit.
const MAX_LENGTH: u64 = 1 << 20;

impl Cursor<'_> {
    /// Reads a file's name in double quotes, in which a backslash is one.
    pub(super) fn next_file(&mut self) -> Result<Option<String>, ExecuteError> {
        if self.peek() != Some('"') {
            return Ok(None);
        }
        let rest = self.rest();
        let Some(end) = rest[1..].find('"') else {
            self.advance(rest.len());
            return Err(self.error(CommandErrorKind::Syntax).into());
        };
        self.advance(end + 2);
        Ok(Some(rest[1..1 + end].to_string()))
    }
}

impl Session {
    /// The text of a file.
    pub(super) fn read_text(&self, path: &Path) -> Result<String, ExecuteError> {
        self.check_files()?;
        let read = || {
            // A pipe would be waited for as it is opened.
            if !path.metadata()?.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
            }
            let mut bytes = Vec::new();
            let file = File::open(path)?;
            file.take(MAX_LENGTH + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MAX_LENGTH {
                let text = format!("it is longer than {MAX_LENGTH} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
        };
        read().map_err(|source| ExecuteError::Read {
            path: PathBuf::from(path),
            source,
        })
    }
}

pub(super) fn run<const KIND: u8>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let name = match arguments.next_file()? {
        Some(name) => name,
        None if KIND == ARGUMENTS => arguments.next_word().unwrap_or_default().to_string(),
        None => {
            let name = arguments.rest().trim().to_string();
            arguments.advance(arguments.rest().len());
            name
        }
    };
    if name.is_empty() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let mut values = Vec::new();
    while KIND == ARGUMENTS && !arguments.at_end() {
        values.push(match arguments.next_file()? {
            Some(value) => value,
            None => arguments.next_word().unwrap_or_default().to_string(),
        });
    }
    arguments.finish()?;
    let text = session
        .read_text(name.as_ref())
        .map_err(|error| match error {
            ExecuteError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ExecuteError::NoScript
            }
            error => error,
        })?;
    if KIND == LINES {
        return run_lines(session, &text, out);
    }
    session.run_block(&with_arguments(&text, &values)?, out)
}

/// The text with the arguments in place of `${$arg1}` and so on. Those that are not given stay.
fn with_arguments(text: &str, values: &[String]) -> Result<String, AliasError> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${$arg") {
        replaced.push_str(before);
        let value = behind.split_once('}').and_then(|(number, behind)| {
            let place = number.parse::<usize>().ok()?.checked_sub(1)?;
            Some((values.get(place)?, behind))
        });
        match value {
            Some((value, behind)) => {
                replaced.push_str(value);
                rest = behind;
            }
            None => {
                replaced.push_str("${$arg");
                rest = behind;
            }
        }
        if replaced.len() > MAX_EXPANDED_LENGTH {
            return Err(AliasError::ExpandedTooLong);
        }
    }
    replaced.push_str(rest);
    Ok(replaced)
}

/// Executes a script file's lines, each for itself: one that fails does not end the others.
pub(super) fn run_lines(
    session: &mut Session,
    text: &str,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = behind;
        let prompt = session.prompt();
        writeln!(out, "{prompt}{line}")?;
        match session.run_block(line, out) {
            Ok(Flow::Stay) => {}
            Err(error) if error.is_caught() => {
                session.state.scripting.failed_lines += 1;
                writeln!(out, "{}", error.below_prompt(prompt.len()))?;
            }
            flow => {
                if matches!(flow, Ok(Flow::Go)) {
                    session.keep_lines(rest);
                }
                return flow;
            }
        }
    }
    Ok(Flow::Stay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_take_their_places() {
        let values = ["a b".to_string(), "c".to_string()];
        for (text, expected) in [
            ("${$arg1}-${$arg2}", "a b-c"),
            (
                "${$arg3} ${$arg0} ${$arg} ${$arg1",
                "${$arg3} ${$arg0} ${$arg} ${$arg1",
            ),
        ] {
            assert_eq!(with_arguments(text, &values).unwrap(), expected);
        }
    }
}
