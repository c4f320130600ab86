//! Strings of the C run-time library, of both widths, against Rust's slices. Microsoft's pages of the
//! functions; the locale is "C", so only A to Z have another case.

use crate::guest::*;
use proptest::prelude::*;

/// A width of characters: the functions' names are those of the width.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Width {
    Narrow,
    Wide,
}
use Width::{Narrow, Wide};

impl Width {
    fn size(self) -> u64 {
        if self == Narrow { 1 } else { 2 }
    }

    fn bytes(self, text: &[u16]) -> Vec<u8> {
        match self {
            Narrow => text.iter().map(|unit| *unit as u8).collect(),
            Wide => units(text),
        }
    }

    /// Text with a zero at its end.
    fn put(self, guest: &mut Guest, text: &[u16]) -> u64 {
        guest.put(&self.bytes(&[text, &[0]].concat()))
    }

    fn read(self, guest: &Guest, at: u64, count: usize) -> Vec<u16> {
        match self {
            Narrow => guest
                .bytes(at, count)
                .iter()
                .map(|byte| u16::from(*byte))
                .collect(),
            Wide => guest.units(at, count),
        }
    }

    fn name<'a>(self, narrow: &'a str, wide: &'a str) -> &'a str {
        if self == Narrow { narrow } else { wide }
    }
}

/// Texts of letters in both cases, and some that have a sign if characters have.
fn text(width: Width, most: usize) -> impl Strategy<Value = Vec<u16>> {
    let mut units = w("aAbBzZ[`@{");
    units.extend(if width == Narrow {
        [0x80, 0xff]
    } else {
        [0xc9, 0xffff]
    });
    proptest::collection::vec(proptest::sample::select(units), 0..=most)
}

fn lower(text: &[u16]) -> Vec<u16> {
    let lower = |unit: &u16| {
        if (65..91).contains(unit) {
            unit + 32
        } else {
            *unit
        }
    };
    text.iter().map(lower).collect()
}

fn upper(text: &[u16]) -> Vec<u16> {
    let upper = |unit: &u16| {
        if (97..123).contains(unit) {
            unit - 32
        } else {
            *unit
        }
    };
    text.iter().map(upper).collect()
}

fn both<S: Strategy>(
    cases: u32,
    values: impl Fn(Width) -> S,
    test: impl Fn(&mut Guest, Width, S::Value),
) {
    for width in [Narrow, Wide] {
        property(cases, values(width), |guest, value| {
            test(guest, width, value)
        });
    }
}

#[test]
fn measured() {
    both(
        100,
        |width| (text(width, 12), 0..16u64),
        |guest, width, (text, most)| {
            let at = width.put(guest, &text);
            let length = text.len() as u64;
            assert_eq!(guest.call(width.name("strlen", "wcslen"), &[at]), length);
            let got = guest.call(width.name("strnlen", "wcsnlen"), &[at, most]);
            assert_eq!(got, length.min(most));
        },
    );
}

#[test]
fn compared() {
    let values = |width| (text(width, 4), text(width, 4), 0..6usize);
    both(400, values, |guest, width, (first, second, count)| {
        let (a, b) = (width.put(guest, &first), width.put(guest, &second));
        let head = |text: &[u16]| text[..count.min(text.len())].to_vec();
        let (x, y) = (lower(&first), lower(&second));
        let mut order = |narrow, wide, arguments: &[u64]| {
            guest.int(width.name(narrow, wide), arguments).cmp(&0)
        };
        assert_eq!(order("strcmp", "wcscmp", &[a, b]), first.cmp(&second));
        assert_eq!(order("_stricmp", "_wcsicmp", &[a, b]), x.cmp(&y));
        let count = count as u64;
        assert_eq!(
            order("strncmp", "wcsncmp", &[a, b, count]),
            head(&first).cmp(&head(&second))
        );
        assert_eq!(
            order("_strnicmp", "_wcsnicmp", &[a, b, count]),
            head(&x).cmp(&head(&y))
        );
    });
}

#[test]
fn searched() {
    let values = |width| (text(width, 8), text(width, 3));
    both(300, values, |guest, width, (text, other)| {
        let (at, set) = (width.put(guest, &text), width.put(guest, &other));
        let place =
            |place: Option<usize>| place.map_or(0, |place| at + place as u64 * width.size());
        let terminated = [&text[..], &[0]].concat();
        for unit in w("aZ[").into_iter().chain([0, 0xff]) {
            let first = terminated.iter().position(|at| *at == unit);
            let last = terminated.iter().rposition(|at| *at == unit);
            let got = guest.call(width.name("strchr", "wcschr"), &[at, unit.into()]);
            assert_eq!(got, place(first));
            let got = guest.call(width.name("strrchr", "wcsrchr"), &[at, unit.into()]);
            assert_eq!(got, place(last));
        }
        let found = (0..=text.len()).find(|from| text[*from..].starts_with(&other));
        let got = guest.call(width.name("strstr", "wcsstr"), &[at, set]);
        assert_eq!(got, place(found));
        let span = text.iter().take_while(|unit| other.contains(unit)).count();
        let got = guest.call(width.name("strspn", "wcsspn"), &[at, set]);
        assert_eq!(got, span as u64);
        let span = text.iter().take_while(|unit| !other.contains(unit)).count();
        let got = guest.call(width.name("strcspn", "wcscspn"), &[at, set]);
        assert_eq!(got, span as u64);
    });
}

#[test]
fn copied() {
    let values = |width| (text(width, 8), text(width, 8), 0..12usize);
    both(200, values, |guest, width, (first, second, count)| {
        let source = width.put(guest, &second);
        let filled = vec![0x2e; 20];
        let check = |guest: &mut Guest, name: &str, count: Option<usize>, expected: &[u16]| {
            // the destination holds the first text, and more behind it
            let mut room = filled.clone();
            room[..first.len()].copy_from_slice(&first);
            room[first.len()] = 0;
            let at = guest.put(&width.bytes(&room));
            let count = count.map(|count| count as u64);
            let arguments: Vec<u64> = [at, source].into_iter().chain(count).collect();
            assert_eq!(guest.call(name, &arguments), at);
            let end = expected.len();
            assert_eq!(width.read(guest, at, end), expected, "{name}");
            assert_eq!(
                width.read(guest, at, 20)[end..],
                room[end..],
                "{name} writes too much"
            );
        };
        let cut = &second[..count.min(second.len())];
        let with_zero = |parts: &[&[u16]]| [parts.concat(), vec![0]].concat();
        check(
            guest,
            width.name("strcpy", "wcscpy"),
            None,
            &with_zero(&[&second]),
        );
        check(
            guest,
            width.name("strcat", "wcscat"),
            None,
            &with_zero(&[&first, &second]),
        );
        check(
            guest,
            width.name("strncat", "wcsncat"),
            Some(count),
            &with_zero(&[&first, cut]),
        );
        // filled up with zeros, and without one if there is no room
        let mut expected = cut.to_vec();
        expected.resize(count, 0);
        check(
            guest,
            width.name("strncpy", "wcsncpy"),
            Some(count),
            &expected,
        );
    });
}

#[test]
fn changed_in_place() {
    let values = |width| (text(width, 8), 0..12usize);
    both(150, values, |guest, width, (text, count)| {
        let reversed: Vec<u16> = text.iter().rev().copied().collect();
        let mut filled = text.clone();
        filled[..count.min(text.len())].fill(b'x'.into());
        let cases = [
            (width.name("_strlwr", "_wcslwr"), vec![], lower(&text)),
            (width.name("_strupr", "_wcsupr"), vec![], upper(&text)),
            (width.name("_strrev", "_wcsrev"), vec![], reversed),
            (
                width.name("_strnset", "_wcsnset"),
                vec![b'x'.into(), count as u64],
                filled,
            ),
        ];
        for (name, more, expected) in cases {
            let at = width.put(guest, &text);
            assert_eq!(guest.call(name, &[vec![at], more].concat()), at);
            assert_eq!(
                width.read(guest, at, text.len() + 1),
                [expected, vec![0]].concat(),
                "{name}"
            );
        }
        if width == Narrow {
            let at = width.put(guest, &text);
            assert_eq!(guest.call("_strset", &[at, b'y'.into()]), at);
            assert_eq!(
                width.read(guest, at, text.len() + 1),
                [vec![b'y'.into(); text.len()], vec![0]].concat()
            );
        }
    });
}

/// Kinds of single characters, in the "C" locale.
#[test]
fn kinds_of_characters() {
    let mut guest = Guest::new();
    for c in 0..=255u8 {
        let argument = [u64::from(c)];
        let mut is = |name| guest.int(name, &argument) != 0;
        assert_eq!(is("isdigit"), c.is_ascii_digit());
        assert_eq!(is("isxdigit"), c.is_ascii_hexdigit());
        assert_eq!(is("islower"), c.is_ascii_lowercase());
        assert_eq!(is("isupper"), c.is_ascii_uppercase());
        assert_eq!(is("isspace"), c.is_ascii_whitespace() || c == 0x0b);
        assert_eq!(is("isprint"), c.is_ascii_graphic() || c == b' ');
        let mut to = |name| guest.call(name, &argument) as u16;
        for name in ["tolower", "towlower"] {
            assert_eq!(to(name), u16::from(c.to_ascii_lowercase()));
        }
        for name in ["toupper", "towupper"] {
            assert_eq!(to(name), u16::from(c.to_ascii_uppercase()));
        }
    }
    // EOF
    assert_eq!(guest.int("toupper", &[0xffff_ffff]), -1);
    assert_eq!(guest.int("isspace", &[0xffff_ffff]), 0);
}

#[test]
fn multibyte_characters() {
    use crate::ansi::{decode, encode};
    let wide = proptest::collection::vec(proptest::sample::select(w("aZ?é€ÿΩ")), 0..8);
    property(
        200,
        (wide, any_bytes(8), 0..12usize),
        |guest, (wide, narrow, count)| {
            let encoded: Vec<u8> = wide.iter().map(|unit| encode(*unit)).collect();
            // a character that is not in the code page: -1, if the conversion gets there
            let wrong = wide.iter().position(|unit| *unit == 0x3a9);
            let source = guest.wide(&wide);
            let length = guest.call("wcstombs", &[0, source, 0]);
            assert_eq!(
                length,
                if wrong.is_some() {
                    u64::MAX
                } else {
                    wide.len() as u64
                }
            );
            let to = guest.room(12);
            let done = count.min(wide.len());
            let got = guest.call("wcstombs", &[to, source, count as u64]);
            if wrong.is_some_and(|place| place < count) {
                assert_eq!(got, u64::MAX);
            } else {
                assert_eq!(
                    (got, guest.bytes(to, done)),
                    (done as u64, encoded[..done].to_vec())
                );
                let zero = if count > wide.len() { 0 } else { FILL };
                assert_eq!(
                    guest
                        .bytes(to + done as u64, 12 - done)
                        .first()
                        .copied()
                        .unwrap_or(zero),
                    zero
                );
            }
            let source = guest.text(&narrow);
            assert_eq!(guest.call("mbstowcs", &[0, source, 0]), narrow.len() as u64);
            let (to, done) = (guest.room(24), count.min(narrow.len()));
            assert_eq!(
                guest.call("mbstowcs", &[to, source, count as u64]),
                done as u64
            );
            let decoded: Vec<u16> = narrow.iter().map(|byte| decode(*byte)).collect();
            assert_eq!(guest.units(to, done), decoded[..done]);
        },
    );
    let mut guest = Guest::new();
    let (to, text) = (guest.room(2), guest.text(b"\x80"));
    assert_eq!(guest.int("wctomb", &[to, 0x20ac]), 1);
    assert_eq!(guest.bytes(to, 2), [0x80, FILL]);
    assert_eq!(guest.int("wctomb", &[to, 0x3a9]), -1);
    assert_eq!(guest.int("wctomb", &[0, 0]), 0);
    assert_eq!(
        (guest.int("mbtowc", &[to, text, 1]), guest.u16(to)),
        (1, 0x20ac)
    );
    assert_eq!(
        (guest.int("mbtowc", &[to, text + 1, 1]), guest.u16(to)),
        (0, 0)
    );
    assert_eq!(guest.int("mbtowc", &[to, text, 0]), 0);
    assert_eq!(guest.int("mbtowc", &[0, text, 1]), 1);
}
