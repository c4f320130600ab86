//! `x [OPTIONS] MODULE!SYMBOL`: the symbols that fit a pattern, with their addresses; both names may have
//! wildcards: `x nt!Ex*Pool*`. A variable whose type is known is shown with its value.
//!
//! | option | |
//! |---|---|
//! | `/0`, `/1`, `/2` | the address only, the name only, both only |
//! | `/v` | where the symbol is from, whether it is a function or data, and its size |
//! | `/t` | the type in front of the name |
//! | `/q` | names in quotes, as expressions take them |
//! | `/f`, `/d` | functions only, data only |
//! | `/s SIZE` | symbols of that size, and those whose size is not known |
//! | `/a`, `/A`, `/n`, `/N`, `/z`, `/Z` | by address, name or size, ascending or descending |
//! | `/p` | no space in front of a function's parenthesis |
//!
//! "x (Examine Symbols)" in the manual; the forms for symbols without types are those of published
//! kernel sessions: ``fffff803`eb4f7200 nt!KiServiceTable (<no parameter info>)`` and
//! ``fffff805`28e51a80 nt!PsActiveProcessHead = <no type information>``. A function's parameters
//! are shown as far as the PDB tells them. Without a `!` nothing fits: local variables are `dv`'s. What is said
//! of a module that does not exist is as on a page about missing symbols ("x CTest!*"); a pattern for modules
//! that fits none finds nothing. That options behind the pattern are refused is the project's own.
//!
//! ```text
//! kd> x nt!PoolHit*
//! fffff800`016530fc nt!PoolHitTag = 0xffffff0f
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::memory::ReadMemory;
use crate::report::symbols::{Origin, SymbolDetail, SymbolRow, write_symbol};
use crate::symbols::SymbolKind;
use crate::symbols::examine::Found;
use crate::symbols::types::{Shape, Type};
use std::cmp::Reverse;
use std::fmt::Write;

/// The options as they were typed.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    /// 0, 1 or 2.
    columns: Option<char>,
    verbose: bool,
    types: bool,
    quoted: bool,
    functions: bool,
    data: bool,
    tight: bool,
    size: Option<u64>,
    order: Option<char>,
}

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = read_options(session, arguments)?;
    let pattern = match arguments.at_end() {
        true => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        false => next_pattern(session, arguments)?,
    };
    let mut found = session.modules().examine(pattern);
    found.retain(|one| {
        let kind = match (options.functions, options.data) {
            (true, false) => one.is_function(),
            (false, true) => !one.is_function(),
            _ => true,
        };
        let size = one.size();
        kind && (options
            .size
            .is_none_or(|wanted| size == 0 || size == wanted))
    });
    match options.order {
        Some('a') => found.sort_by_key(|one| one.address),
        Some('A') => found.sort_by_key(|one| Reverse(one.address)),
        Some('n') => found.sort_by_cached_key(Found::name),
        Some('N') => found.sort_by_cached_key(|one| Reverse(one.name())),
        Some('z') => found.sort_by_cached_key(Found::size),
        Some('Z') => found.sort_by_cached_key(|one| Reverse(one.size())),
        _ => {}
    }
    for one in &found {
        write_found(session, out, options, one)?;
    }
    Ok(Flow::Stay)
}

/// Reads the pattern, which may have spaces in it. Options stand in front of it.
fn next_pattern<'a>(
    session: &Session,
    arguments: &mut Cursor<'a>,
) -> Result<&'a str, ExecuteError> {
    let pattern = arguments.rest().trim_end();
    let mut ahead = arguments.clone();
    while let Some(word) = ahead.next_word() {
        if word.starts_with('/') && word.len() > 1 {
            return Err(ahead.error(CommandErrorKind::ExtraCharacter).into());
        }
    }
    if let Some((module, _)) = pattern.split_once('!')
        && !module.contains(['*', '?', '[', '#', '+'])
        && session.modules().by_name(module.trim()).is_none()
    {
        // The caret is below the exclamation mark, the text ends in front of it.
        arguments.advance(module.len() + 1);
        let mut error = arguments.error(CommandErrorKind::Unresolved);
        let quoted = error.command.find('!').unwrap_or(error.command.len());
        error.command.truncate(quoted);
        return Err(error.into());
    }
    arguments.advance(pattern.len());
    Ok(pattern)
}

fn read_options(session: &Session, arguments: &mut Cursor<'_>) -> Result<Options, ExecuteError> {
    let mut options = Options::default();
    while arguments.peek() == Some('/') {
        let word = arguments.next_word().unwrap_or_default();
        match &word[1..] {
            "0" | "1" | "2" => options.columns = word.chars().nth(1),
            "v" => options.verbose = true,
            "t" => options.types = true,
            "q" => options.quoted = true,
            "f" => options.functions = true,
            "d" => options.data = true,
            "p" => options.tight = true,
            "a" | "A" | "n" | "N" | "z" | "Z" => options.order = word.chars().nth(1),
            "s" => {
                // a word of its own, or the next option's `/` would divide it
                let size = arguments.next_word().unwrap_or_default();
                options.size = Some(Cursor::new(size).next_expression(session)?);
            }
            _ => {
                return Err(ExecuteError::UnknownOption {
                    command: "x",
                    option: word.to_string(),
                    known: "/0 /1 /2 /a /A /d /f /n /N /p /q /s SIZE /t /v /z /Z, each a word of its own",
                });
            }
        }
    }
    Ok(options)
}

fn write_found(
    session: &Session,
    out: &mut dyn Write,
    options: Options,
    one: &Found<'_>,
) -> Result<(), ExecuteError> {
    let name = match options.quoted {
        true => format!("@!\"{}\"", one.name()),
        false => one.name(),
    };
    match options.columns {
        Some('0') => return Ok(writeln!(out, "{}", one.address)?),
        Some('1') => return Ok(writeln!(out, "{name}")?),
        Some(_) => return Ok(writeln!(out, "{} {name}", one.address)?),
        None => {}
    }
    let ty = one.ty();
    let origin = options.verbose.then(|| Origin {
        private: one.symbol.kind == SymbolKind::Procedure && one.module.symbol_source().is_pdb(),
        function: one.is_function(),
        size: one.size(),
    });
    let type_name = options.types.then(|| match ty {
        Some(ty) => ty.declared_name(),
        None => "<NoType>".to_string(),
    });
    let detail = match ty {
        Some(ty) => SymbolDetail::Value(value(session, one, ty)),
        None if !one.is_function() => SymbolDetail::NoType,
        None if options.tight => SymbolDetail::TightParameters(one.parameters_text()),
        None => SymbolDetail::Parameters(one.parameters_text()),
    };
    let row = SymbolRow {
        address: one.address,
        origin,
        type_name,
        name,
        detail,
    };
    Ok(write_symbol(out, &row)?)
}

/// A number's value; of what is no number its type.
fn value(session: &Session, one: &Found<'_>, ty: Type<'_>) -> String {
    let number = |size: u64| {
        let mut bytes = [0; 8];
        let part = bytes.get_mut(..size as usize)?;
        session.lab().machine().read(one.address, part).ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let text = match ty.shape() {
        Ok(Shape::Pointer { size, .. }) => {
            number(size).map(|value| format!("0x{:08x}`{:08x}", value >> 32, value as u32))
        }
        Ok(Shape::Basic(_) | Shape::Enumeration(_)) => {
            let size = ty.size().unwrap_or(0);
            number(size).map(|value| format!("{value:#x}"))
        }
        _ => return ty.declared_name(),
    };
    text.unwrap_or_else(|| "????".to_string())
}
