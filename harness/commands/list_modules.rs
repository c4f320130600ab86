//! `lm`: the modules loaded: first byte, the byte behind the last, name, and where its symbols come
//! from.

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::symbols::SymbolSource;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    writeln!(out, "start             end                 module name")?;
    for module in session.modules().iter() {
        let source = match module.symbol_source() {
            SymbolSource::Pdb => "(pdb symbols)",
            SymbolSource::Export => "(export symbols)",
            SymbolSource::None => "(no symbols)",
        };
        writeln!(
            out,
            "{} {}   {:<10} {source}",
            module.base(),
            module.end(),
            module.name()
        )?;
    }
    Ok(Flow::Stay)
}
