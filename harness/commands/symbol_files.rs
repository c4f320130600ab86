//! `.sympath[+] [PATH[;PATH…]]`: where PDBs are looked for; with `+` behind what there is, without a path
//! says it. An element is a folder, or `srv*FOLDER…` for symbol stores in folders; servers in the
//! network are not asked. `.reload [/f] [MODULE]`: reads the guest's lists of modules again, and looks for
//! the PDBs of modules that have none.
//!
//! A PDB counts only if its GUID and age are those that the image names.
//!
//! ".sympath (Set Symbol Path)" and ".reload (Reload Module)"; the lines are those of many published
//! sessions of Windows 7's time, the first of them without the target's time and version. That a module "was not
//! found in the image list" is quoted in notes on symbols; no whole session with it was found. WinDbg then tries the
//! name as a file's, which this debugger does not.
//!
//! ```text
//! kd> .sympath srv*symbols
//! Symbol search path is: srv*symbols
//! Expanded Symbol search path is: srv*symbols
//! kd> .reload
//! Loading Kernel Symbols
//! ..
//! Loading User Symbols
//! ....
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::guest::SymbolPath;
use std::fmt::{self, Write};

pub(super) fn run_path(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let adds = arguments.rest().starts_with('+') && arguments.eat("+");
    let text = arguments.rest().trim();
    if !text.is_empty() {
        session.set_symbol_path(match adds {
            true => session.symbol_path().with(text),
            false => SymbolPath::new(text),
        });
    }
    let path = match session.symbol_path().to_string() {
        path if path.is_empty() => "<empty>".to_string(),
        path => path,
    };
    writeln!(out, "Symbol search path is: {path}")?;
    writeln!(out, "Expanded Symbol search path is: {path}")?;
    Ok(Flow::Stay)
}

pub(super) fn run_reload(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    while arguments.peek() == Some('/') {
        let option = arguments.next_word().unwrap_or_default();
        if option != "/f" {
            return Err(ExecuteError::UnknownOption {
                command: ".reload",
                option: option.to_string(),
                known: "/f",
            });
        }
    }
    let module = arguments.next_word();
    arguments.finish()?;
    session.reload_symbols(module);
    if let Some(name) = module {
        let is = |one: &crate::symbols::Module| {
            [one.name(), one.image_name()]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        };
        if !session.modules().iter().any(is) {
            writeln!(out, "\"{name}\" was not found in the image list.")?;
        }
    }
    if module.is_none() {
        let user = session
            .modules()
            .iter()
            .filter(|one| !one.base().is_kernel())
            .count();
        writeln!(out, "Loading Kernel Symbols")?;
        write_dots(out, session.modules().len() - user)?;
        writeln!(out, "Loading User Symbols")?;
        write_dots(out, user)?;
    }
    Ok(Flow::Stay)
}

/// One dot a module, in lines of 64.
fn write_dots(out: &mut dyn Write, count: usize) -> fmt::Result {
    for start in (0..count).step_by(64) {
        writeln!(out, "{}", ".".repeat((count - start).min(64)))?;
    }
    Ok(())
}
