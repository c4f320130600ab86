//! `.printf [OPTION] "FORMAT" [, EXPRESSION…]`: shows a text with values in it, as C's `printf`.
//!
//! | conversion | shows |
//! |---|---|
//! | `%d %i %u %o %x %X` | a number: its low 32 bits, with `h` 16, with `I64`, `I` or `ll` all 64 |
//! | `%e %E %f %g %G` | the low 32 bits as a floating-point number, with `l` all 64 |
//! | `%c %C` | a character |
//! | `%p`, `%N` | a pointer of the target, of the host |
//! | `%ma %mu` | the string of ASCII or Unicode characters at an address, up to its zero; so do `%s %S` |
//! | `%msa %msu` | the string that an `ANSI_STRING` or `UNICODE_STRING` describes |
//! | `%y`, `%ly` | the symbol at an address, with its source line |
//! | `%%` | a percent sign |
//!
//! Flags, widths and precisions are C's; `\n`, `\t`, `\"` and `\\` too. The colours that `/od`, `/oD`, `/oe`,
//! `/on`, `/op`, `/oP`, `/os`, `/ov` and `/ow` choose in WinDbg's window are not shown here. `/D` says that the
//! text has tags of the debugger's markup language, which are left out.
//!
//! The page ".printf" of the debugger's manual.
//!
//! ```text
//! kd> .printf "%d %x %I64x %p\n", 0n16, 0n16, nt, nt
//! 16 10 fffff80001450000 fffff80001450000
//! kd> .printf "%y: [%-6u] [%06u]\n", nt!PoolHitTag, 7, 7
//! nt!PoolHitTag (fffff800`016530fc): [7     ] [000007]
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::report::printf::format;
use std::fmt::Write;

/// The colours' options.
const COLOURS: [&str; 9] = [
    "/od", "/oD", "/oe", "/on", "/op", "/oP", "/os", "/ov", "/ow",
];

/// The most arguments: the project's own limit.
const MOST_ARGUMENTS: usize = 256;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut markup = false;
    while arguments.peek() == Some('/') {
        match arguments.next_word().unwrap_or_default() {
            "/D" => markup = true,
            word if COLOURS.contains(&word) => {}
            _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        }
    }
    let text = next_format(arguments)?;
    let mut values = Vec::new();
    while arguments.eat(",") {
        if values.len() == MOST_ARGUMENTS {
            return Err(arguments.error(CommandErrorKind::Range).into());
        }
        values.push(arguments.next_expression(session)?);
    }
    arguments.finish()?;
    let shown = format(session, text, &values)?;
    match markup {
        true => out.write_str(&without_markup(&shown))?,
        false => out.write_str(&shown)?,
    }
    Ok(Flow::Stay)
}

/// Reads the format, with its escapes as they are typed.
fn next_format<'a>(arguments: &mut Cursor<'a>) -> Result<&'a str, ExecuteError> {
    let quoted = arguments.peek() == Some('"');
    let rest = arguments.rest();
    let mut escaped = false;
    let end = rest.bytes().enumerate().skip(1).find(|(_, byte)| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    match end {
        Some((end, _)) if quoted => {
            arguments.advance(end + 1);
            Ok(&rest[1..end])
        }
        _ => {
            arguments.advance(rest.len());
            Err(arguments.error(CommandErrorKind::Syntax).into())
        }
    }
}

/// A text without its tags, and with the characters that its entities stand for.
fn without_markup(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('<') {
        plain.push_str(before);
        rest = behind.split_once('>').map_or("", |(_, behind)| behind);
    }
    plain.push_str(rest);
    plain
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
