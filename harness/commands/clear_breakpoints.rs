//! `bc NUMBER…` and `bc *`: removes breakpoints. Numbers are decimal; `1-3` and `1,3` name several.

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::breakpoint::BREAKPOINT_LIMIT;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::collections::BTreeSet;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut numbers = BTreeSet::new();
    if arguments.eat("*") {
        arguments.finish()?;
        numbers.extend(session.breakpoints().iter().map(|one| one.number));
    } else {
        if arguments.at_end() {
            return Err(arguments.error(CommandErrorKind::Syntax).into());
        }
        while let Some(word) = arguments.next_word() {
            for part in word.split(',').filter(|part| !part.is_empty()) {
                let Some((first, last)) = parse_numbers(part) else {
                    return Err(arguments.error(CommandErrorKind::Syntax).into());
                };
                numbers.extend(first..=last);
            }
        }
    }
    for number in numbers {
        if session.clear_breakpoint(number)?.is_none() {
            writeln!(out, "breakpoint {number} does not exist")?;
        }
    }
    Ok(Flow::Stay)
}

/// `3` or `3-5`.
fn parse_numbers(text: &str) -> Option<(usize, usize)> {
    let number = |text: &str| {
        text.parse::<usize>()
            .ok()
            .filter(|one| *one < BREAKPOINT_LIMIT)
    };
    match text.split_once('-') {
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => Some((number(text)?, number(text)?)),
    }
}
