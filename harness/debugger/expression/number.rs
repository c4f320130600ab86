//! Numbers in MASM expressions: where they end and what they are worth.

use super::parser::symbol_length;

/// A number at the start of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Number {
    /// The value; `None` if it needs more than 64 bits.
    pub(super) value: Option<u64>,
    /// Its length in the text, in bytes.
    pub(super) length: usize,
    /// There is a back-tick among its digits, which switches sign extension off.
    pub(super) has_tick: bool,
}

/// The number that `text` starts with, if it starts with a digit or, if the radix is 16, is a word
/// of hexadecimal digits, such as `fade` and `0fadeh`. The radix is that of a number without prefix
/// and without an `h` behind it.
pub(super) fn parse(text: &str, default_radix: u32) -> Option<Number> {
    let bytes = text.as_bytes();
    let radix = match bytes {
        [b'0', b'x' | b'X', ..] => Some(16),
        [b'0', b'n' | b'N', ..] => Some(10),
        [b'0', b't' | b'T', ..] => Some(8),
        [b'0', b'y' | b'Y', ..] => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let mut number = digits(&bytes[2..], radix);
        number.length += 2;
        return Some(number);
    }
    let first = bytes.first()?;
    if !first.is_ascii_hexdigit() {
        return None;
    }
    let mut number = digits(bytes, 16);
    let continues = |at: usize| symbol_length(&text[at..]) > 0;
    if matches!(bytes.get(number.length), Some(b'h' | b'H')) && !continues(number.length + 1) {
        number.length += 1;
    } else if default_radix != 16 {
        // `fade` is a symbol there, and `1f` the number 1 with something behind it.
        return first
            .is_ascii_digit()
            .then(|| digits(bytes, default_radix))
            .filter(|number| number.length > 0);
    }
    (first.is_ascii_digit() || !continues(number.length)).then_some(number)
}

fn digits(bytes: &[u8], radix: u32) -> Number {
    let mut number = Number {
        value: Some(0),
        length: 0,
        has_tick: false,
    };
    for &byte in bytes {
        match char::from(byte).to_digit(radix) {
            Some(digit) => {
                number.value = number
                    .value
                    .and_then(|value| value.checked_mul(radix.into()))
                    .and_then(|value| value.checked_add(digit.into()));
            }
            None if byte == b'`' => number.has_tick = true,
            None => break,
        }
        number.length += 1;
    }
    number
}
