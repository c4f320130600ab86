//! The ANSI code page, Windows-1252: Unicode.org's table "cp1252 to Unicode"; and strings of it. Microsoft's
//! pages of the routines (ntifs.h, wdm.h) give the statuses, and say that the result ends with a zero.

use crate::guest::*;
use proptest::prelude::*;

/// 0x80 to 0x9f; five bytes are not assigned, and stand for themselves.
const MIDDLE: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

pub fn decode(byte: u8) -> u16 {
    match byte {
        0x80..0xa0 => w(MIDDLE)[usize::from(byte - 0x80)],
        _ => byte.into(),
    }
}

pub fn encode(unit: u16) -> u8 {
    (0..=255).find(|byte| decode(*byte) == unit).unwrap_or(b'?')
}

fn upper(unit: u16) -> u16 {
    match char::from_u32(unit.into()).map(|c| c.to_uppercase().collect::<Vec<_>>()) {
        _ if unit == 0xb5 => unit,
        Some(upper) if upper.len() == 1 => upper[0] as u16,
        _ => unit,
    }
}

#[test]
fn every_byte_and_every_character() {
    let mut guest = Guest::new();
    let all: Vec<u8> = (0..=255).collect();
    let source = guest.put(&all);
    let (to, back, count) = (guest.room(512), guest.room(256), guest.room(4));
    let arguments = [to, 512, count, source, 256];
    assert_eq!(guest.ulong("RtlMultiByteToUnicodeN", &arguments), SUCCESS);
    assert_eq!(guest.u32(count), 512);
    let decoded: Vec<u16> = all.iter().map(|byte| decode(*byte)).collect();
    assert_eq!(guest.units(to, 256), decoded);
    let arguments = [back, 256, count, to, 512];
    assert_eq!(guest.ulong("RtlUnicodeToMultiByteN", &arguments), SUCCESS);
    assert_eq!(
        (guest.u32(count), guest.bytes(back, 256)),
        (256, all.clone())
    );
    let units: Vec<u16> = (0..=u16::MAX).collect();
    for part in units.chunks(0x1000) {
        guest.reset();
        let (source, to) = (guest.put(&crate::guest::units(part)), guest.room(0x1000));
        let arguments = [to, 0x1000, 0, source, 0x2000];
        assert_eq!(guest.ulong("RtlUnicodeToMultiByteN", &arguments), SUCCESS);
        let expected: Vec<u8> = part.iter().map(|unit| encode(*unit)).collect();
        assert_eq!(guest.bytes(to, 0x1000), expected);
    }
    for byte in all {
        let expected = match encode(upper(decode(byte))) {
            b'?' => byte,
            upper => upper,
        };
        let got = guest.call("RtlUpperChar", &[byte.into()]) as u8;
        assert_eq!(got, expected, "{byte:#x}");
    }
}

#[test]
fn as_much_as_there_is_room_for() {
    let values = (any_bytes(20), 0..45u64, any::<bool>());
    property(100, values, |guest, (text, room, counts)| {
        let (source, to) = (guest.put(&text), guest.room(room as usize));
        let count = guest.room(4);
        let wanted = if counts { count } else { 0 };
        let arguments = [to, room, wanted, source, text.len() as u64];
        assert_eq!(guest.ulong("RtlMultiByteToUnicodeN", &arguments), SUCCESS);
        let done = text.len().min(room as usize / 2);
        let expected: Vec<u16> = text.iter().map(|byte| decode(*byte)).collect();
        assert_eq!(guest.units(to, done), expected[..done]);
        if counts {
            assert_eq!(guest.u32(count), 2 * done as u32);
        }
        let status = guest.ulong(
            "RtlMultiByteToUnicodeSize",
            &[count, source, text.len() as u64],
        );
        assert_eq!((status, guest.u32(count)), (SUCCESS, 2 * text.len() as u32));
    });
    let values = (any_units(20), 0..25u64);
    property(100, values, |guest, (text, room)| {
        let (source, to) = (guest.put(&units(&text)), guest.room(room as usize));
        let (count, bytes) = (guest.room(4), 2 * text.len() as u64);
        let done = text.len().min(room as usize);
        let names = [
            ("RtlUnicodeToMultiByteN", text.clone()),
            (
                "RtlUpcaseUnicodeToMultiByteN",
                text.iter().map(|unit| upper(*unit)).collect(),
            ),
        ];
        for (name, expected) in names {
            let status = guest.ulong(name, &[to, room, count, source, bytes]);
            assert_eq!(status == SUCCESS, done == text.len());
            assert!(status == SUCCESS || status == BUFFER_OVERFLOW);
            let expected: Vec<u8> = expected.iter().map(|unit| encode(*unit)).collect();
            assert_eq!(guest.u32(count), done as u32);
            if !text.iter().any(|unit| *unit > 0x250) {
                assert_eq!(guest.bytes(to, done), expected[..done], "{name}");
            }
        }
        let status = guest.ulong("RtlUnicodeToMultiByteSize", &[count, source, bytes]);
        assert_eq!((status, guest.u32(count)), (SUCCESS, text.len() as u32));
    });
}

#[test]
fn counted_strings_to_unicode() {
    let values = (any_bytes(20), 0..50usize);
    property(100, values, |guest, (text, room)| {
        let source = guest.ansi(&text, 0);
        let size = 2 * text.len() + 2;
        assert_eq!(
            guest.ulong("RtlxAnsiStringToUnicodeSize", &[source]),
            size as u32
        );
        let expected: Vec<u16> = text.iter().map(|byte| decode(*byte)).collect();
        let name = "RtlAnsiStringToUnicodeString";
        let to = guest.unicode(&[], room);
        let status = guest.ulong(name, &[to, source, 0]);
        if room < size {
            assert_eq!(status, BUFFER_OVERFLOW);
        } else {
            let result = guest.read_unicode(to);
            assert_eq!((status, &result.text), (SUCCESS, &expected));
            assert_eq!(guest.u16(result.buffer + size as u64 - 2), 0);
        }
        assert_eq!(guest.ulong(name, &[to, source, 1]), SUCCESS);
        let result = guest.read_unicode(to);
        assert_eq!((result.text, usize::from(result.maximum)), (expected, size));
        assert_eq!(guest.u16(result.buffer + size as u64 - 2), 0);
        guest.call("RtlFreeUnicodeString", &[to]);
    });
}

#[test]
fn a_string_too_long_for_a_unicode_string() {
    let mut guest = Guest::new();
    for (length, status) in [
        (0x7ffe, SUCCESS),
        (0x7fff, 0xc000_00f0),
        (0xffff, 0xc000_00f0),
    ] {
        guest.reset();
        let source = guest.ansi(&vec![b'a'; length], 0);
        let to = guest.room(16);
        let got = guest.ulong("RtlAnsiStringToUnicodeString", &[to, source, 1]);
        assert_eq!(got, status, "{length:#x}");
        if status == SUCCESS {
            assert_eq!(guest.read_unicode(to).text.len(), length);
            guest.call("RtlFreeUnicodeString", &[to]);
        }
    }
}

#[test]
fn counted_strings_from_unicode() {
    let text = proptest::collection::vec(proptest::sample::select(w("aZéß€ÿ9Ω")), 0..20);
    property(100, (text, 0..25usize), |guest, (text, room)| {
        let source = guest.unicode(&text, 0);
        let size = text.len() + 1;
        assert_eq!(
            guest.ulong("RtlxUnicodeStringToAnsiSize", &[source]),
            size as u32
        );
        let up: Vec<u16> = text.iter().map(|unit| upper(*unit)).collect();
        for (name, text) in [
            ("RtlUnicodeStringToAnsiString", &text),
            ("RtlUpcaseUnicodeStringToAnsiString", &up),
        ] {
            let expected: Vec<u8> = text.iter().map(|unit| encode(*unit)).collect();
            let to = guest.ansi(&[], room);
            let status = guest.ulong(name, &[to, source, 0]);
            assert_eq!(
                status,
                if room < size {
                    BUFFER_OVERFLOW
                } else {
                    SUCCESS
                }
            );
            if room > 0 {
                // cut off, if need be, and ended with a zero
                let result = guest.read_ansi(to);
                let done = text.len().min(room - 1);
                assert_eq!(result.text, expected[..done]);
                assert_eq!(guest.bytes(result.buffer + done as u64, 1), [0]);
            }
            assert_eq!(guest.ulong(name, &[to, source, 1]), SUCCESS);
            let result = guest.read_ansi(to);
            assert_eq!((result.text, usize::from(result.maximum)), (expected, size));
            guest.call("RtlFreeAnsiString", &[to]);
            assert_eq!(guest.bytes(to, 16), [0; 16]);
        }
    });
}
