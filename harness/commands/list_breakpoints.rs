//! `bl [/L] [NUMBER…]`: the breakpoints: number, `e` for enabled or `d` for disabled, address, for `ba` the kind of
//! access and the size, the passes left and in all, symbol, and commands. A breakpoint whose symbol is in no
//! module yet has a `u` and no address, and its symbol stands in parentheses. A second line has the process
//! and thread that it is for. While `.lines` has source lines shown, a breakpoint's line stands behind its
//! address, in brackets; not with `/L`.
//!
//! "bl (Breakpoint List)" in the manual says what the columns are; kernel sessions published by their
//! authors show `  [path @ line]` behind the address, `Match process data` for `bp /p`, and ` w 4 ` between address and passes. For the options
//! `/c`, `/C`, `/w` and `/1` no output was found, and nothing is shown.
//!
//! ```text
//! kd> bp nt!NtClose "k;g"
//! kd> bl
//!  0 e fffff800`01625910     0001 (0001) nt!NtClose "k;g"
//! ```

use super::breakpoint_numbers::next_numbers;
use super::{ExecuteError, Flow};
use crate::debugger::breakpoint::BreakpointKind;
use crate::debugger::cursor::Cursor;
use crate::debugger::{Breakpoint, Session};
use crate::machine::DataAccess;
use crate::report::location::shown_line;
use std::fmt::{self, Write};

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let lines = !arguments.eat("/L") && session.shows_source_lines();
    let chosen = match arguments.at_end() {
        true => None,
        false => Some(next_numbers(session, arguments)?),
    };
    for breakpoint in session.breakpoints().iter() {
        let shown = |numbers: &std::collections::BTreeSet<_>| numbers.contains(&breakpoint.number);
        if chosen.as_ref().is_none_or(shown) {
            write_breakpoint(session, breakpoint, lines, out)?;
        }
    }
    Ok(Flow::Stay)
}

fn write_breakpoint(
    session: &Session,
    one: &Breakpoint,
    lines: bool,
    out: &mut dyn Write,
) -> fmt::Result {
    let status = if one.enabled { 'e' } else { 'd' };
    write!(out, "{:2} {status}", one.number)?;
    if one.resolved {
        write!(out, " {}", one.address)?;
        let line = lines.then(|| shown_line(session, one.address)).flatten();
        if let Some(line) = line {
            write!(out, "  [{line}]")?;
        }
    } else {
        write!(out, "u{:17}", "")?;
    }
    match kind(&one.kind) {
        Some((letter, size)) => write!(out, " {letter} {size} ")?,
        None => write!(out, "     ")?,
    }
    let passes = one.options.passes.max(1);
    write!(out, "{:04x} ({passes:04x})", one.passes_left)?;
    let near = session.modules().nearest(one.address);
    let symbol = match &one.symbol {
        Some(symbol) if !one.resolved => format!("({symbol})"),
        _ => near.map(|near| near.to_string()).unwrap_or_default(),
    };
    write!(out, " {symbol}")?;
    if !one.command.is_empty() {
        write!(out, " \"{}\"", one.command)?;
    }
    writeln!(out)?;
    let matched = [
        ("thread", one.options.thread),
        ("process", one.options.process),
    ];
    if matched.iter().any(|(_, data)| data.is_some()) {
        write!(out, "   ")?;
        for (what, data) in matched {
            if let Some(data) = data {
                write!(out, "  Match {what} data {data}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn kind(kind: &BreakpointKind) -> Option<(char, u64)> {
    match kind {
        BreakpointKind::Code => None,
        BreakpointKind::Execute { size } => Some(('e', *size)),
        BreakpointKind::Data { access, size } => {
            let letter = match access {
                DataAccess::Write => 'w',
                DataAccess::ReadWrite => 'r',
                DataAccess::Port => 'i',
            };
            Some((letter, *size))
        }
    }
}
