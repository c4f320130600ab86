//! `bp[NUMBER] [OPTIONS] [ADDRESS [PASSES]] ["COMMANDS"]`: stops the guest in front of an instruction; with
//! commands, executes them there. `bp ADDRESS "k;g"` shows the stack each time and goes on.
//!
//! `bu …` is the same for a symbol of a module that may come later, and follows it; so does `bp` where the
//! address has no value yet. `bm PATTERN [PASSES] ["COMMANDS"]` sets one on each function that the pattern
//! fits, `bm /d` by address.
//!
//! | option | stops |
//! |---|---|
//! | `/1` | once, and is gone |
//! | `/p PROCESS`, `/t THREAD` | only there, by the addresses of `_EPROCESS`, `_ETHREAD` |
//! | `/c DEPTH`, `/C DEPTH` | only with fewer frames, or more, on the stack |
//! | `/w "EXPRESSION"` | only if it is not 0: a MASM expression, since there is no `dx` here; where it has no value the guest stops, and its error is shown |
//!
//! Without an address it is the current instruction's. PASSES is the number of the pass that stops the guest first. The rules are those of the debugger's
//! manual, "bp, bu, bm (Set Breakpoint)"; the lines of `bm` are its example's.
//!
//! A command that lets the guest go on freely (`g`, `gc`) is the last that is executed: "any command that resumes
//! program execution after a breakpoint (such as g or t) ends the execution of the command list". What is behind one
//! that ends by itself (`gu`, `p`, `pt`, `g ADDRESS` …) is executed at that end, as published scripts and their logs
//! have it: `bp ADDRESS "gu; r rax; gc"` shows what a function returns each time, and its `gc` goes on as the guest
//! did before the breakpoint. Commands that are not executed because the guest stops elsewhere first are told by
//! the debugger's sentence, "Some commands were skipped because …". Turns of a loop (`.for`, `.while`, `.foreach`)
//! do not wait: one that lets the guest go on is the last. The other lines of a script file (`$<`) wait as lines. A
//! step that ends at a breakpoint does not execute its
//! commands, and does not count as a pass.
//!
//! Guest memory does not show the breakpoint. A second one at the same address redefines the first.
//!
//! ```text
//! kd> bp nt!NtClose 2 "r rcx; gc"; bu later!Start; bl
//!  0 e fffff800`01625910     0002 (0002) nt!NtClose "r rcx; gc"
//!  1 eu                      0001 (0001) (later!Start)
//! ```

use super::breakpoint_options::{finish, next_number, next_options, set};
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::breakpoint::BreakpointOptions;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::expression::ExpressionErrorKind;
use crate::debugger::{Breakpoint, Session};
use crate::symbols::wildcard::matches;
use std::fmt::Write;

/// The most functions that a pattern may fit: the project's own limit.
const MATCHES: usize = 256;

pub(super) fn run<const DEFERRED: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let number = next_number(arguments)?;
    let mut options = BreakpointOptions::default();
    next_options(session, arguments, &mut options, "")?;
    let start = arguments.rest();
    let here = matches!(arguments.peek(), None | Some('"'));
    let here = here.then(|| session.registers().rip());
    let address = match here.map_or_else(|| arguments.next_expression(session), |at| Ok(at.0)) {
        Ok(address) => Some(Va(address)),
        Err(error)
            if error.kind == ExpressionErrorKind::Unresolved && names_module(session, start) =>
        {
            arguments.next_word();
            None
        }
        Err(error) => return Err(error.into()),
    };
    let symbol = start[..start.len() - arguments.rest().len()].trim();
    let command = finish(session, arguments, &mut options)?;
    let deferred = (DEFERRED && here.is_none()) || address.is_none();
    if address.is_none() && !DEFERRED {
        writeln!(
            out,
            "Bp expression '{symbol}' could not be resolved, adding deferred bp"
        )?;
    }
    let breakpoint = Breakpoint {
        options,
        resolved: address.is_some(),
        symbol: deferred.then(|| symbol.to_string()),
        ..Breakpoint::new(address.unwrap_or_default(), &command)
    };
    set(session, breakpoint, number, out)?;
    Ok(Flow::Stay)
}

/// Whether an expression is the symbol of a module that is not loaded.
fn names_module(session: &Session, text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default();
    let word = word.strip_prefix('`').unwrap_or(word);
    let named = word.split_once('!').filter(|(module, symbol)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.$".contains(c);
        !module.is_empty() && !symbol.is_empty() && module.chars().all(plain)
    });
    named.is_some_and(|(module, _)| session.modules().by_name(module).is_none())
}

/// `bm`.
pub(super) fn run_matching(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut options = BreakpointOptions::default();
    let others = next_options(session, arguments, &mut options, "ad")?;
    let Some(pattern) = arguments.next_word() else {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    };
    let command = finish(session, arguments, &mut options)?;
    let found = functions(session, pattern, others.contains('a'));
    if found.len() > MATCHES {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    for (address, name) in found {
        let symbol = format!("@!\"{name}\"");
        let breakpoint = Breakpoint {
            options: options.clone(),
            symbol: (!others.contains('d')).then(|| symbol.clone()),
            ..Breakpoint::new(address, &command)
        };
        let (number, _) = session.add_breakpoint(breakpoint, None)?;
        writeln!(out, "{number:3}: {address} {symbol}")?;
    }
    Ok(Flow::Stay)
}

/// The functions that a pattern fits, by address: what lies in sections with code, or anything.
fn functions(session: &Session, pattern: &str, data_too: bool) -> Vec<(Va, String)> {
    let (module, symbol) = pattern.split_once('!').unwrap_or(("*", pattern));
    let mut found = Vec::new();
    for one in session.modules().iter() {
        if !matches(module, one.name()) {
            continue;
        }
        for known in one.symbols().iter() {
            let name = known.display_name();
            let code = one.image().is_none_or(|image| {
                image
                    .section_at(known.rva)
                    .is_some_and(|section| section.executable)
            });
            if matches(symbol, &name) && (code || data_too) && found.len() <= MATCHES {
                found.push((one.base() + known.rva, format!("{}!{name}", one.name())));
            }
        }
    }
    found.sort();
    found.dedup_by_key(|one| one.0);
    found
}
