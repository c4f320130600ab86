//! `.if (CONDITION) { COMMANDS } [.elsif (CONDITION) { COMMANDS }]… [.else { COMMANDS }]`: executes commands
//! if an expression is not 0. `j EXPRESSION 'COMMANDS' ; 'COMMANDS'`: the first ones or the second ones; it
//! takes the rest of the line. `.block { COMMANDS }`: executes them, with the aliases that there are by then.
//!
//! The parentheses may be left out, the braces only in front of `.break`, `.continue` and `.leave`. `.elseif`
//! is `.elsif` by another name. Aliases are replaced where a block is entered.
//!
//! The pages ".if", ".else", ".elsif", ".block" and "j (Execute If - Else)" of the debugger's manual.
//!
//! ```text
//! kd> r $t0 = 5
//! kd> .if (@$t0 > 3) { .echo more } .else { .echo less }
//! more
//! kd> j (@$t0 = 3) '.echo three' ; '.echo another'
//! another
//! kd> aS /x Twice @$t0*2; .block { .echo Twice }
//! 0xa
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::command_line::{JUMPS, next_block, skip_separators};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

/// Reads a condition, and says whether it holds.
pub(super) fn next_condition(
    session: &Session,
    arguments: &mut Cursor<'_>,
) -> Result<bool, ExecuteError> {
    Ok(arguments.next_expression(session)? != 0)
}

pub(super) fn run_if(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    loop {
        let holds = next_condition(session, arguments)?;
        let rest = arguments.rest().trim();
        let jump = JUMPS.iter().find(|jump| rest.eq_ignore_ascii_case(jump));
        let commands = match jump {
            Some(jump) => {
                arguments.next_word();
                jump
            }
            None => next_block(arguments)?,
        };
        if holds {
            return session.run_block(commands, out);
        }
        skip_separators(arguments);
        if arguments.eat(".elsif") || arguments.eat(".elseif") {
            continue;
        }
        if !arguments.eat(".else") {
            arguments.finish()?;
            return Ok(Flow::Stay);
        }
        let commands = next_block(arguments)?;
        arguments.finish()?;
        return session.run_block(commands, out);
    }
}

/// `.else` and the like without an `.if` in front of it.
pub(super) fn run_stray(
    _session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    Err(arguments.error(CommandErrorKind::Syntax).into())
}

/// `.block`.
pub(super) fn run_block(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let commands = next_block(arguments)?;
    arguments.finish()?;
    session.run_block(commands, out)
}

/// `j`.
pub(super) fn run_either(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let holds = next_condition(session, arguments)?;
    let first = next_commands(arguments)?;
    arguments.eat(";");
    let second = next_commands(arguments)?;
    session.run_block(if holds { first } else { second }, out)
}

/// Commands in single quotes, or one that a semicolon ends.
fn next_commands<'a>(arguments: &mut Cursor<'a>) -> Result<&'a str, ExecuteError> {
    let quoted = arguments.peek() == Some('\'');
    let rest = arguments.rest();
    if !quoted {
        let end = rest.find(';').unwrap_or(rest.len());
        arguments.advance(end);
        return Ok(&rest[..end]);
    }
    let Some(end) = rest[1..].find('\'') else {
        arguments.advance(rest.len());
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    };
    arguments.advance(end + 2);
    Ok(&rest[1..1 + end])
}
