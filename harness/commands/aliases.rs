//! `as NAME TEXT`, `aS NAME TEXT`, `aS NAME "TEXT"`: from now on NAME stands for a text in commands. `ad [/q]
//! NAME`, `ad *` deletes one alias, or all; `al` lists them.
//!
//! | `as`, `aS` | stands for |
//! |---|---|
//! | `NAME TEXT` | the text: with `as` the rest of the line, with `aS` up to a semicolon |
//! | `/x NAME EXPRESSION` | the expression's value |
//! | `/ma`, `/mu NAME ADDRESS` | a string in memory, of ASCII or Unicode characters |
//! | `/msa`, `/msu NAME ADDRESS` | what an `ANSI_STRING` or `UNICODE_STRING` describes |
//! | `/e NAME VARIABLE` | a variable of the host's environment |
//! | `/f NAME FILE` | a file's text |
//! | `/c NAME COMMANDS` | what commands print |
//!
//! A name is replaced where white space, `;`, quotes or the line's ends are on both sides of it, and
//! `${NAME}` anywhere; `${/v:NAME}` protects it. That happens where a line or a block is entered, so a new
//! alias counts from the next one on. A line that begins with `as`, `aS`, `ad` or `al` keeps its names. `r
//! $.u0=TEXT` sets the alias `$u0`; there are ten, which are replaced first, and anywhere.
//!
//! "as, aS (Set Alias)", "ad (Delete Alias)", "al (List Aliases)" and "Using Aliases" in the debugger's manual,
//! which has the listing of `al`, too. For what `ad` and `al` say without an alias no source was found.
//!
//! ```text
//! kd> as Tag nt!PoolHitTag
//! kd> dc Tag l1
//! fffff800`016530fc  ffffff0f                             ....
//! kd> r $.u3=l2
//! kd> aS /x Sum 2+2; .block { dd ${Tag}+${Sum} $u3 }
//! fffff800`01653100  01653100 fffff800
//! kd> al
//!   Alias            Value
//!  -------          -------
//!  Sum              0x4
//!  Tag              nt!PoolHitTag
//! kd> ad Sum; ad *
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::alias::protected_name;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::target_text::TextForm;
use std::fmt::Write;

/// Reads a name that an alias may have.
fn next_name<'a>(arguments: &mut Cursor<'a>) -> Result<&'a str, ExecuteError> {
    let name = arguments.next_word().map(protected_name);
    let name = name.filter(|name| !name.is_empty());
    name.ok_or_else(|| arguments.error(CommandErrorKind::Syntax).into())
}

pub(super) fn run_set<const PHRASE: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let option = match arguments.peek() {
        Some('/') => arguments.next_word().unwrap_or_default(),
        _ => "",
    };
    let name = next_name(arguments)?;
    if ["as", "aS", "ad", "al"]
        .iter()
        .any(|one| name.starts_with(one))
    {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    if arguments.at_end() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let mut flow = Flow::Stay;
    let value = match option {
        "" => text(arguments, PHRASE),
        "/x" => format!("{:#x}", next_number(session, arguments)?),
        "/ma" => next_text(session, arguments, TextForm::Ascii)?,
        "/mu" => next_text(session, arguments, TextForm::Unicode)?,
        "/msa" => next_text(session, arguments, TextForm::AnsiString)?,
        "/msu" => next_text(session, arguments, TextForm::UnicodeString)?,
        "/e" => {
            session.check_files()?;
            let variable = next_name(arguments)?;
            arguments.finish()?;
            // A variable's name has neither, and the host's look-up would not take them.
            let plain = !variable.contains(['=', '\0']);
            let value = plain.then(|| std::env::var(variable).ok()).flatten();
            value.ok_or_else(|| arguments.error(CommandErrorKind::Syntax))?
        }
        "/f" => session.read_text(arguments.rest().trim().as_ref())?,
        "/c" => {
            let (text, ended) = session.capture(arguments.rest())?;
            flow = ended;
            text
        }
        _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
    };
    session.aliases_mut().set(name, &value)?;
    Ok(flow)
}

/// The text that an alias is to stand for.
fn text(arguments: &Cursor<'_>, phrase: bool) -> String {
    let text = arguments.rest().trim_start();
    let inside = text.strip_prefix('"').filter(|_| phrase);
    match inside.and_then(|inside| inside.split_once('"')) {
        Some((inside, _)) => inside.to_string(),
        // In a script file that is run as a block the ends of lines are semicolons.
        None => text.replace('\n', ";"),
    }
}

fn next_number(session: &Session, arguments: &mut Cursor<'_>) -> Result<u64, ExecuteError> {
    let value = arguments.next_expression(session)?;
    arguments.finish()?;
    Ok(value)
}

fn next_text(
    session: &Session,
    arguments: &mut Cursor<'_>,
    form: TextForm,
) -> Result<String, ExecuteError> {
    let address = Va(next_number(session, arguments)?);
    let text = session.target_text(address, form);
    text.map_err(|_| arguments.error(CommandErrorKind::MemoryAccess).into())
}

/// `r $.u0=TEXT`: reads it, if it is that, and says whether it is.
pub(super) fn run_fixed(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
) -> Result<bool, ExecuteError> {
    let mut inside = arguments.clone();
    if !inside.eat("$.u") {
        return Ok(false);
    }
    let digit = inside.rest().chars().next().and_then(|c| c.to_digit(10));
    inside.advance(usize::from(digit.is_some()));
    let (Some(digit), true) = (digit, inside.eat("=")) else {
        return Err(inside.error(CommandErrorKind::Syntax).into());
    };
    let value = inside.rest().trim();
    session.aliases_mut().set_fixed(digit as usize, value)?;
    Ok(true)
}

/// `ad`.
pub(super) fn run_delete(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let quiet = arguments.eat("/q");
    let name = next_name(arguments)?;
    arguments.finish()?;
    if name == "*" {
        session.aliases_mut().clear();
    } else if !session.aliases_mut().remove(name) && !quiet {
        return Err(ExecuteError::NoSuchAlias(name.to_string()));
    }
    Ok(Flow::Stay)
}

/// `al`.
pub(super) fn run_list(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    if session.aliases().iter().next().is_none() {
        writeln!(out, "No aliases")?;
        return Ok(Flow::Stay);
    }
    writeln!(out, "  Alias            Value  ")?;
    writeln!(out, " -------          ------- ")?;
    for (name, value) in session.aliases().iter() {
        writeln!(out, " {name:16} {value} ")?;
    }
    Ok(Flow::Stay)
}
