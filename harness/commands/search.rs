//! `s [-[FLAGS]TYPE] RANGE PATTERN`: finds a pattern in memory, and shows each place in the form of
//! its type. Memory that is not there is skipped, so that a range can be all of the kernel's half.
//!
//! | type | pattern | shown as by |
//! |---|---|---|
//! | `-b` (or none) | bytes, characters in single quotes, strings in double quotes | `db` |
//! | `-w`, `-d`, `-q` | words, doublewords, quadwords; in memory at multiples of their size from the range's start | `dc` and `dq` |
//! | `-a` | a string of ASCII characters | `db` |
//! | `-u` | a string of Unicode characters | words with their characters |
//!
//! The flag `1`, as in `-[1]d`, shows addresses only. A range longer than 256 MB needs `L?`.

use super::display::write_line;
use super::enter::{ascii, latin1, quoted, utf16};
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::range::RangeSyntax;
use crate::debugger::search::search;
use std::fmt::Write;

/// The most places shown. WinDbg goes on until someone breaks in.
pub const HIT_LIMIT: usize = 0x1_0000;

/// What a pattern is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Byte,
    Word,
    DoubleWord,
    QuadWord,
    Ascii,
    Unicode,
}

impl Type {
    fn size(self) -> u64 {
        match self {
            Type::Byte | Type::Ascii => 1,
            Type::Word | Type::Unicode => 2,
            Type::DoubleWord => 4,
            Type::QuadWord => 8,
        }
    }
}

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (ty, addresses_only) = options(arguments)?;
    let syntax = RangeSyntax {
        // lengths are in bytes, whatever the type: the manual's `s -d 0012ff40 L20 'VUTS'`
        // searches 0012ff40 to 0012ff5f
        element_size: 1,
        default_count: None,
        default_start: None,
    };
    let range = arguments.next_range(session, syntax)?;
    let pattern = pattern(session, arguments, ty)?;
    let mut hits = Vec::new();
    let mut too_many = None;
    search(
        session.lab().machine(),
        range,
        &pattern,
        ty.size(),
        &mut |at| {
            if hits.len() == HIT_LIMIT {
                too_many = Some(at);
                return false;
            }
            hits.push(at);
            true
        },
    )?;
    for at in hits {
        if addresses_only {
            writeln!(out, "0x{at}")?;
        } else {
            write_hit(session, out, ty, at)?;
        }
    }
    match too_many {
        Some(at) => Err(ExecuteError::TooManyHits { at }),
        None => Ok(Flow::Stay),
    }
}

/// Reads `-d` or `-[1]d`.
fn options(arguments: &mut Cursor<'_>) -> Result<(Type, bool), ExecuteError> {
    if arguments.peek() != Some('-') {
        return Ok((Type::Byte, false));
    }
    let word = arguments.next_word().unwrap_or_default();
    let mut option = word.strip_prefix('-').unwrap_or_default();
    let mut addresses_only = false;
    if let Some(rest) = option.strip_prefix("[1]") {
        (addresses_only, option) = (true, rest);
    }
    let ty = match option {
        "b" => Type::Byte,
        "w" => Type::Word,
        "d" => Type::DoubleWord,
        "q" => Type::QuadWord,
        "a" => Type::Ascii,
        "u" => Type::Unicode,
        "" if addresses_only => Type::Byte,
        _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
    };
    Ok((ty, addresses_only))
}

/// Reads the values or the string to search for.
fn pattern(
    session: &Session,
    arguments: &mut Cursor<'_>,
    ty: Type,
) -> Result<Vec<u8>, ExecuteError> {
    let mut bytes = Vec::new();
    if matches!(ty, Type::Ascii | Type::Unicode) {
        // The quotes may be left out.
        let text = match arguments.peek() {
            Some('"') => quoted(arguments)?,
            _ => arguments.next_word().unwrap_or_default(),
        };
        arguments.finish()?;
        bytes = match ty {
            Type::Unicode => utf16(text),
            _ => latin1(text).unwrap_or_default(),
        };
    } else {
        while !arguments.at_end() {
            if ty == Type::Byte && arguments.peek() == Some('"') {
                bytes.extend(ascii(arguments)?);
            } else {
                let value = arguments.next_expression(session)?;
                bytes.extend_from_slice(&value.to_le_bytes()[..ty.size() as usize]);
            }
        }
    }
    if bytes.is_empty() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    Ok(bytes)
}

/// A line of 16 bytes from the place on.
fn write_hit(session: &Session, out: &mut dyn Write, ty: Type, at: Va) -> Result<(), ExecuteError> {
    match ty {
        Type::Byte | Type::Ascii => write_line::<1, true>(session, out, at, 16),
        Type::Word | Type::Unicode => write_line::<2, true>(session, out, at, 8),
        Type::DoubleWord => write_line::<4, true>(session, out, at, 4),
        Type::QuadWord => write_line::<8, false>(session, out, at, 2),
    }
}
