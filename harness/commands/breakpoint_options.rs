//! What `bp`, `bu`, `bm` and `ba` have in common: a number right behind the name, options, a count of
//! passes, and commands.

use super::ExecuteError;
use super::breakpoint_numbers::parse_number;
use crate::address::Va;
use crate::debugger::breakpoint::{BreakpointOptions, StackDepth};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::expression::{check_grammar, evaluate};
use crate::debugger::{Breakpoint, Session};
use std::fmt::Write;

/// Reads the number, if one is there: no space is between.
pub(super) fn next_number(arguments: &mut Cursor<'_>) -> Result<Option<usize>, ExecuteError> {
    if !arguments.rest().starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    let number = arguments.next_word().and_then(parse_number);
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(arguments.error(CommandErrorKind::Syntax).into()),
    }
}

/// Reads options: `/1`, `/p PROCESS`, `/t THREAD`, `/c DEPTH`, `/C DEPTH`, `/w "EXPRESSION"`. Those of
/// `others` are for the caller, which is told of them.
pub(super) fn next_options(
    session: &Session,
    arguments: &mut Cursor<'_>,
    options: &mut BreakpointOptions,
    others: &str,
) -> Result<String, ExecuteError> {
    let mut found = String::new();
    while arguments.peek() == Some('/') {
        let option = arguments.rest().chars().nth(1).unwrap_or(' ');
        arguments.eat(&format!("/{option}"));
        match option {
            '1' => options.once = true,
            'p' => options.process = Some(Va(next_value(session, arguments)?)),
            't' => options.thread = Some(Va(next_value(session, arguments)?)),
            'c' | 'C' if options.depth.is_none() => {
                let depth = next_value(session, arguments)?;
                options.depth = Some(match option {
                    'c' => StackDepth::Below(depth),
                    _ => StackDepth::Above(depth),
                });
            }
            'w' => {
                let condition = arguments.next_quoted()?;
                let none = || arguments.error(CommandErrorKind::Syntax);
                let condition = condition.ok_or_else(none)?;
                check_grammar(&condition, session)?;
                options.condition = Some(condition);
            }
            other if others.contains(other) => found.push(other),
            _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        }
    }
    Ok(found)
}

/// An expression without spaces: the `/` of the next option would be a division.
fn next_value(session: &Session, arguments: &mut Cursor<'_>) -> Result<u64, ExecuteError> {
    let mut ahead = arguments.clone();
    let Some(word) = ahead.next_word() else {
        return Ok(arguments.next_expression(session)?);
    };
    let value = evaluate(word, session)?;
    *arguments = ahead;
    Ok(value)
}

/// Reads the passes and the commands, to the end.
pub(super) fn finish(
    session: &Session,
    arguments: &mut Cursor<'_>,
    options: &mut BreakpointOptions,
) -> Result<String, ExecuteError> {
    if !matches!(arguments.peek(), None | Some('"')) {
        let passes = arguments.next_expression(session)?;
        options.passes = u32::try_from(passes)
            .map_err(|_| arguments.error(CommandErrorKind::Range))?
            .max(1);
    }
    let command = arguments.next_quoted()?.unwrap_or_default();
    arguments.finish()?;
    Ok(command)
}

/// Sets a breakpoint, and says if that has redefined one.
pub(super) fn set(
    session: &mut Session,
    breakpoint: Breakpoint,
    number: Option<usize>,
    out: &mut dyn Write,
) -> Result<usize, ExecuteError> {
    let (number, redefined) = session.add_breakpoint(breakpoint, number)?;
    if redefined {
        writeln!(out, "breakpoint {number} redefined")?;
    }
    Ok(number)
}
