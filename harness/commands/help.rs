//! `.hh COMMAND`: a command's page, with an example. `.hh`, `.help`: the commands' names, of `.help` those that
//! start with a point. Of commands of WinDbg that this target cannot have `.hh` says what there is in their place, as
//! they do themselves.
//!
//! ".hh (Open HTML Help File)" and ".help (Meta-Command Help)" in the debugger's manual, whose window and whose
//! lines these are not.
//!
//! ```text
//! kd> .help
//! .block .break .bugcheck .catch .cls .continue .cxr .do .echo .effmach .else
//! .elseif .elsif .exr .for .foreach .formats .frame .help .hh .if .kframes
//! .lastevent .leave .lines .logappend .logclose .logfile .logopen .printf
//! .process .readmem .reload .sympath .thread .time .trap .while .writemem
//! ```

use super::pages::page;
use super::{ExecuteError, Flow, absent_command, name_of, names};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::{self, Write};

pub(super) fn run<const META: bool>(
    _session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let name = arguments.rest().trim();
    if name.is_empty() {
        write_names(out, names().filter(|name| !META || name.starts_with('.')))?;
        return Ok(Flow::Stay);
    }
    if let Some(sentence) = absent_command(name) {
        writeln!(out, "{sentence}")?;
        return Ok(Flow::Stay);
    }
    let found = page(name).or_else(|| page(name_of(name)?));
    let found = found.ok_or_else(|| ExecuteError::NoPage(name.to_string()))?;
    out.write_str(&found.plain_text())?;
    Ok(Flow::Stay)
}

/// Writes names in lines of at most 76 characters.
fn write_names(out: &mut dyn Write, names: impl Iterator<Item = &'static str>) -> fmt::Result {
    let mut column = 0;
    for name in names {
        if column > 0 && column + 1 + name.len() > 76 {
            writeln!(out)?;
            column = 0;
        }
        if column > 0 {
            write!(out, " ")?;
            column += 1;
        }
        write!(out, "{name}")?;
        column += name.len();
    }
    writeln!(out)
}
