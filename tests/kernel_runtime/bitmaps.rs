//! Bitmaps against a list of Booleans. Microsoft's pages of `RtlInitializeBitMap`, `RtlSetBits`,
//! `RtlFindClearBits` ("If a matching range cannot be found between the hint index and the end of the bitmap,
//! RtlFindClearBits will continue searching from the start of the bitmap to the hint index"),
//! `RtlFindClearRuns`, `RtlFindNextForwardRunClear`, `RtlFindLastBackwardRunClear`, `RtlAreBitsSet` (wdm.h).

use crate::guest::*;
use proptest::prelude::*;

const NONE: u32 = 0xffff_ffff;

/// Runs of bits of random lengths: runs are what is looked for.
fn any_bits() -> impl Strategy<Value = Vec<bool>> {
    let run = (any::<bool>(), prop_oneof![1..4usize, 1..80usize]);
    let runs = proptest::collection::vec(run, 0..8);
    runs.prop_map(|runs| {
        runs.iter()
            .flat_map(|(bit, count)| vec![*bit; *count])
            .collect()
    })
}

/// The ULONGs that hold the bits; what is left of the last one is set.
fn pack(bits: &[bool]) -> Vec<u8> {
    let mut bytes = vec![0xff; bits.len().div_ceil(32) * 4];
    for (i, bit) in bits.iter().enumerate() {
        bytes[i / 8] &= !(u8::from(!*bit) << (i % 8));
    }
    bytes
}

struct BitMap {
    header: u64,
    buffer: u64,
    bits: Vec<bool>,
}

impl BitMap {
    fn new(guest: &mut Guest, bits: &[bool]) -> BitMap {
        let (header, buffer) = (guest.room(16), guest.put(&pack(bits)));
        guest.call("RtlInitializeBitMap", &[header, buffer, bits.len() as u64]);
        assert_eq!(
            (guest.u32(header), guest.u64(header + 8)),
            (bits.len() as u32, buffer)
        );
        BitMap {
            header,
            buffer,
            bits: bits.to_vec(),
        }
    }

    #[track_caller]
    fn check(&self, guest: &Guest) {
        let expected = pack(&self.bits);
        assert_eq!(guest.bytes(self.buffer, expected.len()), expected);
    }

    /// Runs of clear bits: where they start, and how long they are.
    fn clear_runs(&self) -> Vec<(u32, u32)> {
        let mut runs = Vec::new();
        let mut at = 0;
        for run in self.bits.chunk_by(|a, b| a == b) {
            if !run[0] {
                runs.push((at, run.len() as u32));
            }
            at += run.len() as u32;
        }
        runs
    }

    /// The first place of `count` bits of a value, from the hint to the end and then from the start.
    fn find(&self, count: usize, hint: usize, value: bool) -> u32 {
        let size = self.bits.len();
        if count > size {
            return NONE;
        }
        let hint = if hint < size { hint } else { 0 };
        if count == 0 {
            return hint as u32;
        }
        let fits = |at: &usize| {
            *at + count <= size && self.bits[*at..*at + count].iter().all(|bit| *bit == value)
        };
        (hint..size)
            .chain(0..hint)
            .find(fits)
            .map_or(NONE, |at| at as u32)
    }
}

#[test]
fn set_and_cleared() {
    let range = (0..250usize, 0..200usize);
    property(200, (any_bits(), range), |guest, (bits, (from, count))| {
        let size = bits.len();
        let valid = from < size && from + count <= size;
        for (name, single, value) in [
            ("RtlSetBits", "RtlSetBit", true),
            ("RtlClearBits", "RtlClearBit", false),
        ] {
            let mut map = BitMap::new(guest, &bits);
            if valid {
                map.bits[from..from + count].fill(value);
            }
            guest.call(name, &[map.header, from as u64, count as u64]);
            map.check(guest);
            if from < size {
                let was = map.bits[from];
                assert_eq!(guest.boolean("RtlTestBit", &[map.header, from as u64]), was);
                map.bits[from] = value;
                guest.call(single, &[map.header, from as u64]);
                map.check(guest);
            }
        }
        let mut map = BitMap::new(guest, &bits);
        let ones = bits.iter().filter(|bit| **bit).count();
        assert_eq!(
            guest.ulong("RtlNumberOfSetBits", &[map.header]),
            ones as u32
        );
        let zeros = guest.ulong("RtlNumberOfClearBits", &[map.header]);
        assert_eq!(zeros, (size - ones) as u32);
        for (name, value) in [("RtlAreBitsSet", true), ("RtlAreBitsClear", false)] {
            let expected =
                count > 0 && valid && bits[from..from + count].iter().all(|bit| *bit == value);
            let got = guest.boolean(name, &[map.header, from as u64, count as u64]);
            assert_eq!(got, expected, "{name} {from} {count}");
        }
        // whole ULONGs
        guest.call("RtlClearAllBits", &[map.header]);
        assert_eq!(
            guest.bytes(map.buffer, size.div_ceil(32) * 4),
            vec![0; size.div_ceil(32) * 4]
        );
        guest.call("RtlSetAllBits", &[map.header]);
        map.bits.fill(true);
        map.check(guest);
    });
}

#[test]
fn found() {
    let count = prop_oneof![0..4usize, 0..100usize];
    // where a run starts or ends, or next to it, is where a search goes wrong
    let near = (any::<proptest::sample::Index>(), 0..3usize, any::<bool>());
    let values = (any_bits(), count, 0..300usize, near);
    property(
        400,
        values,
        |guest, (bits, count, hint, (edge, offset, is_near))| {
            let edges: Vec<usize> = (1..bits.len())
                .filter(|i| bits[*i] != bits[i - 1])
                .collect();
            let (hint, count) = if is_near && !edges.is_empty() {
                let edge = edge.index(edges.len());
                let end = *edges.get(edge + 1).unwrap_or(&bits.len());
                ((edges[edge] + offset).saturating_sub(1), end - edges[edge])
            } else {
                (hint, count)
            };
            let cases = [
                ("RtlFindSetBits", true, None),
                ("RtlFindClearBits", false, None),
                ("RtlFindSetBitsAndClear", true, Some(false)),
                ("RtlFindClearBitsAndSet", false, Some(true)),
            ];
            for (name, value, becomes) in cases {
                let mut map = BitMap::new(guest, &bits);
                let expected = map.find(count, hint, value);
                let got = guest.ulong(name, &[map.header, count as u64, hint as u64]);
                assert_eq!(got, expected, "{name} {count} {hint}");
                if let (Some(becomes), true) = (becomes, got != NONE) {
                    map.bits[got as usize..got as usize + count].fill(becomes);
                }
                map.check(guest);
            }
        },
    );
}

#[test]
fn runs() {
    property(
        300,
        (any_bits(), 0..300u32, 0..6usize),
        |guest, (bits, from, most)| {
            let map = BitMap::new(guest, &bits);
            let runs = map.clear_runs();
            let index = guest.room(4);
            let first = guest.ulong("RtlFindFirstRunClear", &[map.header, index]);
            match runs.first() {
                Some(run) => assert_eq!((guest.u32(index), first), *run),
                None => assert_eq!(first, 0),
            }
            let next = guest.ulong(
                "RtlFindNextForwardRunClear",
                &[map.header, from.into(), index],
            );
            // the rest of a run that From is in
            let expected = runs
                .iter()
                .map(|(at, count)| (*(at.max(&from)), at + count));
            match expected.filter(|(at, end)| at < end).min() {
                Some((at, end)) => assert_eq!((guest.u32(index), next), (at, end - at)),
                None => assert_eq!(next, 0),
            }
            let last = guest.ulong(
                "RtlFindLastBackwardRunClear",
                &[map.header, from.into(), index],
            );
            match runs.iter().rfind(|(at, _)| *at <= from) {
                Some((at, count)) => {
                    assert_eq!((guest.u32(index), last), (*at, (*count).min(from - at + 1)))
                }
                None => assert_eq!(last, 0),
            }
            let longest = guest.ulong("RtlFindLongestRunClear", &[map.header, index]);
            let most_bits = runs.iter().map(|run| run.1).max().unwrap_or(0);
            assert_eq!(longest, most_bits);
            if longest > 0 {
                assert!(runs.contains(&(guest.u32(index), longest)));
            }
            for longest in [false, true] {
                let array = guest.room(8 * most);
                let arguments = [map.header, array, most as u64, longest.into()];
                let count = guest.ulong("RtlFindClearRuns", &arguments) as usize;
                assert_eq!(count, most.min(runs.len()));
                let found: Vec<(u32, u32)> = (0..count as u64)
                    .map(|i| (guest.u32(array + 8 * i), guest.u32(array + 8 * i + 4)))
                    .collect();
                let mut expected = runs.clone();
                if longest {
                    expected.sort_by_key(|run| std::cmp::Reverse(run.1));
                }
                assert_eq!(found, expected[..count]);
            }
            map.check(guest);
        },
    );
}
