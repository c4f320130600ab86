//! `UNICODE_STRING`s. Microsoft's pages of `RtlInitUnicodeString`, `RtlInitUnicodeStringEx`,
//! `RtlCopyUnicodeString`, `RtlAppendUnicodeStringToString`, `RtlAppendUnicodeToString`,
//! `RtlCompareUnicodeString`, `RtlEqualUnicodeString`, `RtlPrefixUnicodeString` (wdm.h, ntddk.h).

use crate::guest::*;
use proptest::prelude::*;

const NAME_TOO_LONG: u32 = 0xc000_0106;

#[test]
fn initialized_from_c_strings() {
    let mut guest = Guest::new();
    let string = guest.room(16);
    let text = guest.wide(&w("nine char"));
    for name in ["RtlInitUnicodeString", "RtlInitUnicodeStringEx"] {
        guest.call(name, &[string, text]);
        assert_eq!(
            (guest.bytes(string, 4), guest.u64(string + 8)),
            (vec![18, 0, 20, 0], text)
        );
        guest.call(name, &[string, 0]);
        assert_eq!(
            (guest.bytes(string, 4), guest.u64(string + 8)),
            (vec![0; 4], 0)
        );
    }
    for (length, status) in [
        (0x7ffe, SUCCESS),
        (0x7fff, NAME_TOO_LONG),
        (0x8010, NAME_TOO_LONG),
    ] {
        let text = guest.wide(&vec![b'x'.into(); length]);
        guest.call("RtlInitUnicodeString", &[string, text]);
        assert_eq!(guest.u32(string), 0xfffe_fffc, "{length:#x}");
        assert_eq!(
            guest.ulong("RtlInitUnicodeStringEx", &[string, text]),
            status
        );
    }
    guest.check();
}

/// A string's text, and a zero behind it if its buffer has room for one.
#[track_caller]
fn holds(guest: &Guest, string: u64, expected: &[u16]) {
    let result = guest.read_unicode(string);
    assert_eq!(result.text, expected);
    let length = 2 * expected.len() as u64;
    if length + 2 <= result.maximum.into() {
        assert_eq!(guest.u16(result.buffer + length), 0);
    }
}

#[test]
fn copied_and_appended() {
    let values = (any_units(12), any_units(12), 0..60usize);
    property(150, values, |guest, (first, second, room)| {
        let (to, from) = (guest.unicode(&first, room), guest.unicode(&second, 0));
        let terminated = guest.wide(&second);
        let room = room.max(2 * first.len());
        let fits = 2 * (first.len() + second.len()) <= room;
        let expected = if fits {
            [&first[..], &second].concat()
        } else {
            first.clone()
        };
        let status = if fits { SUCCESS } else { BUFFER_TOO_SMALL };
        let name = "RtlAppendUnicodeStringToString";
        assert_eq!(guest.ulong(name, &[to, from]), status);
        assert_eq!(guest.read_unicode(to).text, expected);
        if fits && !second.is_empty() {
            holds(guest, to, &expected);
        }
        guest.write(to, &(2 * first.len() as u16).to_le_bytes());
        assert_eq!(
            guest.ulong("RtlAppendUnicodeToString", &[to, terminated]),
            status
        );
        assert_eq!(guest.read_unicode(to).text, expected);
        guest.call("RtlCopyUnicodeString", &[to, from]);
        let done = second.len().min(room / 2);
        if 2 * second.len() <= room || room % 2 == 0 {
            holds(guest, to, &second[..done]);
        }
        assert_eq!(guest.ulong("RtlAppendUnicodeToString", &[to, 0]), SUCCESS);
        guest.call("RtlCopyUnicodeString", &[to, 0]);
        holds(guest, to, &[]);
    });
}

/// The parts of a string may lie over each other.
#[test]
fn appended_to_itself() {
    let mut guest = Guest::new();
    let string = guest.unicode(&w("abc"), 12);
    let name = "RtlAppendUnicodeStringToString";
    assert_eq!(guest.ulong(name, &[string, string]), SUCCESS);
    assert_eq!(guest.read_unicode(string).text, w("abcabc"));
    assert_eq!(guest.ulong(name, &[string, string]), BUFFER_TOO_SMALL);
}

fn fold(text: &[u16], ignore: bool) -> Vec<u16> {
    let upper = |unit: &u16| match unit {
        0x61..=0x7a | 0xe9 | 0x436 => unit - 0x20,
        0x3c9 => 0x3a9,
        _ => *unit,
    };
    text.iter()
        .map(|unit| if ignore { upper(unit) } else { *unit })
        .collect()
}

#[test]
fn compared() {
    let text =
        || proptest::collection::vec(proptest::sample::select(w("aAbZ[_éÉжЖωΩ\u{ffff}")), 0..4);
    property(
        400,
        (text(), text(), any::<bool>()),
        |guest, (first, second, ignore)| {
            let (a, b) = (guest.unicode(&first, 0), guest.unicode(&second, 0));
            let (x, y) = (fold(&first, ignore), fold(&second, ignore));
            let ignore = u64::from(ignore);
            let order = guest.int("RtlCompareUnicodeString", &[a, b, ignore]);
            assert_eq!(order.cmp(&0), x.cmp(&y));
            let (p, q) = (guest.wide(&first), guest.wide(&second));
            let arguments = [p, first.len() as u64, q, second.len() as u64, ignore];
            let order = guest.int("RtlCompareUnicodeStrings", &arguments);
            assert_eq!(order.cmp(&0), x.cmp(&y));
            let equal = guest.boolean("RtlEqualUnicodeString", &[a, b, ignore]);
            assert_eq!(equal, x == y);
            let prefix = guest.boolean("RtlPrefixUnicodeString", &[a, b, ignore]);
            assert_eq!(prefix, y.starts_with(&x));
        },
    );
}

/// An odd length: the last byte is no character.
#[test]
fn odd_lengths() {
    let mut guest = Guest::new();
    let (a, b) = (guest.unicode(&w("abc"), 0), guest.unicode(&w("abd"), 0));
    for string in [a, b] {
        guest.write(string, &5u16.to_le_bytes());
    }
    assert!(guest.boolean("RtlEqualUnicodeString", &[a, b, 0]));
    assert!(guest.boolean("RtlPrefixUnicodeString", &[a, b, 0]));
    assert_eq!(guest.int("RtlCompareUnicodeString", &[a, b, 0]), 0);
    let hash = guest.put(&[0; 4]);
    assert_eq!(
        guest.ulong("RtlHashUnicodeString", &[a, 0, 0, hash]),
        SUCCESS
    );
    assert_eq!(guest.u32(hash), 97 * 65599 + 98);
    guest.check();
}
