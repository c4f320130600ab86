//! Strings that the library allocates, hashes and validates. Microsoft's pages of `RtlHashUnicodeString`
//! (wdm.h), `RtlCreateUnicodeString` and `RtlFreeUnicodeString`; flags of `RtlDuplicateUnicodeString` from
//! ntifs.h.

use crate::guest::*;
use proptest::prelude::*;

/// The tag of the library's strings in Microsoft's pooltag.txt.
const STRG: &[u8; 4] = b"Strg";

/// The tag in a small block's `_POOL_HEADER`.
fn tag_of(guest: &Guest, block: u64) -> Vec<u8> {
    guest.bytes(block - 12, 4)
}

#[test]
fn created_and_freed() {
    property(50, any_units(30), |guest, text| {
        let (string, source) = (guest.room(16), guest.wide(&text));
        assert!(guest.boolean("RtlCreateUnicodeString", &[string, source]));
        let result = guest.read_unicode(string);
        assert_eq!(
            (&result.text, usize::from(result.maximum)),
            (&text, 2 * text.len() + 2)
        );
        assert_eq!(guest.wide_string(result.buffer), text);
        assert_eq!(tag_of(guest, result.buffer), STRG);
        guest.call("RtlFreeUnicodeString", &[string]);
        assert_eq!(guest.bytes(string, 16), [0; 16]);
        // nothing to free
        guest.call("RtlFreeUnicodeString", &[string]);
    });
    let mut guest = Guest::new();
    let (string, long) = (guest.room(16), guest.wide(&vec![7; 0x7fff]));
    assert!(!guest.boolean("RtlCreateUnicodeString", &[string, long]));
}

#[test]
fn duplicated() {
    property(150, (any_units(10), 0..5u64), |guest, (text, flags)| {
        let (source, copy) = (guest.unicode(&text, 0), guest.room(16));
        let status = guest.ulong("RtlDuplicateUnicodeString", &[flags, source, copy]);
        // 1: with a zero; 2: an empty string has a buffer, too, which makes sense only with a zero
        if !matches!(flags, 0 | 1 | 3) {
            assert_eq!(status, INVALID_PARAMETER);
            return;
        }
        assert_eq!(status, SUCCESS);
        let result = guest.read_unicode(copy);
        assert_eq!(result.text, text);
        if text.is_empty() && flags != 3 {
            assert_eq!((result.maximum, result.buffer), (0, 0));
            return;
        }
        let zero = usize::from(flags != 0);
        assert_eq!(usize::from(result.maximum), 2 * (text.len() + zero));
        if zero == 1 {
            assert_eq!(guest.wide_string(result.buffer), text);
        }
        assert_eq!(tag_of(guest, result.buffer), STRG);
        guest.call("RtlFreeUnicodeString", &[copy]);
    });
}

#[test]
fn what_cannot_be_duplicated() {
    let mut guest = Guest::new();
    let copy = guest.room(16);
    // length, maximum length, buffer, flags, status
    let cases = [
        (3, 4, 1, 0, INVALID_PARAMETER),
        (4, 2, 1, 0, INVALID_PARAMETER),
        (4, 4, 0, 0, INVALID_PARAMETER),
        (0xfffe, 0xfffe, 1, 1, 0xc000_0106),
        (0xfffe, 0xfffe, 1, 0, SUCCESS),
    ];
    let buffer = guest.room(0xfffe);
    for (length, maximum, is_there, flags, status) in cases {
        let string = guest.put(&words(&[length | maximum << 16, buffer * is_there]));
        let got = guest.ulong("RtlDuplicateUnicodeString", &[flags, string, copy]);
        assert_eq!(got, status, "{length:#x} {maximum:#x}");
    }
    guest.call("RtlFreeUnicodeString", &[copy]);
    // no string is an empty one
    assert_eq!(
        guest.ulong("RtlDuplicateUnicodeString", &[0, 0, copy]),
        SUCCESS
    );
    assert_eq!(guest.bytes(copy, 16), [0; 16]);
    assert_eq!(
        guest.ulong("RtlDuplicateUnicodeString", &[0, 0, 0]),
        INVALID_PARAMETER
    );
}

#[test]
fn hashed() {
    let values = (any_units(10), any::<bool>(), 0..3u64);
    property(100, values, |guest, (text, ignore, algorithm)| {
        let (string, hash) = (guest.unicode(&text, 0), guest.room(4));
        let arguments = [string, ignore.into(), algorithm, hash];
        let status = guest.ulong("RtlHashUnicodeString", &arguments);
        // the default algorithm is x65599; there is no third
        if algorithm == 2 {
            assert_eq!(status, INVALID_PARAMETER);
            return;
        }
        let text = if ignore {
            guest.ulong("RtlUpcaseUnicodeString", &[string, string, 0]);
            guest.read_unicode(string).text
        } else {
            text
        };
        let expected = text.iter().fold(0u32, |hash, unit| {
            hash.wrapping_mul(65599).wrapping_add((*unit).into())
        });
        assert_eq!((status, guest.u32(hash)), (SUCCESS, expected));
    });
    let mut guest = Guest::new();
    let (string, hash) = (guest.unicode(&[], 0), guest.room(4));
    for arguments in [
        [0, 0, 0, hash],
        [string, 0, 0, 0],
        [string, 0, 0xffff_ffff, hash],
    ] {
        let status = guest.ulong("RtlHashUnicodeString", &arguments);
        assert_eq!(status, INVALID_PARAMETER);
    }
}

#[test]
fn validated() {
    let mut guest = Guest::new();
    for (length, maximum, buffer, flags, valid) in [
        (0, 0, 0, 0, true),
        (4, 6, 1, 0, true),
        (4, 6, 1, 1, false),
        (3, 6, 1, 0, false),
        (4, 5, 1, 0, false),
        (6, 4, 1, 0, false),
        (0, 4, 0, 0, false),
    ] {
        let string = guest.put(&words(&[length | maximum << 16, buffer]));
        let status = guest.ulong("RtlValidateUnicodeString", &[flags, string]);
        assert_eq!(status, if valid { SUCCESS } else { INVALID_PARAMETER });
    }
    assert_eq!(guest.ulong("RtlValidateUnicodeString", &[0, 0]), SUCCESS);
}
