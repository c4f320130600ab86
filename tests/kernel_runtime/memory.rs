//! Blocks of memory. Microsoft's pages of `RtlCompareMemory`, `RtlCompareMemoryUlong`, `RtlMoveMemory`,
//! `RtlFillMemory` (wdm.h, ntifs.h), and of the C functions; `MmSizeOfMdl` (wdm.h).

use crate::guest::*;
use proptest::prelude::*;

/// Places in a buffer of 200 bytes, and a length that stays in it.
fn places() -> impl Strategy<Value = (usize, usize, usize)> {
    (0..100usize, 0..100usize, 0..100usize)
}

#[test]
fn moved_and_filled() {
    property(200, places(), |guest, (from, to, length)| {
        let bytes: Vec<u8> = (0..200).collect();
        let mut moved = bytes.clone();
        moved.copy_within(from..from + length, to);
        let apart = from.abs_diff(to) >= length;
        let names = [
            ("memmove", true),
            ("RtlMoveMemory", true),
            ("memcpy", false),
            ("RtlCopyMemory", false),
            ("RtlCopyMemoryNonTemporal", false),
        ];
        for (name, may_overlap) in names {
            if !may_overlap && !apart {
                continue;
            }
            let at = guest.put(&bytes);
            let (from, to) = (at + from as u64, at + to as u64);
            let value = guest.call(name, &[to, from, length as u64]);
            assert_eq!(guest.bytes(at, 200), moved, "{name}");
            assert!(name.starts_with("Rtl") || value == to);
        }
        let byte = (from * 37) as u8;
        let fills = [
            (
                "memset",
                vec![u64::from(byte) | 0x5500, length as u64],
                byte,
            ),
            (
                "RtlFillMemory",
                vec![length as u64, u64::from(byte) | 0x5500],
                byte,
            ),
            ("RtlZeroMemory", vec![length as u64], 0),
        ];
        for (name, arguments, byte) in fills {
            let at = guest.put(&bytes);
            let arguments = [vec![at + to as u64], arguments].concat();
            guest.call(name, &arguments);
            let mut expected = bytes.clone();
            expected[to..to + length].fill(byte);
            assert_eq!(guest.bytes(at, 200), expected, "{name}");
        }
    });
}

#[test]
fn compared() {
    let bytes =
        || proptest::collection::vec(proptest::sample::select(vec![0u8, 1, 0x80, 0xff]), 0..6);
    property(300, (bytes(), bytes()), |guest, (first, second)| {
        let length = first.len().min(second.len());
        let (a, b) = (guest.put(&first), guest.put(&second));
        let order = guest.int("memcmp", &[a, b, length as u64]);
        assert_eq!(order.cmp(&0), first[..length].cmp(&second[..length]));
        let equal = first
            .iter()
            .zip(&second)
            .take_while(|(a, b)| a == b)
            .count();
        let got = guest.call("RtlCompareMemory", &[a, b, length as u64]);
        assert_eq!(got, equal as u64);
        for byte in [0, 1, 0x80, 0x1ff] {
            let place = first.iter().position(|at| *at == byte as u8);
            let expected = place.map_or(0, |place| a + place as u64);
            let got = guest.call("memchr", &[a, byte, first.len() as u64]);
            assert_eq!(got, expected);
        }
        // a hint, which changes nothing
        guest.call("RtlPrefetchMemoryNonTemporal", &[a, length as u64]);
        assert_eq!(guest.bytes(a, first.len()), first);
    });
}

#[test]
fn patterns() {
    let values = (any::<u64>(), 0..6u64, 0..40u64, 0..10usize);
    property(200, values, |guest, (pattern, offset, length, odd)| {
        let filled = length / 4 * 4;
        let at = guest.room(64);
        guest.call("RtlFillMemoryUlong", &[at, length, pattern]);
        let mut expected = (pattern as u32).to_le_bytes().repeat(16);
        expected[filled as usize..].fill(FILL);
        assert_eq!(guest.bytes(at, 64), expected);
        // a place where the pattern ends
        let wrong = 4 * odd as u64;
        guest.write(at + wrong, &(!pattern as u32).to_le_bytes());
        let got = guest.call("RtlCompareMemoryUlong", &[at + offset, length, pattern]);
        let aligned = offset % 4 == 0 && length % 4 == 0;
        let matching = (offset..offset + length).step_by(4);
        let matching = matching.take_while(|place| *place != wrong && *place < filled);
        let expected = if aligned {
            4 * matching.count() as u64
        } else {
            0
        };
        assert_eq!(got, expected, "at {offset} length {length}");
        let at = guest.room(64);
        guest.call("RtlFillMemoryUlonglong", &[at, length / 8 * 8, pattern]);
        let filled = (length / 8 * 8) as usize;
        let mut expected = pattern.to_le_bytes().repeat(8);
        expected[filled..].fill(FILL);
        assert_eq!(guest.bytes(at, 64), expected);
    });
}

/// CRC-32's check value, and that a buffer may come in parts.
#[test]
fn checksums() {
    let mut guest = Guest::new();
    let text = guest.put(b"123456789");
    assert_eq!(guest.ulong("RtlComputeCrc32", &[0, text, 9]), 0xcbf4_3926);
    for part in 0..9 {
        let first = guest.call("RtlComputeCrc32", &[0, text, part]);
        let both = guest.ulong("RtlComputeCrc32", &[first, text + part, 9 - part]);
        assert_eq!(both, 0xcbf4_3926);
    }
}

/// `sizeof(MDL)`, 0x30 on x64, and eight bytes for each page (`ADDRESS_AND_SIZE_TO_SPAN_PAGES`).
#[test]
fn memory_descriptor_lists() {
    property(
        100,
        (any::<u64>(), 0..0x10_0000u64),
        |guest, (base, length)| {
            let pages = match length {
                0 => u64::from(base % 0x1000 != 0),
                _ => (base % 0x1000 + length - 1) / 0x1000 + 1,
            };
            assert_eq!(guest.call("MmSizeOfMdl", &[base, length]), 0x30 + 8 * pages);
        },
    );
}
