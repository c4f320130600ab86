//! `bl`: the breakpoints: number, `e` for enabled, address, pass count, symbol, and commands.

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    for breakpoint in session.breakpoints().iter() {
        let near = session.modules().nearest(breakpoint.address);
        let symbol = near.map(|near| near.to_string()).unwrap_or_default();
        write!(
            out,
            "{:2} e {}     0001 (0001) {symbol}",
            breakpoint.number, breakpoint.address
        )?;
        if !breakpoint.command.is_empty() {
            write!(out, " \"{}\"", breakpoint.command)?;
        }
        writeln!(out)?;
    }
    Ok(Flow::Stay)
}
