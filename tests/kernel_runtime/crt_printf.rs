//! What the printf family writes, for both widths, against Rust's `format!`. Microsoft, "Format specification
//! syntax: printf and wprintf functions" (flags, width, precision, size prefixes, types), and the page of
//! `DbgPrint` for what the kernel adds: `%Z`, `%wZ`, no floating point.

use crate::ansi::{decode, encode};
use crate::guest::*;
use proptest::prelude::*;

/// Formats with both `_snprintf` and `_snwprintf`; the text must be the same, as Unicode.
#[track_caller]
fn print(guest: &mut Guest, format: &str, arguments: &[u64]) -> String {
    let narrow = print_narrow(guest, format, arguments);
    let wide = print_wide(guest, format, arguments);
    assert_eq!(narrow, wide, "{format}");
    wide
}

fn print_narrow(guest: &mut Guest, format: &str, arguments: &[u64]) -> String {
    let encoded: Vec<u8> = w(format).into_iter().map(encode).collect();
    let (format, to) = (guest.text(&encoded), guest.room(400));
    let arguments = [&[to, 400, format], arguments].concat();
    let length = guest.int("_snprintf", &arguments);
    let text: Vec<u16> = guest
        .bytes(to, length as usize)
        .into_iter()
        .map(decode)
        .collect();
    assert_eq!(guest.bytes(to + length as u64, 2), [0, FILL]);
    String::from_utf16(&text).unwrap()
}

fn print_wide(guest: &mut Guest, format: &str, arguments: &[u64]) -> String {
    let (format, to) = (guest.wide(&w(format)), guest.room(800));
    let arguments = [&[to, 400, format], arguments].concat();
    let length = guest.int("_snwprintf", &arguments);
    let text = guest.units(to, length as usize);
    assert_eq!(guest.u16(to + 2 * length as u64), 0);
    String::from_utf16(&text).unwrap()
}

/// A specification without its letter.
#[derive(Clone, Debug)]
struct Spec {
    flags: String,
    width: Option<i32>,
    precision: Option<i32>,
    /// Width and precision are arguments.
    stars: bool,
}

impl Spec {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// The format with a prefix and a letter, and the arguments in front of the value.
    fn format(&self, prefix: &str, letter: char) -> (String, Vec<u64>) {
        let mut format = format!("%{}", self.flags);
        let mut arguments = Vec::new();
        let mut number = |format: &mut String, number: i32| match self.stars {
            true => {
                format.push('*');
                arguments.push(number as u32 as u64 | 0xdead_0000_0000_0000);
            }
            false => *format += &number.to_string(),
        };
        if let Some(width) = self.width {
            number(&mut format, width);
        }
        if let Some(precision) = self.precision {
            format.push('.');
            number(&mut format, precision);
        }
        (format + prefix + &letter.to_string(), arguments)
    }

    /// Text on its side of the field, or zeros in front of it if the flag says so.
    fn pad(&self, prefix: &str, text: &str, zeros: bool) -> String {
        let width = self.width.unwrap_or(0).unsigned_abs() as usize;
        let left = self.has('-') || self.width.is_some_and(|width| width < 0);
        let all = format!("{prefix}{text}");
        if left {
            format!("{all:<width$}")
        } else if zeros && self.has('0') {
            let width = width.saturating_sub(prefix.len());
            format!("{prefix}{text:0>width$}")
        } else {
            format!("{all:>width$}")
        }
    }
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let width = proptest::option::of(prop_oneof![1..30i32, -30..0i32]);
    // a negative precision is none
    let precision = proptest::option::of(prop_oneof![4 => 0..25i32, 1 => -3..0i32]);
    let values = ("[-+ #0]{0,3}", width, precision, any::<bool>());
    values.prop_map(|(flags, width, precision, stars)| {
        let in_text = |number: &i32| stars || *number >= 0;
        Spec {
            flags,
            // without a star, a minus sign is a flag
            width: width.filter(|width| stars || *width > 0),
            precision: precision.filter(in_text),
            stars,
        }
    })
}

/// What an integer becomes: the argument's value for the prefix, its digits, its sign or prefix.
fn integer(spec: &Spec, prefix: &str, letter: char, argument: u64) -> String {
    let bits = match prefix {
        "hh" => 8,
        "h" => 16,
        "I64" | "ll" | "I" | "j" | "z" | "t" => 64,
        _ => 32,
    };
    let unsigned = argument & (u64::MAX >> (64 - bits));
    let signed = ((argument << (64 - bits)) as i64) >> (64 - bits);
    let precision = spec.precision.filter(|precision| *precision >= 0);
    let digits = match letter {
        'd' | 'i' => signed.unsigned_abs().to_string(),
        'u' => unsigned.to_string(),
        'o' => format!("{unsigned:o}"),
        'x' => format!("{unsigned:x}"),
        _ => format!("{unsigned:X}"),
    };
    let digits = if precision == Some(0) && unsigned == 0 {
        String::new()
    } else {
        digits
    };
    let least = precision.unwrap_or(0) as usize;
    let mut digits = format!("{digits:0>least$}");
    let front = match letter {
        'd' | 'i' if signed < 0 => "-",
        'd' | 'i' if spec.has('+') => "+",
        'd' | 'i' if spec.has(' ') => " ",
        'x' if spec.has('#') && unsigned != 0 => "0x",
        'X' if spec.has('#') && unsigned != 0 => "0X",
        _ => "",
    };
    if letter == 'o' && spec.has('#') && !digits.starts_with('0') {
        digits.insert(0, '0');
    }
    spec.pad(front, &digits, precision.is_none())
}

#[test]
fn integers() {
    let prefix = proptest::sample::select(vec![
        "", "h", "hh", "l", "ll", "I64", "I32", "I", "j", "z", "t", "w",
    ]);
    let letter = proptest::sample::select(vec!['d', 'i', 'u', 'o', 'x', 'X']);
    let edges = vec![
        0,
        1,
        9,
        10,
        0x7f,
        0x80,
        0x8000,
        0x8000_0000,
        1 << 63,
        u64::MAX,
    ];
    let value = prop_oneof![any::<u64>(), proptest::sample::select(edges), 0..100u64];
    property(
        1500,
        (any_spec(), prefix, letter, value),
        |guest, (spec, prefix, letter, value)| {
            let (format, mut arguments) = spec.format(prefix, letter);
            arguments.push(value);
            let expected = integer(&spec, prefix, letter, value);
            assert_eq!(
                print(guest, &format, &arguments),
                expected,
                "{format} of {value:#x}"
            );
        },
    );
}

/// "%p: an argument as an address in hexadecimal digits", 16 of them on x64, in upper case.
#[test]
fn pointers() {
    property(100, (any_spec(), any::<u64>()), |guest, (spec, value)| {
        let (format, mut arguments) = spec.format("", 'p');
        arguments.push(value);
        let front = if spec.has('#') && value != 0 {
            "0X"
        } else {
            ""
        };
        let expected = spec.pad(front, &format!("{value:016X}"), false);
        assert_eq!(print(guest, &format, &arguments), expected, "{format}");
    });
}

fn decoded(text: &[u8]) -> String {
    String::from_utf16(&text.iter().map(|byte| decode(*byte)).collect::<Vec<_>>()).unwrap()
}

/// Text up to its precision; zeros in front of it if the flag says so, as of everything.
fn string(spec: &Spec, text: &str) -> String {
    let precision = spec.precision.filter(|precision| *precision >= 0);
    let most = precision.map_or(usize::MAX, |precision| precision as usize);
    let cut: String = text.chars().take(most).collect();
    spec.pad("", &cut, true)
}

#[test]
fn strings() {
    let text = proptest::collection::vec(proptest::sample::select(b"ab%\x80\xe9 ".to_vec()), 0..20);
    property(400, (any_spec(), text), |guest, (spec, text)| {
        let (narrow, wide) = (guest.text(&text), guest.wide(&w(&decoded(&text))));
        let (ansi, unicode) = (
            guest.ansi(&text, 40),
            guest.unicode(&w(&decoded(&text)), 60),
        );
        let expected = string(&spec, &decoded(&text));
        let fixed = [
            ("h", 's', narrow),
            ("h", 'S', narrow),
            ("l", 's', wide),
            ("w", 's', wide),
            ("l", 'S', wide),
            ("", 'Z', ansi),
            ("h", 'Z', ansi),
            ("w", 'Z', unicode),
            ("l", 'Z', unicode),
        ];
        for (prefix, letter, argument) in fixed {
            let (format, mut arguments) = spec.format(prefix, letter);
            arguments.push(argument);
            assert_eq!(print(guest, &format, &arguments), expected, "{format}");
        }
        // of the function's own width, and of the other one
        for (letter, of_narrow, of_wide) in [('s', narrow, wide), ('S', wide, narrow)] {
            let (format, arguments) = spec.format("", letter);
            let got = print_narrow(guest, &format, &[&arguments[..], &[of_narrow]].concat());
            assert_eq!(got, expected, "{format}");
            let got = print_wide(guest, &format, &[&arguments[..], &[of_wide]].concat());
            assert_eq!(got, expected, "{format}");
        }
    });
}

#[test]
fn characters() {
    property(200, (any_spec(), 1..=255u8), |guest, (spec, byte)| {
        let unit = decode(byte);
        let character = char::from_u32(unit.into()).unwrap().to_string();
        let expected = spec.pad("", &character, true);
        // what is above the character does not count
        let (narrow, wide) = (u64::from(byte) | 0x5500, u64::from(unit) | 0x55_0000);
        for (prefix, letter, argument) in [
            ("h", 'c', narrow),
            ("h", 'C', narrow),
            ("l", 'c', wide),
            ("w", 'C', wide),
        ] {
            let (format, mut arguments) = spec.format(prefix, letter);
            arguments.push(argument);
            assert_eq!(print(guest, &format, &arguments), expected, "{format}");
        }
        for (letter, of_narrow, of_wide) in [('c', narrow, wide), ('C', wide, narrow)] {
            let (format, arguments) = spec.format("", letter);
            let got = print_narrow(guest, &format, &[&arguments[..], &[of_narrow]].concat());
            assert_eq!(got, expected, "{format}");
            let got = print_wide(guest, &format, &[&arguments[..], &[of_wide]].concat());
            assert_eq!(got, expected, "{format}");
        }
    });
}

#[test]
fn missing_strings() {
    let mut guest = Guest::new();
    for format in ["%s", "%S", "%ws", "%hs", "%Z", "%wZ"] {
        assert_eq!(print(&mut guest, format, &[0]), "(null)");
    }
    let empty = guest.put(&[4, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for format in ["%Z", "%wZ"] {
        assert_eq!(print(&mut guest, format, &[empty]), "(null)");
    }
    assert_eq!(print(&mut guest, "[%9.3s]", &[0]), "[      (nu]");
}

/// A counted string's length is its own: no zero ends it, and none is needed.
#[test]
fn counted_strings() {
    let mut guest = Guest::new();
    let string = guest.unicode(&[0x61, 0, 0x62], 0);
    assert_eq!(print(&mut guest, "<%wZ>", &[string]), "<a\0b>");
    let string = guest.ansi(b"a\0b", 0);
    assert_eq!(print(&mut guest, "<%Z>", &[string]), "<a\0b>");
    let unterminated = guest.put(b"abcd");
    assert_eq!(print(&mut guest, "%.4hs", &[unterminated]), "abcd");
}

#[test]
fn what_is_no_specification() {
    let mut guest = Guest::new();
    for (format, arguments, expected) in [
        ("", &[][..], ""),
        ("100%%", &[], "100%"),
        ("%", &[], ""),
        ("a%-5", &[], "a"),
        ("%I", &[], ""),
        // a letter without a meaning is printed, and takes no argument
        ("%y %d", &[7], "y 7"),
        ("%5.3k|%u", &[8], "k|8"),
        ("%I6d %u", &[8, 9], "6d 8"),
        // floating point: the letter, for its argument
        ("%f %d", &[0x3ff0_0000_0000_0000, 7], "f 7"),
        ("%10.3e|%G|%a|%d", &[1, 2, 3, 4], "e|G|a|4"),
        // more arguments than registers
        ("%d %d %d %d %d %d", &[1, 2, 3, 4, 5, 6], "1 2 3 4 5 6"),
        ("€ %x é", &[10], "€ a é"),
    ] {
        guest.reset();
        assert_eq!(print(&mut guest, format, arguments), expected, "{format}");
    }
}

/// A character that is not in the code page, in a function that writes bytes.
#[test]
fn characters_that_are_not_in_the_code_page() {
    let mut guest = Guest::new();
    let text = guest.wide(&w("aΩb"));
    assert_eq!(print_narrow(&mut guest, "%ws %C", &[text, 0x3a9]), "a?b ?");
    assert_eq!(print_wide(&mut guest, "%ws %c", &[text, 0x3a9]), "aΩb Ω");
}
