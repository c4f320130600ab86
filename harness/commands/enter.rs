//! `eb`, `ew`, `ed`, `eq`, `ep ADDRESS VALUE…`: write bytes, words, doublewords, quadwords or
//! pointers to memory, with spaces between them. A character constant is a number, its first
//! character the highest byte: `ed nt!PoolHitTag '2aeL'` sets the tag `Lea2`. `eb` takes strings in
//! double quotes too.
//!
//! A value has to fit, as a number without a sign or as one with it: `eb` takes 0 to ff, and -80 to
//! -1 in 64 bits.
//!
//! `ea`, `eza`, `eu`, `ezu ADDRESS "STRING"`: write a string of ASCII or Unicode characters, those
//! with `z` with a zero behind it. Escapes have no meaning in the string.
//!
//! `eD`, `ef ADDRESS NUMBER…`: write floating-point numbers of 64 or 32 bits, such as `1999.99` and
//! `-1e-7`.
//!
//! `e ADDRESS VALUE…` is the last of these commands again; at first it is `eb`. Without values WinDbg asks for
//! them one by one; here that is an error.
//!
//! Code written runs as written at once: `eb ADDRESS 90` makes an `int 3` a `nop`. A line that does
//! not parse changes nothing.
//!
//! ```text
//! kd> ed nt!PoolHitTag '2aeL'; dc nt!PoolHitTag l1
//! fffff800`016530fc  3261654c                             Lea2
//! ```

use super::{ExecuteError, Flow, run_named};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::memory::ReadMemory;
use std::fmt::Write;

/// Writes values of `SIZE` bytes. All of them are read, and all of their places are looked at,
/// before the first is written: a line that fails changes nothing.
pub(super) fn run<const SIZE: usize>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = next_place(session, arguments)?;
    let mut bytes = Vec::new();
    loop {
        if SIZE == 1 && arguments.peek() == Some('"') {
            bytes.extend(ascii(arguments)?);
        } else {
            let value = arguments.next_expression(session)?;
            if !fits::<SIZE>(value) {
                return Err(arguments.error(CommandErrorKind::Overflow).into());
            }
            bytes.extend_from_slice(&value.to_le_bytes()[..SIZE]);
        }
        separated(arguments)?;
        if arguments.at_end() {
            break;
        }
    }
    write(session, arguments, address, &bytes)?;
    session.state.enter = match SIZE {
        1 => "eb",
        2 => "ew",
        4 => "ed",
        _ => "eq",
    };
    Ok(Flow::Stay)
}

/// `e`: the last of the commands again.
pub(super) fn run_again(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    run_named(session.state.enter, session, arguments, out)
}

/// The address, behind which values follow.
fn next_place(session: &Session, arguments: &mut Cursor<'_>) -> Result<Va, ExecuteError> {
    let address = Va(arguments.next_expression(session)?);
    separated(arguments)?;
    values_follow(arguments)?;
    Ok(address)
}

/// Checks that there are values.
pub(super) fn values_follow(arguments: &mut Cursor<'_>) -> Result<(), ExecuteError> {
    match arguments.at_end() {
        true => Err(ExecuteError::ValuesNeeded),
        false => Ok(()),
    }
}

/// Whether `SIZE` bytes hold a value, without a sign or with one.
pub(super) fn fits<const SIZE: usize>(value: u64) -> bool {
    let unused = 64 - 8 * SIZE as u32;
    let (unsigned, signed) = (value, value as i64);
    unsigned << unused >> unused == unsigned || signed << unused >> unused == signed
}

/// Checks that a space follows what has been read, or nothing: `1.5` is no number, and not the
/// numbers `1`, `.` (the current address) and `5` either.
pub(super) fn separated(arguments: &mut Cursor<'_>) -> Result<(), ExecuteError> {
    let next = arguments.rest().chars().next();
    match next.is_none_or(char::is_whitespace) {
        true => Ok(()),
        false => Ok(arguments.finish()?),
    }
}

/// Writes floating-point numbers of `SIZE` bytes.
pub(super) fn run_float<const SIZE: usize>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = next_place(session, arguments)?;
    let mut bytes = Vec::new();
    loop {
        let word = arguments.next_word().unwrap_or_default();
        // Rust knows the words inf and nan, the debugger's numbers are digits.
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        let value = word.parse::<f64>().ok();
        let value = value.filter(|value| is_number && value.is_finite());
        let value = value.ok_or_else(|| arguments.error(CommandErrorKind::Syntax))?;
        if SIZE == 8 {
            bytes.extend(value.to_le_bytes());
        } else if (value as f32).is_finite() {
            bytes.extend((value as f32).to_le_bytes());
        } else {
            return Err(arguments.error(CommandErrorKind::Overflow).into());
        }
        if arguments.at_end() {
            break;
        }
    }
    write(session, arguments, address, &bytes)?;
    session.state.enter = if SIZE == 4 { "ef" } else { "eD" };
    Ok(Flow::Stay)
}

/// Writes a string, of 16-bit characters if `WIDE`, with a zero behind it if `TERMINATED`.
pub(super) fn run_string<const WIDE: bool, const TERMINATED: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = Va(arguments.next_expression(session)?);
    let mut bytes = if WIDE {
        utf16(quoted(arguments)?)
    } else {
        ascii(arguments)?
    };
    arguments.finish()?;
    if TERMINATED {
        bytes.extend(&[0, 0][..if WIDE { 2 } else { 1 }]);
    }
    write(session, arguments, address, &bytes)?;
    session.state.enter = match (WIDE, TERMINATED) {
        (false, false) => "ea",
        (false, true) => "eza",
        (true, false) => "eu",
        (true, true) => "ezu",
    };
    Ok(Flow::Stay)
}

fn write(
    session: &mut Session,
    arguments: &Cursor<'_>,
    address: Va,
    bytes: &[u8],
) -> Result<(), ExecuteError> {
    let mut before = vec![0; bytes.len()];
    let machine = session.lab().machine();
    machine
        .read(address, &mut before)
        .and_then(|()| session.write(address, bytes))
        .map_err(|_| arguments.error(CommandErrorKind::MemoryAccess))?;
    Ok(())
}

/// The text between the double quotes that come next, as it stands.
pub(super) fn quoted<'a>(arguments: &mut Cursor<'a>) -> Result<&'a str, ExecuteError> {
    arguments.peek();
    let text = arguments.rest().strip_prefix('"');
    let text = text.and_then(|inside| Some(&inside[..inside.find('"')?]));
    match text {
        Some(text) => {
            arguments.eat(&arguments.rest()[..text.len() + 2]);
            Ok(text)
        }
        None => Err(arguments.error(CommandErrorKind::Syntax).into()),
    }
}

/// A string in double quotes with one byte a character; those of Latin-1 are the most it can have.
pub(super) fn ascii(arguments: &mut Cursor<'_>) -> Result<Vec<u8>, ExecuteError> {
    let text = quoted(arguments)?;
    latin1(text).ok_or_else(|| arguments.error(CommandErrorKind::Syntax).into())
}

/// One byte a character, if each has one.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(c).ok()).collect()
}

/// Little-endian UTF-16.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
