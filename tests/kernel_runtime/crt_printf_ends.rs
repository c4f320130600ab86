//! Where the functions of the printf family stop, and what they return. Microsoft's pages of `sprintf`,
//! `_snprintf` ("If len = count, then len characters are stored in buffer, no null-terminator is appended,
//! and len is returned. If len > count, then count characters are stored, no null-terminator is appended, and
//! a negative value is returned"), `sprintf_s`, `_snprintf_s` (`_TRUNCATE`), and those with a `va_list`.

use crate::guest::*;

const TRUNCATE: u64 = u64::MAX;

/// A function with its arguments as they are, or with a list of them.
struct Print {
    names: [&'static str; 4],
    /// Arguments between the buffer and the format.
    between: Vec<u64>,
    expected: (i32, Vec<u8>),
}

fn bytes(text: &[u8], wide: bool) -> Vec<u8> {
    match wide {
        false => text.to_vec(),
        true => text.iter().flat_map(|byte| [*byte, 0]).collect(),
    }
}

/// Formats `<%s>` and a number, with each of the four functions, into a buffer of so many characters.
fn check(guest: &mut Guest, text: &[u8], size: usize, print: Print) {
    for (i, name) in print
        .names
        .into_iter()
        .enumerate()
        .filter(|(_, name)| !name.is_empty())
    {
        let (wide, list) = (i % 2 == 1, i / 2 == 1);
        let text = guest.put(&bytes(&[text, &[0]].concat(), wide));
        let format = guest.put(&bytes(b"<%s%d>\0", wide));
        let buffer = guest.put(&bytes(&vec![b'.'; size], wide));
        let arguments = match list {
            false => vec![text, 7],
            true => vec![guest.put(&words(&[text, 7]))],
        };
        let arguments = [vec![buffer], print.between.clone(), vec![format], arguments].concat();
        let value = guest.int(name, &arguments);
        let (expected, contents) = &print.expected;
        assert_eq!(value, *expected, "{name} {size} {:?}", print.between);
        let got = guest.bytes(buffer, contents.len() * if wide { 2 } else { 1 });
        assert_eq!(
            got,
            bytes(contents, wide),
            "{name} {size} {:?}",
            print.between
        );
    }
}

/// What `_snprintf` leaves in a buffer of a size: as much as fits `count`, and a zero if there is room.
fn stored(all: &[u8], count: usize, size: usize) -> Vec<u8> {
    let mut contents = all[..all.len().min(count)].to_vec();
    if all.len() < count {
        contents.push(0);
    }
    contents.resize(size.max(contents.len()), b'.');
    contents
}

#[test]
fn up_to_a_count() {
    let text = proptest::collection::vec(b'a'..b'e', 0..10);
    property(200, (text, 0..16usize), |guest, (text, count)| {
        let all = [b"<", &text[..], b"7>"].concat();
        let length = all.len() as i32;
        let print = Print {
            names: ["_snprintf", "_snwprintf", "_vsnprintf", "_vsnwprintf"],
            between: vec![count as u64],
            expected: (
                if all.len() > count { -1 } else { length },
                stored(&all, count, 20),
            ),
        };
        check(guest, &text, 20, print);
        let print = Print {
            names: ["sprintf", "swprintf", "vsprintf", "_vswprintf"],
            between: vec![],
            expected: (length, stored(&all, 20, 20)),
        };
        check(guest, &text, 20, print);
        let print = Print {
            names: ["", "_swprintf", "", ""],
            between: vec![],
            expected: (length, stored(&all, 20, 20)),
        };
        check(guest, &text, 20, print);
    });
}

#[test]
fn secure() {
    let mut guest = Guest::new();
    let counts = (0..=10).chain([TRUNCATE]);
    let texts = counts.flat_map(|count| (0..5).map(move |length| (count, length)));
    let cases = texts.flat_map(|(count, length)| (1..=10).map(move |size| (count, length, size)));
    for (count, length, size) in cases {
        guest.reset();
        let text = vec![b'a'; length];
        let all = [b"<", &text[..], b"7>"].concat();
        let length = all.len() as i32;
        let with_zero = |text: &[u8]| [text, &[0]].concat();
        let print = Print {
            names: ["sprintf_s", "swprintf_s", "vsprintf_s", "vswprintf_s"],
            between: vec![size as u64],
            // what does not fit leaves an empty string
            expected: if all.len() < size {
                (length, with_zero(&all))
            } else {
                (-1, vec![0])
            },
        };
        check(&mut guest, &text, size, print);
        let most = (size as u64 - 1).min(count) as usize;
        let expected = if all.len() <= most {
            (length, with_zero(&all))
        } else if count == TRUNCATE || count < size as u64 {
            (-1, with_zero(&all[..most]))
        } else {
            (-1, vec![0])
        };
        let print = Print {
            names: [
                "_snprintf_s",
                "_snwprintf_s",
                "_vsnprintf_s",
                "_vsnwprintf_s",
            ],
            between: vec![size as u64, count],
            expected,
        };
        check(&mut guest, &text, size, print);
    }
    guest.check();
}

/// "if count is zero and buffer is NULL": the number of characters that would be needed.
#[test]
fn counted_without_a_buffer() {
    let mut guest = Guest::new();
    let (format, wide) = (guest.text(b"%1000d"), guest.wide(&w("%1000d")));
    assert_eq!(guest.int("_snprintf", &[0, 0, format, 1]), 1000);
    assert_eq!(guest.int("_snwprintf", &[0, 0, wide, 1]), 1000);
    // but not with a count, and not without a format
    assert_eq!(guest.int("_snprintf", &[0, 5, format, 1]), -1);
    let buffer = guest.room(4);
    assert_eq!(guest.int("_snprintf", &[buffer, 4, 0]), -1);
    for arguments in [[0, 4, format, 1], [buffer, 0, format, 1], [buffer, 4, 0, 1]] {
        assert_eq!(guest.int("sprintf_s", &arguments), -1);
    }
    assert_eq!(guest.bytes(buffer, 4), [FILL; 4]);
}

/// Widths of any size: what does not fit the buffer is only counted, and takes no time.
#[test]
fn hostile_widths() {
    let mut guest = Guest::new();
    let buffer = guest.room(8);
    for format in [
        "%2147483647d",
        "%99999999999999999999d",
        "%.2147483647d",
        "%-2147483647d",
        "%02147483647d",
    ] {
        let format = guest.text(format.as_bytes());
        let before = guest.lab.machine().work();
        assert_eq!(guest.int("_snprintf", &[buffer, 8, format, 5]), -1);
        assert!(guest.lab.machine().work() - before < 20_000);
    }
    for star in [0x8000_0000, 0x7fff_ffff] {
        let format = guest.text(b"%*.*d");
        assert_eq!(
            guest.int("_snprintf", &[buffer, 8, format, star, star, 5]),
            -1
        );
    }
    guest.check();
}

/// `%n` is disabled: nothing is written through its argument, and the call fails.
#[test]
fn no_counts_are_stored() {
    let mut guest = Guest::new();
    let (buffer, count) = (guest.room(8), guest.room(8));
    let format = guest.text(b"ab%ncd");
    assert_eq!(guest.int("_snprintf", &[buffer, 8, format, count]), -1);
    assert_eq!(guest.int("sprintf_s", &[buffer, 8, format, count]), -1);
    assert_eq!(guest.string(buffer), b"");
    assert_eq!(guest.bytes(count, 8), [FILL; 8]);
}
