//! `STRING`s. Microsoft's pages of `RtlInitString`, `RtlInitAnsiString`, `RtlCopyString`,
//! `RtlAppendStringToString`, `RtlCompareString`, `RtlEqualString`, `RtlUpperString` (wdm.h, ntddk.h).

use crate::guest::*;
use proptest::prelude::*;

const NAME_TOO_LONG: u32 = 0xc000_0106;

/// The case of letters, in the range that the model compares.
fn fold(text: &[u8], ignore: bool) -> Vec<u8> {
    let mut text = text.to_vec();
    if ignore {
        text.make_ascii_uppercase();
    }
    text
}

fn ascii(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(b"aAbBzZ[`_09".to_vec()), 0..=most)
}

#[test]
fn initialized_from_c_strings() {
    let mut guest = Guest::new();
    let string = guest.room(16);
    let text = guest.text(b"nine char");
    for name in ["RtlInitString", "RtlInitAnsiString", "RtlInitAnsiStringEx"] {
        assert_eq!(
            guest.call(name, &[string, text]) as u32 * u32::from(name.ends_with("Ex")),
            0
        );
        assert_eq!(guest.bytes(string, 4), [9, 0, 10, 0]);
        assert_eq!(guest.u64(string + 8), text);
        guest.call(name, &[string, 0]);
        assert_eq!(
            (guest.bytes(string, 4), guest.u64(string + 8)),
            (vec![0; 4], 0)
        );
    }
    // the longest that still has a maximum length
    for (length, status) in [
        (0xfffe, SUCCESS),
        (0xffff, NAME_TOO_LONG),
        (0x10005, NAME_TOO_LONG),
    ] {
        let text = guest.text(&vec![b'x'; length]);
        for name in ["RtlInitString", "RtlInitAnsiString"] {
            guest.call(name, &[string, text]);
            assert_eq!(guest.u32(string), 0xffff_fffe, "{name} {length:#x}");
        }
        assert_eq!(guest.ulong("RtlInitAnsiStringEx", &[string, text]), status);
    }
    guest.check();
}

#[test]
fn copied_and_appended() {
    let values = (any_bytes(12), any_bytes(12), 0..30usize);
    property(150, values, |guest, (first, second, room)| {
        let (to, from) = (guest.ansi(&first, room), guest.ansi(&second, 0));
        let terminated = guest.text(&second);
        let room = room.max(first.len());
        let fits = first.len() + second.len() <= room;
        let expected = if fits {
            [&first[..], &second].concat()
        } else {
            first.clone()
        };
        let status = if fits { SUCCESS } else { BUFFER_TOO_SMALL };
        assert_eq!(guest.ulong("RtlAppendStringToString", &[to, from]), status);
        assert_eq!(guest.read_ansi(to).text, expected);
        guest.write(to, &(first.len() as u16).to_le_bytes());
        assert_eq!(
            guest.ulong("RtlAppendAsciizToString", &[to, terminated]),
            status
        );
        assert_eq!(guest.read_ansi(to).text, expected);
        guest.call("RtlCopyString", &[to, from]);
        let done = second.len().min(room);
        assert_eq!(guest.read_ansi(to).text, second[..done]);
        // without a source it becomes empty, or stays as it is
        assert_eq!(guest.ulong("RtlAppendAsciizToString", &[to, 0]), SUCCESS);
        assert_eq!(guest.read_ansi(to).text.len(), done);
        guest.call("RtlCopyString", &[to, 0]);
        assert_eq!(guest.u16(to), 0);
    });
}

#[test]
fn compared() {
    let values = (ascii(4), ascii(4), any::<bool>());
    property(300, values, |guest, (first, second, ignore)| {
        let (a, b) = (guest.ansi(&first, 0), guest.ansi(&second, 0));
        let (x, y) = (fold(&first, ignore), fold(&second, ignore));
        let ignore = u64::from(ignore);
        let order = guest.int("RtlCompareString", &[a, b, ignore]);
        assert_eq!(order.cmp(&0), x.cmp(&y));
        assert_eq!(guest.boolean("RtlEqualString", &[a, b, ignore]), x == y);
        let prefix = guest.boolean("RtlPrefixString", &[a, b, ignore]);
        assert_eq!(prefix, y.starts_with(&x));
        let room = guest.ansi(&[], 3);
        guest.call("RtlUpperString", &[room, a]);
        assert_eq!(
            guest.read_ansi(room).text,
            fold(&first[..first.len().min(3)], true)
        );
    });
}

#[test]
fn bytes_beyond_ascii_have_case_and_no_sign() {
    let mut guest = Guest::new();
    // é and É in Windows-1252; 0xff is Ÿ in upper case, 0x9f
    let (lower, upper) = (guest.ansi(b"\xe9\xff", 0), guest.ansi(b"\xc9\x9f", 0));
    assert!(guest.boolean("RtlEqualString", &[lower, upper, 1]));
    assert!(!guest.boolean("RtlEqualString", &[lower, upper, 0]));
    let ascii = guest.ansi(b"z", 0);
    assert!(guest.int("RtlCompareString", &[lower, ascii, 0]) > 0);
    guest.call("RtlUpperString", &[lower, lower]);
    assert_eq!(guest.read_ansi(lower).text, b"\xc9\x9f");
}
