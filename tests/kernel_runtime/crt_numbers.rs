//! Numbers as text and back in the C run-time library. Microsoft's pages of `atoi` (out of range: the nearest
//! number), `wcstoul`, `_strtoui64` (ULONG_MAX and _UI64_MAX), `_itoa`, and `_itoa_s` with its table of error
//! conditions.

use crate::guest::*;
use proptest::prelude::*;

const EINVAL: i32 = 22;

/// Digits in any base, in lower case.
fn digits(mut value: u64, base: u64) -> String {
    let mut text = Vec::new();
    while value > 0 || text.is_empty() {
        text.push(char::from_digit((value % base) as u32, base as u32).unwrap());
        value /= base;
    }
    text.iter().rev().collect()
}

fn signed(value: i64, base: u64, bits: u32) -> String {
    match value {
        ..0 if base == 10 => format!("-{}", digits(value.unsigned_abs(), 10)),
        _ => digits(value as u64 & (u64::MAX >> (64 - bits)), base),
    }
}

#[test]
fn to_text() {
    let small = (-300..300i64).prop_map(|value| value as u64);
    let edges =
        proptest::sample::select(vec![1 << 63, u64::MAX, 0x8000_0000, 0xffff_ffff_8000_0000]);
    let value = prop_oneof![any::<u64>(), small, edges];
    property(
        300,
        (value, 0..40u64, 0..70usize),
        |guest, (value, base, size)| {
            let (int, ulong) = (i64::from(value as i32), u64::from(value as u32));
            let valid = (2..=36).contains(&base);
            let text = |kind: &str| match kind {
                _ if !valid => String::new(),
                "int" => signed(int, base, 32),
                "ulong" => digits(ulong, base),
                "int64" => signed(value as i64, base, 64),
                _ => digits(value, base),
            };
            let names = [
                ("_itoa_s", "_itow_s", "int"),
                ("_ltoa_s", "_ltow_s", "int"),
                ("_ultoa_s", "_ultow_s", "ulong"),
                ("_i64toa_s", "_i64tow_s", "int64"),
                ("_ui64toa_s", "_ui64tow_s", "uint64"),
            ];
            for (narrow, wide, kind) in names {
                let expected = text(kind);
                let fits = valid && expected.len() < size;
                let to = guest.room(size);
                let error = guest.int(narrow, &[value, to, size as u64, base]);
                assert_eq!(
                    error,
                    if fits { 0 } else { EINVAL },
                    "{narrow} {expected} {size}"
                );
                if size > 0 {
                    assert_eq!(
                        guest.string(to),
                        if fits { expected.as_bytes() } else { b"" }
                    );
                }
                let to = guest.room(2 * size);
                let error = guest.int(wide, &[value, to, size as u64, base]);
                assert_eq!(error, if fits { 0 } else { EINVAL });
                if size > 0 {
                    assert_eq!(
                        guest.wide_string(to),
                        if fits { w(&expected) } else { vec![] }
                    );
                }
                assert_eq!(guest.int(narrow, &[value, 0, size as u64, base]), EINVAL);
            }
            if valid {
                let (narrow, wide) = (guest.room(34), guest.room(68));
                assert_eq!(guest.call("_itoa", &[value, narrow, base]), narrow);
                assert_eq!(guest.string(narrow), text("int").as_bytes());
                assert_eq!(guest.call("_itow", &[value, wide, base]), wide);
                assert_eq!(guest.wide_string(wide), w(&text("int")));
            }
        },
    );
}

/// Spaces, a sign, and digits: their value, as far as 128 bits hold it, and where they end.
fn parse(text: &str, base: u32) -> Option<(bool, u128, usize)> {
    let rest = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix('+').unwrap_or(rest)),
    };
    let hexadecimal = rest
        .strip_prefix("0x")
        .or(rest.strip_prefix("0X"))
        .filter(|rest| matches!(base, 0 | 16) && rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (base, rest) = match hexadecimal {
        Some(rest) => (16, rest),
        None if base == 0 => (if rest.starts_with('0') { 8 } else { 10 }, rest),
        None => (base, rest),
    };
    let digits = rest.chars().take_while(|c| c.is_digit(base)).count();
    let value = rest[..digits].chars().fold(0u128, |value, c| {
        value
            .saturating_mul(base.into())
            .saturating_add(c.to_digit(base).unwrap().into())
    });
    (digits > 0).then(|| (negative, value, text.len() - rest.len() + digits))
}

const TEXT: &str = "[ \t\n]{0,2}[-+]{0,2}(0[xX]?)?[0-9a-fA-FzZ]{0,22}";

#[test]
fn signed_from_text() {
    let near = (-5i64..5, any::<bool>()).prop_map(|(near, low)| {
        let edge = if low {
            i64::from(i32::MIN)
        } else {
            i32::MAX.into()
        };
        (edge + near).to_string()
    });
    property(400, prop_oneof![4 => TEXT, 1 => near], |guest, text| {
        let expected = parse(&text, 10).map_or(0, |(negative, value, _)| {
            let value = value.min(1 << 40) as i64;
            let value = if negative { -value } else { value };
            value.clamp(i32::MIN.into(), i32::MAX.into()) as i32
        });
        let (narrow, wide) = (guest.text(text.as_bytes()), guest.wide(&w(&text)));
        for (name, at) in [
            ("atoi", narrow),
            ("atol", narrow),
            ("_wtoi", wide),
            ("_wtol", wide),
        ] {
            assert_eq!(guest.int(name, &[at]), expected, "{name} {text:?}");
        }
    });
}

#[test]
fn unsigned_from_text() {
    let base = prop_oneof![4 => proptest::sample::select(vec![0, 8, 10, 16, 36]), 1 => 0..40u32];
    property(500, (TEXT, base), |guest, (text, base)| {
        let parsed = match base {
            0 | 2..=36 => parse(&text, base),
            _ => None,
        };
        let expected = |most: u64| match parsed {
            None => 0,
            Some((_, value, _)) if value > most.into() => most,
            Some((true, value, _)) => (value as u64).wrapping_neg() & most,
            Some((false, value, _)) => value as u64,
        };
        let length = parsed.map_or(0, |parsed| parsed.2) as u64;
        let (narrow, wide, end) = (
            guest.text(text.as_bytes()),
            guest.wide(&w(&text)),
            guest.room(8),
        );
        let value = guest.call("_strtoui64", &[narrow, end, base.into()]);
        assert_eq!(
            (value, guest.u64(end)),
            (expected(u64::MAX), narrow + length),
            "{text:?} {base}"
        );
        let value = guest.ulong("wcstoul", &[wide, end, base.into()]);
        assert_eq!(
            (u64::from(value), guest.u64(end)),
            (expected(u32::MAX.into()), wide + 2 * length),
            "{text:?} {base}"
        );
        // where it ends is optional
        assert_eq!(guest.ulong("wcstoul", &[wide, 0, base.into()]), value);
        guest.call("_strtoui64", &[narrow, 0, base.into()]);
    });
}
