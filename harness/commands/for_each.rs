//! `.foreach [/pS FIRST] [/ps SKIP] (NAME { COMMANDS }) { COMMANDS }`: executes commands for each word that
//! others print. `/s (NAME "TEXT")`: for each word of a text; `/f (NAME "FILE")`: of a file. `/pS` skips as
//! many words at the start, `/ps` as many behind each one that is taken.
//!
//! In the commands NAME stands for the word where white space, `;` or quotes are on both sides of it, and
//! `${NAME}` anywhere. Commands that begin with `as`, `aS`, `ad` or `al` keep it; a space in front of them
//! makes the difference.
//!
//! The page ".foreach" of the debugger's manual, and "Using Aliases".
//!
//! ```text
//! kd> .foreach (module { lm1m }) { .printf "%ma\n", module + 4e }
//! This program cannot be run in DOS mode.$
//! This program cannot be run in DOS mode.$
//! This program cannot be run in DOS mode.$
//! This program cannot be run in DOS mode.$
//! This program cannot be run in DOS mode.$
//! This program cannot be run in DOS mode.$
//! kd> .foreach /pS 1 /ps 1 /s (word "a b c d") { .echo ${word}! }
//! b!
//! d!
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::alias::replace_variable;
use crate::debugger::command_line::{next_block, next_parenthesis};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

/// Where the words come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Commands,
    Text,
    File,
}

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (mut first, mut skip) = (0, 0);
    let mut source = Source::Commands;
    while arguments.peek() == Some('/') {
        match arguments.next_word().unwrap_or_default() {
            // `2 /ps` is no division
            "/pS" => first = next_count(session, arguments)?,
            "/ps" => skip = next_count(session, arguments)?,
            "/s" => source = Source::Text,
            "/f" => source = Source::File,
            _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        }
    }
    let head = next_parenthesis(arguments)?;
    let syntax = arguments.error(CommandErrorKind::Syntax);
    let commands = next_block(arguments)?;
    arguments.finish()?;
    let mut head = Cursor::new(head);
    head.peek();
    let rest = head.rest();
    let end = rest.find(|c: char| c.is_whitespace() || c == '{' || c == '"');
    let (name, words) = rest.split_at(end.unwrap_or(rest.len()));
    if name.is_empty() {
        return Err(syntax.into());
    }
    let mut words = Cursor::new(words);
    let text = match source {
        Source::Commands => {
            let commands = next_block(&mut words).map_err(|_| syntax)?;
            let (text, flow) = session.capture(commands)?;
            if flow != Flow::Stay {
                return Ok(flow);
            }
            text
        }
        Source::Text => words.next_quoted()?.ok_or(syntax)?,
        Source::File => {
            let path = words.next_file()?.ok_or(syntax)?;
            session.read_text(path.as_ref())?
        }
    };
    words.finish()?;
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let step = usize::try_from(skip)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    for word in text.split_whitespace().skip(first).step_by(step) {
        let commands = replace_variable(commands, name, word)?;
        if let Some(flow) = session.run_turn(&commands, out)? {
            return Ok(flow);
        }
    }
    Ok(Flow::Stay)
}

/// Reads a number of words.
fn next_count(session: &Session, arguments: &mut Cursor<'_>) -> Result<u64, ExecuteError> {
    let word = arguments.next_word().unwrap_or_default();
    let mut word = Cursor::new(word);
    let count = word.next_expression(session)?;
    word.finish()?;
    Ok(count)
}
