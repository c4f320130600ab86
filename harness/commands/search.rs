//! `s [-[FLAGS]TYPE] RANGE PATTERN`: finds a pattern in memory, and shows each place in the form of
//! its type. Memory that is not there is skipped, so that a range can be all of the kernel's half.
//!
//! | type | pattern | shown as by |
//! |---|---|---|
//! | `-b` (or none) | bytes, characters in single quotes, strings in double quotes | `db` |
//! | `-w`, `-d`, `-q` | words, doublewords, quadwords; in memory at multiples of their size from the range's start | `dc` and `dq` |
//! | `-a` | a string of ASCII characters | `db` |
//! | `-u` | a string of Unicode characters | words with their characters |
//! | `-sa`, `-su` | none: any string of printable characters, in one byte or two each | by `da` |
//!
//! Flags stand in brackets in front of the type, as in `-[1wl4]sa`. A range longer than 256 MB needs
//! `L?`.
//!
//! | flag | |
//! |---|---|
//! | `1` | shows addresses only |
//! | `s`, `sn COUNT` | keeps the places, 400 (hexadecimal) or as many as said |
//! | `r` | searches the places kept last, and not the range |
//! | `lCOUNT` | strings of so many characters or more; 3 if nothing is said |
//! | `w` | only memory that may be written |
//!
//! `-v`, which finds objects by their virtual function tables, is not there.
//!
//! ```text
//! kd> s -d nt!PoolHitTag-10 l20 ffffff0f
//! fffff800`016530fc  ffffff0f 01653100 fffff800 01653100  .....1e......1e.
//! ```

use super::display::write_line;
use super::enter::{ascii, latin1, quoted, utf16};
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::elements::Space;
use crate::debugger::range::{AddressRange, RangeSyntax};
use crate::debugger::search::search;
use crate::debugger::search_strings::search_strings;
use crate::debugger::string::CharacterSize;
use crate::memory::ReadMemory;
use crate::report::memory::Shape;
use std::fmt::Write;

/// The most places shown. WinDbg goes on until someone breaks in.
pub const HIT_LIMIT: usize = 0x1_0000;

/// The places kept if nothing is said.
const DEFAULT_KEPT: u64 = 1024;
/// Characters of a string in a line.
const STRING_COLUMNS: usize = 32;

/// What a pattern is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Byte,
    Word,
    DoubleWord,
    QuadWord,
    Ascii,
    Unicode,
    AnyAscii,
    AnyUnicode,
}

/// What stands between the brackets.
#[derive(Clone, Copy, Debug)]
struct Flags {
    addresses_only: bool,
    /// How many places to keep.
    keep: Option<u64>,
    among_kept: bool,
    writable_only: bool,
    least: u64,
}

impl Default for Flags {
    fn default() -> Flags {
        Flags {
            addresses_only: false,
            keep: None,
            among_kept: false,
            writable_only: false,
            least: 3,
        }
    }
}

impl Type {
    fn size(self) -> u64 {
        match self {
            Type::Byte | Type::Ascii | Type::AnyAscii => 1,
            Type::Word | Type::Unicode | Type::AnyUnicode => 2,
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
    let (ty, flags) = options(session, arguments)?;
    // lengths are in bytes, whatever the type: the manual's `s -d 0012ff40 L20 'VUTS'` searches
    // 0012ff40 to 0012ff5f
    let range = arguments.next_range(session, RangeSyntax::bytes())?;
    if matches!(ty, Type::AnyAscii | Type::AnyUnicode) {
        arguments.finish()?;
        return any_strings(session, out, ty, flags, range);
    }
    let pattern = pattern(session, arguments, ty)?;
    let mut hits = Vec::new();
    let mut too_many = None;
    let machine = session.lab().machine();
    let mut hit = |at: Va| {
        let is_writable = || machine.translation(at).is_ok_and(|page| page.write);
        if flags.writable_only && !is_writable() {
            return true;
        }
        if hits.len() == HIT_LIMIT {
            too_many = Some(at);
            return false;
        }
        hits.push(at);
        true
    };
    if flags.among_kept {
        let mut bytes = vec![0; pattern.len()];
        for &at in &session.state.saved_hits {
            if machine.read(at, &mut bytes).is_ok() && bytes == pattern && !hit(at) {
                break;
            }
        }
    } else {
        search(machine, range, &pattern, ty.size(), &mut hit)?;
    }
    for &at in &hits {
        if flags.addresses_only {
            writeln!(out, "0x{at}")?;
        } else {
            write_hit(session, out, ty, at)?;
        }
    }
    keep(session, arguments, flags, hits)?;
    match too_many {
        Some(at) => Err(ExecuteError::TooManyHits { at }),
        None => Ok(Flow::Stay),
    }
}

/// Keeps the places, if that is asked for.
fn keep(
    session: &mut Session,
    arguments: &Cursor<'_>,
    flags: Flags,
    mut hits: Vec<Va>,
) -> Result<(), ExecuteError> {
    let Some(limit) = flags.keep else {
        return Ok(());
    };
    let overflows = hits.len() as u64 > limit;
    hits.truncate(limit as usize);
    session.state.saved_hits = hits;
    match overflows {
        true => Err(arguments.error(CommandErrorKind::Overflow).into()),
        false => Ok(()),
    }
}

/// `-sa` and `-su`.
fn any_strings(
    session: &mut Session,
    out: &mut dyn Write,
    ty: Type,
    flags: Flags,
    range: AddressRange,
) -> Result<Flow, ExecuteError> {
    let size = match ty {
        Type::AnyUnicode => CharacterSize::Wide,
        _ => CharacterSize::Byte,
    };
    let machine = session.lab().machine();
    let mut hits = Vec::new();
    let mut too_many = None;
    let least = usize::try_from(flags.least).unwrap_or(usize::MAX);
    search_strings(machine, range, size, least, &mut |at, text| {
        if flags.writable_only && !machine.translation(at).is_ok_and(|page| page.write) {
            return true;
        }
        if hits.len() == HIT_LIMIT {
            too_many = Some(at);
            return false;
        }
        hits.push((at, text.to_string()));
        true
    })?;
    for (at, text) in hits {
        if flags.addresses_only {
            writeln!(out, "0x{at}")?;
            continue;
        }
        let mut place = at;
        let characters: Vec<char> = text.chars().collect();
        for line in characters.chunks(STRING_COLUMNS) {
            let line: String = line.iter().collect();
            writeln!(out, "{place}  \"{line}\"")?;
            place = place.wrapping_add(STRING_COLUMNS as u64 * size.bytes());
        }
    }
    match too_many {
        Some(at) => Err(ExecuteError::TooManyHits { at }),
        None => Ok(Flow::Stay),
    }
}

/// Reads `-d` or `-[1]d`.
fn options(session: &Session, arguments: &mut Cursor<'_>) -> Result<(Type, Flags), ExecuteError> {
    let mut flags = Flags::default();
    if arguments.peek() != Some('-') {
        return Ok((Type::Byte, flags));
    }
    arguments.eat("-");
    let bracket = arguments
        .rest()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    if let Some((inside, _)) = bracket {
        arguments.eat(&arguments.rest()[..inside.len() + 2]);
        read_flags(session, arguments, inside, &mut flags)?;
    }
    let rest = arguments.rest();
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let ty = match &rest[..end] {
        "b" => Type::Byte,
        "w" => Type::Word,
        "d" => Type::DoubleWord,
        "q" => Type::QuadWord,
        "a" => Type::Ascii,
        "u" => Type::Unicode,
        "sa" => Type::AnyAscii,
        "su" => Type::AnyUnicode,
        "" if bracket.is_some() => Type::Byte,
        other => {
            arguments.eat(other);
            return Err(arguments.error(CommandErrorKind::Syntax).into());
        }
    };
    arguments.eat(&rest[..end]);
    Ok((ty, flags))
}

/// Reads what is between the brackets: letters, `n` and `l` with a number behind them.
fn read_flags(
    session: &Session,
    arguments: &Cursor<'_>,
    inside: &str,
    flags: &mut Flags,
) -> Result<(), ExecuteError> {
    let syntax = || ExecuteError::from(arguments.error(CommandErrorKind::Syntax));
    let mut rest = inside;
    while let Some(flag) = rest.chars().next() {
        rest = &rest[flag.len_utf8()..];
        let mut number = || {
            let mut cursor = Cursor::new(rest);
            let end = rest
                .trim_start()
                .find(|c: char| !c.is_ascii_hexdigit() && c != 'x')
                .map_or(rest.len(), |end| end + rest.len() - rest.trim_start().len());
            let value = cursor.next_expression(session).map_err(|_| syntax())?;
            rest = &rest[end..];
            Ok::<u64, ExecuteError>(value)
        };
        match flag {
            '1' => flags.addresses_only = true,
            's' => flags.keep = Some(flags.keep.unwrap_or(DEFAULT_KEPT)),
            'r' => flags.among_kept = true,
            'w' => flags.writable_only = true,
            'n' => flags.keep = Some(number()?.min(HIT_LIMIT as u64)),
            'l' => flags.least = number()?,
            _ => return Err(syntax()),
        }
    }
    match flags.keep.is_some() && flags.among_kept {
        true => Err(syntax()),
        false => Ok(()),
    }
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
    let shape = Shape::new(ty.size(), ty != Type::QuadWord);
    let line = AddressRange {
        start: at,
        bytes: 16,
    };
    write_line(session, out, Space::Virtual, shape, line)?;
    Ok(())
}
