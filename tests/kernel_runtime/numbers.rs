//! Numbers as text, and bytes in the other order. Microsoft's pages of `RtlIntegerToUnicodeString`,
//! `RtlInt64ToUnicodeString`, `RtlUnicodeStringToInteger` and `RtlCharToInteger` (wdm.h, ntddk.h); for the
//! second the table of examples on its page.

use crate::guest::*;
use proptest::prelude::*;

fn digits(value: u64, base: u64) -> String {
    match base {
        2 => format!("{value:b}"),
        8 => format!("{value:o}"),
        16 => format!("{value:X}"),
        _ => value.to_string(),
    }
}

#[test]
fn to_text() {
    let value = prop_oneof![any::<u64>(), 0..300u64, any::<u32>().prop_map(u64::from)];
    let base = proptest::sample::select(vec![0, 2, 8, 10, 16, 1, 3, 36]);
    property(
        300,
        (value, base, 0..140usize),
        |guest, (value, base, room)| {
            for name in ["RtlIntegerToUnicodeString", "RtlInt64ToUnicodeString"] {
                let string = guest.unicode(&[], room);
                let status = guest.ulong(name, &[value, base, string]);
                let value = if name.contains("64") {
                    value
                } else {
                    u64::from(value as u32)
                };
                let expected = w(&digits(value, base));
                if !matches!(base, 0 | 2 | 8 | 10 | 16) {
                    assert_eq!(status, INVALID_PARAMETER);
                } else if 2 * expected.len() > room {
                    assert_eq!(status, BUFFER_OVERFLOW);
                } else {
                    let result = guest.read_unicode(string);
                    assert_eq!((status, &result.text), (SUCCESS, &expected));
                    if 2 * expected.len() + 2 <= room {
                        assert_eq!(guest.wide_string(result.buffer), expected);
                    }
                }
            }
        },
    );
}

/// What the page says: spaces, a sign, a prefix if the base is 0, then digits up to what is none.
fn model(text: &str, base: u32) -> Option<u32> {
    if !matches!(base, 0 | 2 | 8 | 10 | 16) {
        return None;
    }
    let text = text.trim_start_matches(|c| c <= ' ' && c != '\0');
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = |prefix| (base == 0).then(|| text.strip_prefix(prefix)).flatten();
    let (base, text) = if let Some(rest) = prefixed("0x") {
        (16, rest)
    } else if let Some(rest) = prefixed("0o") {
        (8, rest)
    } else if let Some(rest) = prefixed("0b") {
        (2, rest)
    } else {
        (if base == 0 { 10 } else { base }, text)
    };
    let value = text.chars().map_while(|c| c.to_digit(base));
    let value = value.fold(0u32, |value, digit| {
        value.wrapping_mul(base).wrapping_add(digit)
    });
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

#[track_caller]
fn reads(guest: &mut Guest, text: &str, base: u32) {
    let (string, terminated) = (guest.unicode(&w(text), 0), guest.text(text.as_bytes()));
    let value = guest.put(&[FILL; 4]);
    for (name, from) in [
        ("RtlUnicodeStringToInteger", string),
        ("RtlCharToInteger", terminated),
    ] {
        guest.write(value, &[FILL; 4]);
        let status = guest.ulong(name, &[from, base.into(), value]);
        let expected = match model(text, base) {
            // "If the string is empty, the routine fails and returns STATUS_INVALID_PARAMETER."
            Some(_) if text.is_empty() && name.contains("Unicode") => {
                (INVALID_PARAMETER, 0xcccc_cccc)
            }
            Some(value) => (SUCCESS, value),
            None => (INVALID_PARAMETER, 0xcccc_cccc),
        };
        assert_eq!(
            (status, guest.u32(value)),
            expected,
            "{name}({text:?}, {base})"
        );
    }
}

#[test]
fn examples_of_the_page() {
    let mut guest = Guest::new();
    let examples = [
        ("123", 10, 123),
        ("-345", 10, -345),
        ("xyz", 10, 0),
        ("+678abc", 10, 678),
        ("+678abc", 16, 0x0678_abc),
        ("0b101", 0, 5),
        ("0o22", 0, 18),
        ("0xABc", 0, 2748),
        ("0xABcDeF", 10, 0),
        ("  -0x10", 0, -16),
        ("", 10, 0),
    ];
    for (text, base, expected) in examples {
        assert_eq!(model(text, base), Some(expected as u32), "{text}");
        reads(&mut guest, text, base);
    }
}

#[test]
fn from_text() {
    let text = "[ \t]{0,2}[-+]{0,2}(0[xobX])?[0-9a-fA-Fg]{0,12}";
    let base = proptest::sample::select(vec![0, 2, 8, 10, 16, 3]);
    property(400, (text, base), |guest, (text, base)| {
        reads(guest, &text, base)
    });
}

#[test]
fn swapped_and_found() {
    property(200, (any::<u64>(), 0..64u32), |guest, (value, shift)| {
        let value = value >> shift;
        let swapped = guest.call("RtlUlonglongByteSwap", &[value]);
        assert_eq!(swapped, value.swap_bytes());
        let swapped = guest.ulong("RtlUlongByteSwap", &[value]);
        assert_eq!(swapped, (value as u32).swap_bytes());
        let swapped = guest.call("RtlUshortByteSwap", &[value]) as u16;
        assert_eq!(swapped, (value as u16).swap_bytes());
        let (first, last) = match value {
            0 => (-1, -1),
            _ => (value.trailing_zeros() as i8, value.ilog2() as i8),
        };
        let found = guest.call("RtlFindLeastSignificantBit", &[value]) as i8;
        assert_eq!(found, first);
        let found = guest.call("RtlFindMostSignificantBit", &[value]) as i8;
        assert_eq!(found, last);
        let count = guest.ulong("RtlNumberOfSetBitsUlongPtr", &[value]);
        assert_eq!(count, value.count_ones());
    });
}
