//! `.lines [-e|-d|-t]`: whether `k`, `u`, `ub`, `uf`, `bl` and `ln` show source lines:
//! `-e` enables it, `-d` disables it, `-t` or nothing turns it over. As in the console debuggers it is disabled at
//! first (".lines (Toggle Source Line Support)" in the debugger's manual).
//!
//! `` bp `leaky.c:30` `` sets a breakpoint at a source line, and so does every other expression take
//! `` `[[MODULE!]FILE][:LINE]` ``: FILE may be the end of the path, LINE is decimal, and where it has no code, the next
//! that has counts ("Source Line Syntax"). Of several files with the name the first counts, and of several pieces of
//! code the lowest. That expressions take lines before `-e` is as in WinDbg, which has them on at first, and not as
//! in KD; `-d` ends it.
//!
//! ```text
//! kd> .lines -e
//! Line number information will be loaded
//! kd> k 1
//! Child-SP          RetAddr           Call Site
//! fffff880`04ec1cc8 fffff800`0162c43d nt!DbgBreakPoint
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let shown = match arguments.next_word() {
        None | Some("-t") => !session.shows_source_lines(),
        Some("-e") => true,
        Some("-d") => false,
        Some(_) => return Err(arguments.error(CommandErrorKind::Syntax).into()),
    };
    arguments.finish()?;
    session.show_source_lines(shown);
    let not = if shown { "" } else { "not " };
    writeln!(out, "Line number information will {not}be loaded")?;
    Ok(Flow::Stay)
}
