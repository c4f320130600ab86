//! Text with numbers and the target's strings in it, as `.printf` writes it.
//!
//! | conversion | shows |
//! |---|---|
//! | `%d %i %u %o %x %X` | a number: its low 32 bits, with `h` 16, with `I64`, `I` or `ll` all 64 |
//! | `%e %E %f %g %G` | the low 32 bits as a floating-point number, with `l` all 64 |
//! | `%c %C` | a character |
//! | `%p` | a pointer of the target; `%N` one of the host |
//! | `%ma %mu` | the string of ASCII or Unicode characters at an address, up to its zero |
//! | `%msa %msu` | the string that an `ANSI_STRING` or `UNICODE_STRING` describes |
//! | `%s %S` | as `%ma` and `%mu`: there is no string of the host that an expression could name |
//! | `%y` | the symbol at an address, and the address; `%ly` the source line, too |
//! | `%%` | a percent sign |
//!
//! Flags, widths and precisions are those of C. `\n`, `\t`, `\r`, `\"` and `\\` are what they are in C.
//!
//! The page ".printf" of the debugger's manual. ``.printf "%y\n", @rax`` shows ``rsaenh!CPGenRandom
//! (00007ffc`987954d0)`` in a published session; of `%ly` and `%p` none was found.

mod number;

use crate::address::{CodeAddress, Va};
use crate::debugger::Session;
use crate::debugger::target_text::TextForm;
use crate::memory::MemoryFault;

/// The widest field, and the most digits of a precision. The project's own limit.
pub const MAX_WIDTH: usize = 4096;
/// The longest text, in bytes. The project's own limit.
pub const MAX_LENGTH: usize = 1 << 20;

/// Why arguments do not fit a format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormatError {
    /// A conversion has no argument.
    #[error("the conversion '{0}' has no argument")]
    NoArgument(String),
    /// There is no such conversion.
    #[error("there is no conversion '{0}'")]
    Unknown(String),
    /// A field is too wide.
    #[error("'{0}' is too wide: the limit is {MAX_WIDTH}")]
    TooWide(String),
    /// A string of the target cannot be read.
    #[error("Memory access error at '{at}'")]
    Memory {
        /// The string's address.
        at: Va,
        /// Why it cannot be read.
        fault: MemoryFault,
    },
    /// The text is too long.
    #[error("the text is longer than {MAX_LENGTH} bytes")]
    TooLong,
}

/// A conversion, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    alternative: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    size: String,
    letter: char,
}

/// A format's text with its arguments in it. Arguments without a conversion are left over, as in C.
///
/// # Errors
/// The arguments do not fit the format; see [`FormatError`].
///
/// ```
/// use poolhit::{Lab, Session, report::printf::format};
/// let session = Session::new(Lab::builder().build()?);
/// let tag = session.resolve("nt!PoolHitTag").unwrap().0;
/// assert_eq!(format(&session, r"%y\n", &[tag])?, "nt!PoolHitTag (fffff800`016530fc)\n");
/// assert_eq!(format(&session, "%d %I64x %-4u|%%", &[u64::MAX, tag, 7])?, "-1 fffff800016530fc 7   |%");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn format(session: &Session, format: &str, arguments: &[u64]) -> Result<String, FormatError> {
    let mut text = String::new();
    let mut arguments = arguments.iter().copied();
    let mut rest = format;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\\' => {
                let escaped = rest.chars().next();
                rest = &rest[escaped.map_or(0, char::len_utf8)..];
                text.push(match escaped {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(other) => other,
                    None => '\\',
                });
            }
            '%' => {
                let start = rest;
                let conversion = read(&mut rest, &mut arguments)?;
                let shown = format!("%{}", &start[..start.len() - rest.len()]);
                match conversion.letter {
                    '%' => text.push('%'),
                    _ => text.push_str(&convert(session, &conversion, &shown, &mut arguments)?),
                }
            }
            other => text.push(other),
        }
        if text.len() > MAX_LENGTH {
            return Err(FormatError::TooLong);
        }
    }
    Ok(text)
}

/// Reads a conversion, behind its percent sign.
fn read(
    rest: &mut &str,
    arguments: &mut impl Iterator<Item = u64>,
) -> Result<Conversion, FormatError> {
    let start = *rest;
    let mut conversion = Conversion::default();
    let shown = |rest: &str| format!("%{}", &start[..start.len() - rest.len()]);
    while let Some(flag) = rest.chars().next().filter(|c| "-+ #0".contains(*c)) {
        match flag {
            '-' => conversion.left = true,
            '+' => conversion.plus = true,
            ' ' => conversion.space = true,
            '#' => conversion.alternative = true,
            _ => conversion.zeros = true,
        }
        *rest = &rest[1..];
    }
    let mut number = |rest: &mut &str| -> Result<usize, FormatError> {
        if let Some(behind) = rest.strip_prefix('*') {
            *rest = behind;
            let value = arguments.next();
            let value = value.ok_or_else(|| FormatError::NoArgument(shown(rest)))?;
            return usize::try_from(value)
                .ok()
                .filter(|width| *width <= MAX_WIDTH)
                .ok_or_else(|| FormatError::TooWide(shown(rest)));
        }
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(digits);
        *rest = behind;
        match digits {
            "" => Ok(0),
            digits => digits
                .parse()
                .ok()
                .filter(|width| *width <= MAX_WIDTH)
                .ok_or_else(|| FormatError::TooWide(shown(rest))),
        }
    };
    conversion.width = number(rest)?;
    if let Some(behind) = rest.strip_prefix('.') {
        *rest = behind;
        conversion.precision = Some(number(rest)?);
    }
    for size in ["I64", "I32", "I", "ll", "l", "hh", "h", "w", "ms", "m"] {
        if let Some(behind) = rest.strip_prefix(size) {
            *rest = behind;
            conversion.size = size.to_string();
            break;
        }
    }
    let letter = rest.chars().next();
    conversion.letter = letter.ok_or_else(|| FormatError::Unknown(shown(rest)))?;
    *rest = &rest[conversion.letter.len_utf8()..];
    Ok(conversion)
}

fn convert(
    session: &Session,
    conversion: &Conversion,
    shown: &str,
    arguments: &mut impl Iterator<Item = u64>,
) -> Result<String, FormatError> {
    let form = match (conversion.size.as_str(), conversion.letter) {
        ("m", 'a') | ("" | "h", 's') | ("h", 'S') => Some(TextForm::Ascii),
        ("m", 'u') | ("", 'S') | ("l" | "w", 's' | 'S') => Some(TextForm::Unicode),
        ("ms", 'a') => Some(TextForm::AnsiString),
        ("ms", 'u') => Some(TextForm::UnicodeString),
        _ => None,
    };
    let known = match (conversion.size.as_str(), conversion.letter) {
        ("" | "h" | "hh" | "l" | "ll" | "I" | "I32" | "I64", 'd' | 'i' | 'u' | 'o' | 'x' | 'X') => {
            true
        }
        ("" | "l", 'e' | 'E' | 'f' | 'g' | 'G' | 'y') => true,
        ("" | "h" | "l" | "w", 'c' | 'C') | ("", 'p' | 'N') => true,
        _ => form.is_some(),
    };
    if !known {
        return Err(FormatError::Unknown(shown.to_string()));
    }
    let value = arguments.next();
    let value = value.ok_or_else(|| FormatError::NoArgument(shown.to_string()))?;
    let at = Va(value);
    let text = match conversion.letter {
        _ if form.is_some() => {
            let form = form.unwrap_or(TextForm::Ascii);
            let text = session.target_text(at, form);
            let text = text.map_err(|fault| FormatError::Memory { at, fault })?;
            match conversion.precision {
                Some(most) => text.chars().take(most).collect(),
                None => text,
            }
        }
        'y' => symbol(session, at, conversion.size == "l"),
        'p' => format!("{value:016x}"),
        'N' => format!("{value:016X}"),
        'c' | 'C' => {
            let wide = conversion.letter == 'C' || matches!(&*conversion.size, "l" | "w");
            let unit = if wide { value & 0xffff } else { value & 0xff };
            char::from_u32(unit as u32).unwrap_or('?').to_string()
        }
        _ => return Ok(number::convert(conversion, value)),
    };
    Ok(number::pad(conversion, "", &text, false))
}

/// A symbol with its address, and its source line; an address without a symbol alone.
fn symbol(session: &Session, at: Va, with_line: bool) -> String {
    let near = session.modules().nearest(at);
    let mut text = near.map_or(at.to_string(), |near| format!("{near} ({at})"));
    let line = session.source_line(CodeAddress::InstructionPointer(at));
    if let Some(line) = line.filter(|_| with_line) {
        text.push_str(&format!(" [{line}]"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Lab;
    use proptest::prelude::*;

    #[test]
    fn conversions_are_cs() {
        let session = Session::new(Lab::builder().memory(16 << 20).build().unwrap());
        let negative = -5_i64 as u64;
        for (text, arguments, expected) in [
            ("%d|%5d|%-5d|%05d", &[1, 2, 3, 4][..], "1|    2|3    |00004"),
            ("%d %u %I64d", &[negative; 3], "-5 4294967291 -5"),
            ("%x %X %#x %#o", &[0xabc; 4], "abc ABC 0xabc 05274"),
            (
                "%hx %I64x %llx",
                &[0x1_2345_6789; 3],
                "6789 123456789 123456789",
            ),
            ("%+d % d %.4d %8.3x|", &[1, 2, 3, 4], "+1  2 0003      004|"),
            ("%*d|%-*d|", &[4, 1, 3, 2], "   1|2  |"),
            ("%p %N", &[0xab; 2], "00000000000000ab 00000000000000AB"),
            ("%c%C%%", &[0x4c, 0x65], "Le%"),
            ("%f %.1f", &[0x3f80_0000, 0x4020_0000], "1.000000 2.5"),
            (
                "%lf %le",
                &[0x3ff0_0000_0000_0000; 2],
                "1.000000 1.000000e+000",
            ),
            ("%g %lg", &[0x3f80_0000, 0x4000_0000_0000_0000], "1 2"),
            (r#"a\tb\n\"\\"#, &[], "a\tb\n\"\\"),
            ("%y", &[0x1000], "00000000`00001000"),
        ] {
            assert_eq!(
                format(&session, text, arguments).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let session = Session::new(Lab::builder().memory(16 << 20).build().unwrap());
        for (text, expected) in [
            ("%d", "the conversion '%d' has no argument"),
            ("%*", "the conversion '%*' has no argument"),
            ("%k", "there is no conversion '%k'"),
            ("%", "there is no conversion '%'"),
            ("%mp", "there is no conversion '%mp'"),
            ("%99999d", "'%99999' is too wide: the limit is 4096"),
        ] {
            assert_eq!(
                format(&session, text, &[]).unwrap_err().to_string(),
                expected
            );
        }
        let error = format(&session, "%ma", &[0x10]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Memory access error at '00000000`00000010'"
        );
        let long = "%4096d".repeat(300);
        assert_eq!(
            format(&session, &long, &[0; 300]),
            Err(FormatError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn any_format_is_read(text in r"(%|[-+ #0-9.*]|I64|l|h|m|[a-zA-Z]|\\|.){0,20}", values: [u64; 4]) {
            thread_local! {
                static SESSION: Session = Session::new(Lab::builder().memory(16 << 20).build().unwrap());
            }
            let _ = SESSION.with(|session| format(session, &text, &values));
        }
    }
}
