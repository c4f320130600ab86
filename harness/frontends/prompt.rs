//! The prompt at a terminal: lines are edited, completed and remembered.
//!
//! | key | |
//! |---|---|
//! | Tab | completes commands, modules, symbols behind `module!`, registers behind `@`, aliases, and files where a command takes one |
//! | Up, Down, Ctrl+R | the lines typed before, those of earlier sessions too |
//! | Enter on an empty line | the last line once more |
//! | Ctrl+C | clears the line; breaks in while the guest runs, and ends loops of commands |
//! | Ctrl+D | leaves, as `q` does |
//!
//! Addresses, symbols and bytes are coloured, unless `NO_COLOR` is set or the output is no terminal. A guest that
//! runs for longer shows on standard error that it does; the line is gone when something is printed.
//!
//! The lines are kept in `poolhit/history` in the folder for state of the XDG Base Directory Specification:
//! `$XDG_STATE_HOME`, or `~/.local/state`.
//!
//! The line editor is rustyline, and not reedline: it is under the MIT licence, released several times a year
//! since 2015, brings eight small crates where reedline brings a terminal library, a calendar and a
//! serialisation, and works in terminals that can do little. What reedline has beyond it, menus and printing
//! from other threads, is not needed here.

mod busy;
mod colour;
pub mod completion;

pub use colour::coloured;

use super::console::answer;
use super::options::FrontendError;
use crate::commands::Flow;
use crate::debugger::Session;
use busy::Busy;
use colour::Colouring;
use completion::{Words, complete};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// How many lines are kept.
const REMEMBERED: usize = 1000;

/// Completes words for the editor.
struct Completing(Words);

impl Completer for Completing {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.0, line, position))
    }
}

impl Hinter for Completing {
    type Hint = String;
}

impl Highlighter for Completing {}
impl Validator for Completing {}
impl Helper for Completing {}

/// The file that lines are kept in: none if there is no folder for state.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from);
    // A relative path is to be ignored, says the specification.
    let state = folder("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("poolhit/history"))
}

/// Whether what is printed may be coloured ("NO_COLOR", no-color.org).
fn wants_colours() -> bool {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && set("NO_COLOR").is_none() && !dumb
}

/// The editor for lines, and where it keeps them.
struct Lines {
    editor: Editor<Completing, FileHistory>,
    file: Option<PathBuf>,
}

impl Lines {
    fn new() -> Result<Lines, ReadlineError> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(REMEMBERED)?
            .history_ignore_space(false)
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config)?;
        let file = history_file();
        if let Some(file) = &file {
            // The first session of all has none.
            let _ = editor.load_history(file);
        }
        Ok(Lines { editor, file })
    }

    /// Reads a line; `None` at the end. One that is given up is empty, and `true` comes with it.
    fn read(&mut self, session: &Session) -> Result<Option<(String, bool)>, ReadlineError> {
        self.editor.set_helper(Some(Completing(Words::of(session))));
        match self.editor.readline(&session.prompt()) {
            Ok(line) => Ok(Some((line, false))),
            Err(ReadlineError::Interrupted) => Ok(Some((String::new(), true))),
            Err(ReadlineError::Eof) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers a line, for later sessions too. That it cannot be kept is no reason to stop.
    fn remember(&mut self, line: &str) {
        let added = self.editor.add_history_entry(line).unwrap_or(false);
        let Some(file) = self.file.as_ref().filter(|_| added) else {
            return;
        };
        let folder = file.parent().map(fs::create_dir_all);
        if folder.is_some_and(|made| made.is_ok()) && self.editor.append_history(file).is_err() {
            self.file = None;
        }
    }
}

fn failed(error: ReadlineError) -> FrontendError {
    match error {
        ReadlineError::Io(error) => FrontendError::Io(error),
        error => FrontendError::Io(io::Error::other(error)),
    }
}

/// Reads lines from the terminal and executes them, until one quits or there are no more. Gives the count
/// of lines that failed; with `strict` the first of them is the last.
///
/// # Errors
/// The terminal cannot be read or written.
pub fn run(
    session: &mut Session,
    strict: bool,
    out: &mut dyn Write,
) -> Result<usize, FrontendError> {
    let mut lines = Lines::new().map_err(failed)?;
    let (mut count, mut last) = (0, String::new());
    let busy = Busy::new();
    session.show_progress(busy.reporter());
    let colours = wants_colours();
    loop {
        out.flush()?;
        let Some((line, given_up)) = lines.read(session).map_err(failed)? else {
            return Ok(count);
        };
        if given_up {
            continue;
        }
        if !line.trim().is_empty() {
            lines.remember(&line);
            last = line;
        }
        let mut text = Colouring::new(out, colours, &busy);
        let answer = answer(session, &last, session.prompt().len(), None, &mut text);
        text.finish();
        busy.clear();
        if let Some(error) = text.error() {
            return Err(error.into());
        }
        match answer.map_err(io::Error::other)? {
            Some(Flow::Quit) => return Ok(count),
            Some(_) => {}
            None if strict => return Ok(count + 1),
            None => count += 1,
        }
    }
}
