//! Upper and lower case. Microsoft documents that `RtlUpcaseUnicodeChar` and `RtlDowncaseUnicodeChar`
//! convert a character; that the pairs are Unicode's simple case mappings, both ways, of version 5.1 is this
//! kernel's rule. The model is Rust's own table, which is of a later version.

use crate::guest::*;
use std::collections::BTreeMap;

/// Upper case by lower case, of one unit each, if they lead to each other.
fn pairs() -> BTreeMap<u16, u16> {
    let one = |mut characters: Vec<char>| (characters.len() == 1).then(|| characters.remove(0));
    let mut pairs = BTreeMap::new();
    for upper in (0..=u16::MAX).filter_map(|unit| char::from_u32(unit.into())) {
        let Some(lower) = one(upper.to_lowercase().collect()) else {
            continue;
        };
        if lower == upper || u32::from(lower) > 0xffff {
            continue;
        }
        // Greek letters with an iota have a longer upper case, and a title case of one character
        let back: Vec<char> = lower.to_uppercase().collect();
        let is_greek = (0x1f80..0x2000).contains(&u32::from(lower));
        if back == [upper] || back.len() > 1 && is_greek {
            pairs.insert(lower as u16, upper as u16);
        }
    }
    pairs
}

/// All of these are in Unicode 5.1. Later versions have given some of them another case elsewhere.
fn is_old(unit: u16) -> bool {
    matches!(unit, 0..0x250 | 0x386..0x3cf | 0x400..0x514 | 0x531..0x590 | 0x1e00..0x1e96 | 0x1ea0..0x1efa
        | 0x1f00..0x2000 | 0x2160..0x2180 | 0x24b6..0x24ea | 0x2c00..0x2c5f | 0xff21..0xff5b)
}

#[test]
fn every_character() {
    let mut guest = Guest::new();
    let upper = pairs();
    let lower: BTreeMap<u16, u16> = upper
        .iter()
        .map(|(lower, upper)| (*upper, *lower))
        .collect();
    assert!(upper.len() > 1000);
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for (name, pairs) in [
        ("RtlUpcaseUnicodeString", &upper),
        ("RtlDowncaseUnicodeString", &lower),
    ] {
        let mut changed = 0;
        for part in all.chunks(0x4000) {
            guest.reset();
            let source = guest.unicode(part, 0);
            let destination = guest.unicode(&[], 0x8000);
            assert_eq!(guest.ulong(name, &[destination, source, 0]), SUCCESS);
            for (&from, to) in part.iter().zip(guest.read_unicode(destination).text) {
                let expected = pairs.get(&from).copied().unwrap_or(from);
                if is_old(from) && is_old(expected) {
                    assert_eq!(to, expected, "{name}, U+{from:04X}");
                } else {
                    assert!(to == expected || to == from, "{name}, U+{from:04X}");
                }
                changed += usize::from(to != from);
            }
        }
        assert!(changed > 900, "{name} changes {changed}");
    }
}

#[test]
fn single_characters() {
    let mut guest = Guest::new();
    for (lower, upper) in ["aA", "zZ", "éÉ", "ÿŸ", "ωΩ", "жЖ", "ǆǄ", "ⱥȺ", "ｚＺ"].map(|pair| {
        let pair = w(pair);
        (u64::from(pair[0]), u64::from(pair[1]))
    }) {
        for from in [lower, upper] {
            assert_eq!(
                guest.call("RtlUpcaseUnicodeChar", &[from]) as u16,
                upper as u16
            );
            assert_eq!(
                guest.call("RtlDowncaseUnicodeChar", &[from]) as u16,
                lower as u16
            );
        }
    }
    // one way only, or none
    for alone in w("[`{@µıſß\u{212a}9你") {
        let alone = u64::from(alone);
        assert_eq!(
            guest.call("RtlUpcaseUnicodeChar", &[alone]) as u16,
            alone as u16
        );
        assert_eq!(
            guest.call("RtlDowncaseUnicodeChar", &[alone]) as u16,
            alone as u16
        );
    }
}

#[test]
fn where_the_result_goes() {
    let mut guest = Guest::new();
    for name in ["RtlUpcaseUnicodeString", "RtlDowncaseUnicodeString"] {
        let expected = w(if name.contains("Up") { "ÄB9" } else { "äb9" });
        let source = guest.unicode(&w("äB9"), 0);
        // into itself
        assert_eq!(guest.ulong(name, &[source, source, 0]), SUCCESS);
        assert_eq!(guest.read_unicode(source).text, expected);
        // a buffer of the library's own, as long as the source
        let destination = guest.room(16);
        assert_eq!(guest.ulong(name, &[destination, source, 1]), SUCCESS);
        let result = guest.read_unicode(destination);
        assert_eq!((result.text, result.maximum), (expected, 6));
        guest.call("RtlFreeUnicodeString", &[destination]);
        assert_eq!(guest.bytes(destination, 16), [0; 16]);
        // too small
        let small = guest.unicode(&w("x"), 5);
        assert_eq!(guest.ulong(name, &[small, source, 0]), BUFFER_OVERFLOW);
        assert_eq!(guest.read_unicode(small).text, w("x"));
    }
    guest.check();
}
