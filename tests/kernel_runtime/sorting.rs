//! `qsort` and `bsearch` (Microsoft, C run-time library), with a comparison routine in the guest.

use crate::guest::*;
use proptest::prelude::*;

/// Compares what the arguments point to, as unsigned bytes: `movzx eax, byte [rcx]; movzx edx, byte [rdx];
/// sub eax, edx; ret`.
const COMPARE: &[u8] = &[0x0f, 0xb6, 0x01, 0x0f, 0xb6, 0x12, 0x29, 0xd0, 0xc3];

#[test]
fn sorted_and_found() {
    let element = proptest::collection::vec(any::<u8>(), 9);
    let values = (
        proptest::collection::vec(element, 0..60),
        1..9usize,
        any::<u8>(),
    );
    property(150, values, |guest, (elements, width, key)| {
        let mut elements: Vec<Vec<u8>> = elements
            .iter()
            .map(|element| element[..width].to_vec())
            .collect();
        let (count, width) = (elements.len() as u64, width as u64);
        let (base, compare) = (guest.put(&elements.concat()), guest.put(COMPARE));
        guest.call("qsort", &[base, count, width, compare]);
        let sorted = guest.bytes(base, (count * width) as usize);
        let mut sorted: Vec<Vec<u8>> = sorted.chunks(width as usize).map(<[u8]>::to_vec).collect();
        assert!(sorted.is_sorted_by_key(|element| element[0]));
        let key_at = guest.put(&[key]);
        let found = guest.call("bsearch", &[key_at, base, count, width, compare]);
        match found {
            0 => assert!(sorted.iter().all(|element| element[0] != key)),
            _ => {
                assert_eq!((found - base) % width, 0);
                assert_eq!(sorted[((found - base) / width) as usize][0], key);
            }
        }
        // the same elements as before
        elements.sort();
        sorted.sort();
        assert_eq!(sorted, elements);
    });
}

/// No order of the elements makes it slow: sorted, reversed, all equal.
#[test]
fn no_worst_case() {
    let mut guest = Guest::new();
    let compare = guest.put(COMPARE);
    let count = 4096u64;
    let rising: Vec<u8> = (0..count).map(|i| (i / 16) as u8).collect();
    let falling: Vec<u8> = rising.iter().rev().copied().collect();
    for bytes in [rising.clone(), falling, vec![7; count as usize]] {
        let base = guest.put(&bytes);
        let before = guest.lab.machine().work();
        guest.call("qsort", &[base, count, 1, compare]);
        let work = guest.lab.machine().work() - before;
        assert!(guest.bytes(base, count as usize).is_sorted());
        // n log2 n comparisons twice, of some hundred bytes of code each
        assert!(work < 2 * count * 12 * 400, "{work} bytes of code");
    }
}
