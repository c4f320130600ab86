//! Names of files: `FsRtlIsNameInExpression`, `FsRtlDissectName`, `FsRtlDoesNameContainWildCards` (ntifs.h), and the
//! statuses of `FsRtlNormalizeNtstatus` and `FsRtlIsTotalDeviceFailure`.

use crate::guest::*;

/// What a file system's expression means, by its definition: by trying everything.
fn matches(expression: &[u16], name: &[u16]) -> bool {
    let Some((first, rest)) = expression.split_first() else {
        return name.is_empty();
    };
    let dot = u16::from(b'.');
    let tail = || name.split_first().map_or(&[][..], |(_, tail)| tail);
    match u8::try_from(*first).unwrap_or(0) {
        b'*' => (0..=name.len()).any(|taken| matches(rest, &name[taken..])),
        // everything up to the last period
        b'<' => (0..=name.len()).any(|taken| {
            let last = name.iter().rposition(|unit| *unit == dot);
            last.is_none_or(|last| taken <= last) && matches(rest, &name[taken..])
        }),
        b'?' => !name.is_empty() && matches(rest, tail()),
        // any character but a period, or nothing in front of one or at the end
        b'>' => match name.first() {
            Some(unit) if *unit != dot => matches(rest, tail()),
            _ => matches(rest, name),
        },
        // a period, or nothing at the end
        b'"' => match name.first() {
            Some(unit) => *unit == dot && matches(rest, tail()),
            None => matches(rest, name),
        },
        _ => name.first() == Some(first) && matches(rest, tail()),
    }
}

fn is_in(guest: &mut Guest, expression: &[u16], name: &[u16], ignore_case: bool) -> bool {
    let (expression, name) = (guest.unicode(expression, 0), guest.unicode(name, 0));
    let arguments = [expression, name, ignore_case.into(), 0];
    let value = guest.boolean("FsRtlIsNameInExpression", &arguments);
    guest.reset();
    value
}

#[test]
fn expressions_match_what_they_mean() {
    let text = |letters: &'static str, most| {
        proptest::collection::vec(proptest::sample::select(w(letters)), 1..most)
    };
    let values = (text("AB.*?<>\"", 8), text("AB..", 9));
    property(1500, values, |guest, (expression, name)| {
        let expected = matches(&expression, &name);
        let found = is_in(guest, &expression, &name, false);
        let texts = [&expression, &name].map(|text| String::from_utf16_lossy(text));
        assert_eq!(found, expected, "{texts:?}");
    });
}

#[test]
fn known_expressions() {
    let mut guest = Guest::new();
    for (expression, name, ignore_case, expected) in [
        ("*.SYS", "driver.sys", true, true),
        ("*.SYS", "driver.sys", false, false),
        ("*", "x", true, true),
        ("<.TXT", "a.b.txt", true, true),
        ("A>>>\"<", "a.c", true, true),
        ("A>>>", "abcd", true, true),
        ("A>>>", "abcde", true, false),
        ("ÄÖ?", "äöü", true, true),
        ("", "", true, true),
        ("*", "", true, false),
    ] {
        let found = is_in(&mut guest, &w(expression), &w(name), ignore_case);
        assert_eq!(found, expected, "{expression} {name}");
    }
}

/// A star for each character of a long name takes time in proportion, not exponentially more.
#[test]
fn many_stars_end() {
    let mut guest = Guest::new();
    let expression = w(&"*A".repeat(60));
    assert!(!is_in(&mut guest, &expression, &w(&"B".repeat(200)), false));
}

#[test]
fn wild_cards_and_parts() {
    let mut guest = Guest::new();
    for (name, expected) in [("a.b", false), ("a*", true), ("a\"b", true), ("", false)] {
        let name = guest.unicode(&w(name), 0);
        let found = guest.boolean("FsRtlDoesNameContainWildCards", &[name]);
        assert_eq!(found, expected);
    }
    for (path, first, rest) in [
        (r"\one\two\three", "one", r"two\three"),
        (r"one\two", "one", "two"),
        ("one", "one", ""),
        (r"\", "", ""),
        (r"\\x", "", "x"),
        ("", "", ""),
    ] {
        let path = guest.unicode(&w(path), 0);
        let (a, b) = (guest.room(16), guest.room(16));
        guest.call("FsRtlDissectName", &[path, a, b]);
        let text = |guest: &Guest, at: u64| match guest.u64(at + 8) {
            0 => Vec::new(),
            _ => guest.read_unicode(at).text,
        };
        assert_eq!([text(&guest, a), text(&guest, b)], [w(first), w(rest)]);
    }
}

#[test]
fn statuses_of_file_systems() {
    let mut guest = Guest::new();
    for (status, expected, total) in [
        (0xc000_0005_u32, false, true),
        (0x8000_0002, false, true),
        (0xc000_001d, false, true),
        (0xc000_00aa, false, true),
        (0xc000_009c, true, false),
        (0xc000_003f, true, false),
        (0xc000_0022, true, true),
        (0, true, false),
    ] {
        let is = guest.boolean("FsRtlIsNtstatusExpected", &[status.into()]);
        assert_eq!(is, expected);
        let normal = guest.ulong("FsRtlNormalizeNtstatus", &[status.into(), 0x1234]);
        assert_eq!(normal, if expected { status } else { 0x1234 });
        let failed = guest.boolean("FsRtlIsTotalDeviceFailure", &[status.into()]);
        assert_eq!(failed, total);
    }
}

#[test]
fn numbers_of_other_widths() {
    let mut guest = Guest::new();
    for (text, base, value, used) in [
        ("  42x", 10, 42, 4),
        ("0x1F", 0, 0x1f, 4),
        ("-1", 10, u32::MAX, 2),
        ("99999999999", 10, u32::MAX, 11),
        ("z", 10, 0, 0),
    ] {
        let (at, end) = (guest.text(text.as_bytes()), guest.room(8));
        assert_eq!(guest.ulong("strtoul", &[at, end, base]), value, "{text}");
        assert_eq!(guest.u64(end) - at, used, "{text}");
    }
    for (text, value) in [
        ("-12345678901234", -12_345_678_901_234_i64),
        ("9223372036854775807", i64::MAX),
        ("9223372036854775808", i64::MAX),
        ("-9223372036854775809", i64::MIN),
    ] {
        let at = guest.text(text.as_bytes());
        assert_eq!(guest.call("_atoi64", &[at]) as i64, value, "{text}");
    }
    let buffer = guest.room(140);
    for (name, value, radix, text) in [
        ("_ultow", 0xffff_ffff_u64, 10, "4294967295"),
        ("_ui64tow", u64::MAX, 16, "ffffffffffffffff"),
        ("_ui64tow", 5, 2, "101"),
    ] {
        assert_eq!(guest.call(name, &[value, buffer, radix]), buffer);
        assert_eq!(guest.wide_string(buffer), w(text));
    }
}
