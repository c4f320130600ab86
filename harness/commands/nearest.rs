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
use crate::report::symbols::{SymbolDetail, write_exact_matches, write_nearest};
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
    let rva = near.module.rva(address);
    let symbols = near.module.symbols();
    let found = |symbol| Found {
        module: near.module,
        symbol,
        address,
    };
    let next = rva.and_then(|rva| symbols.iter().find(|symbol| symbol.rva > rva));
    let next = next.map(|next| (near.module.base() + next.rva, found(next).name()));
    let next = next.as_ref().map(|(at, name)| (*at, name.as_str()));
    write_nearest(out, (start, &near.to_string()), next)?;
    let exact = symbols.iter().filter(|symbol| Some(symbol.rva) == rva);
    let exact: Vec<(String, SymbolDetail)> = exact
        .map(|symbol| {
            let one = found(symbol);
            let detail = match one.is_function() {
                true => SymbolDetail::Parameters(one.parameters_text()),
                false => SymbolDetail::NoType,
            };
            (one.name(), detail)
        })
        .collect();
    write_exact_matches(out, &exact)?;
    Ok(Flow::Stay)
}
