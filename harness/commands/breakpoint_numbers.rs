//! The numbers that name breakpoints: decimal, separated by spaces or commas; `1-3` for several, `*` for
//! all.

use super::ExecuteError;
use crate::debugger::Session;
use crate::debugger::breakpoint::BREAKPOINT_LIMIT;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::collections::BTreeSet;

/// Reads what is left of a command as numbers.
pub(super) fn next_numbers(
    session: &Session,
    arguments: &mut Cursor<'_>,
) -> Result<BTreeSet<usize>, ExecuteError> {
    let mut numbers = BTreeSet::new();
    if arguments.eat("*") {
        arguments.finish()?;
        numbers.extend(session.breakpoints().iter().map(|one| one.number));
        return Ok(numbers);
    }
    if arguments.at_end() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    while let Some(word) = arguments.next_word() {
        for part in word.split(',').filter(|part| !part.is_empty()) {
            let Some((first, last)) = parse_numbers(part) else {
                return Err(arguments.error(CommandErrorKind::Syntax).into());
            };
            let exists = |number: &usize| {
                let mut all = session.breakpoints().iter();
                all.any(|one| one.number == *number)
            };
            // Of a range nothing is said about those that do not exist.
            let is_range = part.contains('-');
            numbers.extend((first..=last).filter(|one| !is_range || exists(one)));
        }
    }
    Ok(numbers)
}

/// A breakpoint's number.
pub(super) fn parse_number(text: &str) -> Option<usize> {
    let number = text.parse::<usize>().ok();
    number.filter(|one| *one < BREAKPOINT_LIMIT)
}

/// `3` or `3-5`.
fn parse_numbers(text: &str) -> Option<(usize, usize)> {
    match text.split_once('-') {
        Some((first, last)) => Some((parse_number(first)?, parse_number(last)?)),
        None => Some((parse_number(text)?, parse_number(text)?)),
    }
}
