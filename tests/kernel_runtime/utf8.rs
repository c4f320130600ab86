//! UTF-8. Microsoft's pages of `RtlUnicodeToUTF8N` and `RtlUTF8ToUnicodeN` (wdm.h); what is not valid is
//! U+FFFD, in the places where Rust's lossy conversions put it, too.

use crate::guest::*;
use proptest::prelude::*;

const SOME_NOT_MAPPED: u32 = 0x107;

fn mapped(all: bool) -> u32 {
    if all { SUCCESS } else { SOME_NOT_MAPPED }
}

fn any_utf16() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        proptest::sample::select(vec![
            0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0
        ]),
        0xd800..0xe000u16,
        any::<u16>(),
    ];
    proptest::collection::vec(unit, 0..10)
}

fn any_utf8() -> impl Strategy<Value = Vec<u8>> {
    let special = vec![
        0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xe1, 0xed, 0xf0, 0xf3, 0xf4,
        0xf5,
    ];
    let invalid = proptest::collection::vec(proptest::sample::select(special), 0..8);
    prop_oneof![invalid, any::<String>().prop_map(String::into_bytes)]
}

#[test]
fn from_utf16() {
    property(500, (any_utf16(), 0..40usize), |guest, (text, room)| {
        let expected = String::from_utf16_lossy(&text);
        let all = String::from_utf16(&text).is_ok();
        let (source, to, count) = (guest.put(&units(&text)), guest.room(room), guest.room(4));
        let bytes = 2 * text.len() as u64;
        // how long it is
        let name = "RtlUnicodeToUTF8N";
        let status = guest.ulong(name, &[0, 0, count, source, bytes]);
        assert_eq!(
            (status, guest.u32(count)),
            (mapped(all), expected.len() as u32)
        );
        // what fits, in whole characters
        let status = guest.ulong(name, &[to, room as u64, count, source, bytes]);
        let cut = (0..=room.min(expected.len()))
            .rev()
            .find(|at| expected.is_char_boundary(*at));
        let cut = cut.unwrap();
        if cut == expected.len() {
            assert_eq!(status, mapped(all));
        } else {
            assert_eq!(status, BUFFER_TOO_SMALL);
        }
        assert_eq!(guest.u32(count), cut as u32);
        assert_eq!(guest.bytes(to, cut), &expected.as_bytes()[..cut]);
    });
}

#[test]
fn to_utf16() {
    property(800, (any_utf8(), 0..50usize), |guest, (text, room)| {
        let lossy = String::from_utf8_lossy(&text);
        let all = std::str::from_utf8(&text).is_ok();
        let (source, to, count) = (guest.put(&text), guest.room(room), guest.room(4));
        let (name, bytes) = ("RtlUTF8ToUnicodeN", text.len() as u64);
        let expected = w(&lossy);
        let status = guest.ulong(name, &[0, 0, count, source, bytes]);
        assert_eq!(
            (status, guest.u32(count)),
            (mapped(all), 2 * expected.len() as u32),
            "{text:x?}"
        );
        let status = guest.ulong(name, &[to, room as u64, count, source, bytes]);
        let mut cut = 0;
        for character in lossy.chars() {
            if 2 * (cut + character.len_utf16()) > room {
                break;
            }
            cut += character.len_utf16();
        }
        if cut == expected.len() {
            assert_eq!(status, mapped(all));
        } else {
            assert_eq!(status, BUFFER_TOO_SMALL);
        }
        assert_eq!(
            (guest.u32(count), guest.units(to, cut)),
            (2 * cut as u32, expected[..cut].to_vec())
        );
    });
}

#[test]
fn what_is_missing() {
    let mut guest = Guest::new();
    let (to, count, source) = (guest.room(8), guest.room(4), guest.put(b"ab\0\0"));
    for name in ["RtlUnicodeToUTF8N", "RtlUTF8ToUnicodeN"] {
        assert_eq!(guest.ulong(name, &[0, 0, 0, source, 4]), INVALID_PARAMETER);
        assert_eq!(guest.ulong(name, &[to, 8, count, 0, 4]), 0xc000_00f2);
        // the count is optional if there is a buffer
        assert_eq!(guest.ulong(name, &[to, 8, 0, source, 4]), SUCCESS);
    }
    let odd = guest.ulong("RtlUnicodeToUTF8N", &[to, 8, count, source, 3]);
    assert_eq!(odd, 0xc000_00f3);
}
