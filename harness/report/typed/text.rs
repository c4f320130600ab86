//! Small forms of text that `dt` is made of.

use crate::address::Va;

/// A name filled up with spaces.
pub(super) fn padded(name: &str, width: usize) -> String {
    format!("{name:width$}")
}

/// A number without sign: a single digit as it is, up to 32 bits in hexadecimal, above with all
/// digits of an address.
pub(in crate::report) fn unsigned(value: u64) -> String {
    match value {
        0..10 => value.to_string(),
        10..=0xffff_ffff => format!("{value:#x}"),
        _ => format!("0x{}", Va(value)),
    }
}

/// A byte in hexadecimal: zero alone has no prefix.
pub(super) fn byte(value: u8) -> String {
    match value {
        0 => "0".to_owned(),
        _ => format!("{value:#x}"),
    }
}

/// A pointer's value in a short form, as old debuggers have the second link of a list and a
/// `_LARGE_INTEGER`.
pub(super) fn short(value: u64) -> String {
    match value {
        0..=0xffff_ffff => format!("{value:#x}"),
        _ => format!("0x{}", Va(value)),
    }
}

/// A character between quotes; nothing for one that cannot be printed.
pub(in crate::report) fn character(value: u64) -> String {
    match u8::try_from(value) {
        Ok(byte @ 0x20..0x7f) => format!("'{}'", char::from(byte)),
        _ => "''".to_owned(),
    }
}

/// Text from guest memory between double quotes, without what would move a terminal's cursor.
pub(in crate::report) fn quoted(characters: impl Iterator<Item = char>) -> String {
    let shown = |c: char| if c.is_control() { '.' } else { c };
    let text: String = characters.map(shown).collect();
    format!("\"{text}\"")
}

/// What stands for a text that cannot be read.
pub(in crate::report) fn unreadable_text(at: Va) -> String {
    format!("\"--- memory read error at address 0x{at} ---\"")
}

/// Some bits: all of them in binary, with the number behind where there are more than four.
pub(super) fn bits(value: u64, length: u8) -> String {
    let width = usize::from(length.max(1));
    let binary = format!("0y{value:0width$b}");
    match (length, value) {
        (0..=4, _) => binary,
        (_, 0) => format!("{binary} (0)"),
        _ => format!("{binary} ({value:#x})"),
    }
}
