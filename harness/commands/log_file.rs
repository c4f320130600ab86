//! `.logopen [/t] [/u] [FILE]`, `.logappend [/u] [FILE]`: from now on what is typed and printed is written to
//! a file, too; without a name to `dbgeng.log`. `.logopen /d` names it after the target. `.logclose` closes it,
//! `.logfile` says which it is. `/u` writes UTF-16, and not UTF-8.
//!
//! `.logopen` empties a file that is there. `/t`, which has the name carry the process' number, date and time,
//! is refused: the same run has the same output here, whenever it is.
//!
//! ".logopen (Open Log File)", ".logappend (Append Log File)", ".logclose (Close Log File)" and ".logfile
//! (Display Log File Status)" in the debugger's manual. The lines of opening and closing are those of published
//! logs; for `.logfile`'s no source was found.
//!
//! ```text
//! kd> .logfile
//! No log file open
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::debugger::log::Log;
use std::fmt::Write;
use std::path::PathBuf;

pub(super) fn run_open<const APPENDS: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let command = if APPENDS { ".logappend" } else { ".logopen" };
    let (mut wide, mut named) = (false, false);
    while arguments.peek() == Some('/') {
        let mut option = arguments.clone();
        match option.next_word().unwrap_or_default() {
            "/u" => wide = true,
            "/d" if !APPENDS => named = true,
            // a path
            word if word.len() > 2 => break,
            word => {
                return Err(ExecuteError::UnknownOption {
                    command,
                    option: word.to_string(),
                    known: if APPENDS { "/u" } else { "/u and /d" },
                });
            }
        }
        *arguments = option;
    }
    let name = match arguments.next_file()? {
        Some(name) => name,
        None => {
            let name = arguments.rest().trim().to_string();
            arguments.advance(arguments.rest().len());
            name
        }
    };
    arguments.finish()?;
    let path = PathBuf::from(match (named, name.as_str()) {
        (true, _) => "poolhit.log",
        (false, "") => "dbgeng.log",
        (false, name) => name,
    });
    session.check_files()?;
    // A file that cannot be opened leaves the one that is open.
    let opened = match Log::check(&path) {
        Ok(()) => {
            close(session, out)?;
            session.state.scripting.log.open(&path, APPENDS, wide)
        }
        Err(error) => Err(error),
    };
    opened.map_err(|source| ExecuteError::Write {
        path: path.clone(),
        source,
    })?;
    writeln!(out, "Opened log file '{}'", path.display())?;
    Ok(Flow::Stay)
}

/// Closes the file, if one is open, and says whether it was.
fn close(session: &Session, out: &mut dyn Write) -> Result<bool, ExecuteError> {
    let log = &session.state.scripting.log;
    if let Some(path) = log.path() {
        writeln!(out, "Closing open log file {}", path.display())?;
    }
    Ok(log.close().is_some())
}

pub(super) fn run_close(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    if !close(session, out)? {
        writeln!(out, "No log file open")?;
    }
    Ok(Flow::Stay)
}

pub(super) fn run_status(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    match session.state.scripting.log.path() {
        Some(path) => writeln!(out, "Log '{}' open", path.display())?,
        None => writeln!(out, "No log file open")?,
    }
    Ok(Flow::Stay)
}

#[cfg(test)]
mod tests {
    use crate::debugger::Session;
    use crate::guest::Lab;

    #[test]
    fn a_log_that_cannot_be_opened_leaves_the_open_one() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good.log");
        let bad = folder.path().join("no/such.log");
        let mut session = Session::new(Lab::builder().build().unwrap());
        let mut open = |path: &std::path::Path| {
            session.execute(&format!(".logopen {}; ? 1; .logfile", path.display()))
        };
        open(&good).unwrap();
        open(&bad).unwrap_err();
        let status = session.execute("? 2; .logfile").unwrap();
        assert!(status.contains("good.log"), "{status}");
        let log = std::fs::read_to_string(&good).unwrap();
        assert!(log.contains("Evaluate expression: 2 "), "{log}");
        assert!(!log.contains("Closing"), "{log}");
    }
}
