//! `ln ADDRESS`: the symbol at or before an address, and the one behind it; symbols exactly there are
//! listed.
//!
//! "ln (List Nearest Symbols)"; the form is that of published sessions: "kd> ln nt!ntcreatefile-1"
//! and "ln nt!ExpNumberOfPagedPools", without the links that later debuggers print above. While
//! `.lines` has source lines shown, the first line is the source line's: `C:\work\seam.cpp(10)+0x9`, as
//! the tests of a program that reads CDB's output have it.
//!
//! ```text
//! kd> ln nt!PoolHitTag+1
//! (fffff800`016530fc)   nt!PoolHitTag+0x1   |  (fffff800`01653100)   nt!KeBugCheckCallbackListHead
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::report::location::shown_line;
use crate::symbols::examine::Found;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = Va(arguments.next_expression_or(session, session.registers().rip)?);
    arguments.finish()?;
    let modules = session.modules();
    let Some(near) = modules.nearest(address) else {
        return Ok(Flow::Stay);
    };
    if let Some(line) = shown_line(session, address) {
        write!(out, "{}({})", line.file, line.line)?;
        let at = near.module.rva(address);
        let start = at.and_then(|at| near.module.lines().start_of(at));
        if let (Some(at), Some(start)) = (at, start)
            && at > start
        {
            write!(out, "+{:#x}", at.0 - start.0)?;
        }
        writeln!(out)?;
    }
    let start = address.wrapping_sub(near.offset.into());
    write!(out, "({start})   {near}")?;
    let rva = near.module.rva(address);
    let symbols = near.module.symbols();
    let next = rva.and_then(|rva| symbols.iter().find(|symbol| symbol.rva > rva));
    if let Some(next) = next {
        let at = near.module.base() + next.rva;
        let next = Found {
            module: near.module,
            symbol: next,
            address: at,
        };
        write!(out, "   |  ({at})   {}", next.name())?;
    }
    writeln!(out)?;
    let exact: Vec<Found<'_>> = symbols
        .iter()
        .filter(|symbol| Some(symbol.rva) == rva)
        .map(|symbol| Found {
            module: near.module,
            symbol,
            address,
        })
        .collect();
    if !exact.is_empty() {
        writeln!(out, "Exact matches:")?;
    }
    for one in exact {
        let what = match one.is_function() {
            true => one.parameters_text(),
            false => "= <no type information>".to_owned(),
        };
        writeln!(out, "    {} {what}", one.name())?;
    }
    Ok(Flow::Stay)
}
