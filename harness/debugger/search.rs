//! Searching guest memory for a pattern of bytes.

use super::range::AddressRange;
use crate::address::Va;
use crate::memory::{FaultReason, ReadMemory};

/// How much memory one search reads at most, in bytes. A guest's page tables can show little memory
/// at many places, more than anybody waits for.
pub const READ_LIMIT: u64 = 16 << 30;
/// The longest pattern, in bytes.
pub const PATTERN_LIMIT: usize = 0x1_0000;
/// How much is read at once, in bytes.
pub(super) const CHUNK: usize = 0x1_0000;

/// A search cannot be done, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The pattern is empty or too long.
    #[error("a pattern of {length} bytes cannot be searched for: it can have 1 to {PATTERN_LIMIT}")]
    Pattern {
        /// The pattern's length in bytes.
        length: usize,
    },
    /// More memory than [`READ_LIMIT`] is mapped in the range.
    #[error("the search has read {READ_LIMIT:#x} bytes of memory, its limit, up to {at}")]
    ReadLimit {
        /// Up to where it got.
        at: Va,
    },
}

/// Finds a pattern in a range of memory: every place, lowest first, where all of the pattern is in
/// the range and in memory, places that overlap among them. Memory that is not there is skipped,
/// in steps as large as the page tables allow.
///
/// Places are a multiple of `step` bytes away from the range's start, as the debugger engine's own
/// search has them (`IDebugDataSpaces2::SearchVirtual`, `PatternGranularity`).
///
/// `found` is called for each place and says whether to go on.
///
/// # Errors
/// The pattern is empty or too long, or the range holds too much memory. A `step` of 0 is 1.
///
/// ```
/// use poolhit::debugger::{range::AddressRange, search::search};
/// use poolhit::{Lab, address::Va};
///
/// let lab = Lab::builder().build()?;
/// let all = AddressRange { start: Va(0xfffff800_00000000), bytes: 0x7ff_ffffffff };
/// let mut found = Vec::new();
/// search(lab.machine(), all, b"Leak", 1, &mut |at| {
///     found.push(at);
///     true
/// })?;
/// let driver = lab.modules().by_name("myfault").unwrap().base();
/// assert!(found.iter().any(|at| at.rva_from(driver).is_some()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn search(
    memory: &dyn ReadMemory,
    range: AddressRange,
    pattern: &[u8],
    step: u64,
    found: &mut dyn FnMut(Va) -> bool,
) -> Result<(), SearchError> {
    if pattern.is_empty() || pattern.len() > PATTERN_LIMIT {
        return Err(SearchError::Pattern {
            length: pattern.len(),
        });
    }
    let step = step.max(1);
    let last = range.start.0.saturating_add(range.bytes.saturating_sub(1));
    // `buffer` holds what was read before `at` without a gap, as far as the pattern may begin there
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + pattern.len());
    let mut at = range.start.0;
    let mut read = 0;
    loop {
        let wanted = (last - at).saturating_add(1).min(CHUNK as u64) as usize;
        let kept = buffer.len();
        buffer.resize(kept + wanted, 0);
        let fault = memory.read(Va(at), &mut buffer[kept..]).err();
        let got = fault.map_or(wanted, |fault| fault.done.min(wanted));
        buffer.truncate(kept + got);
        read += got as u64;
        let start = Va(at).wrapping_sub(kept as u64);
        let offset = start.wrapping_sub(range.start.0).0 % step;
        for place in places(&buffer, pattern) {
            if (place as u64 + offset).is_multiple_of(step)
                && !found(start.wrapping_add(place as u64))
            {
                return Ok(());
            }
        }
        let next = match fault {
            None => {
                buffer.drain(..buffer.len().saturating_sub(pattern.len() - 1));
                at.checked_add(got as u64)
            }
            Some(fault) => {
                buffer.clear();
                behind_gap(at.saturating_add(got as u64), fault.reason)
            }
        };
        match next.filter(|next| *next <= last) {
            None => return Ok(()),
            Some(next) => at = next,
        }
        if read >= READ_LIMIT {
            return Err(SearchError::ReadLimit { at: Va(at) });
        }
    }
}

/// Every place of a pattern in a text, those that overlap among them.
fn places(text: &[u8], pattern: &[u8]) -> impl Iterator<Item = usize> {
    let starts = text.len().saturating_sub(pattern.len() - 1);
    let first = pattern[0];
    text[..starts]
        .iter()
        .enumerate()
        .filter(move |(_, byte)| **byte == first)
        .map(|(place, _)| place)
        .filter(move |place| text[*place..].starts_with(pattern))
}

/// Where memory can go on behind an address that is not in memory; `None` if nowhere.
pub(super) fn behind_gap(at: u64, reason: FaultReason) -> Option<u64> {
    let unit = match reason {
        // the rest of the hole between the two canonical halves
        FaultReason::NotCanonical => return (at >> 47 != 0x1ffff).then_some(0xffff_8000_0000_0000),
        FaultReason::NotPresent {
            level: level @ 2..=4,
        } => 1 << (12 + 9 * (u32::from(level) - 1)),
        FaultReason::NotPresent { .. } | FaultReason::ReadOnly | FaultReason::OutsideRam { .. } => {
            0x1000
        }
    };
    (at | (unit - 1)).checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryFault, pages};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Pages at any place.
    #[derive(Clone, Debug, Default)]
    struct Sparse(BTreeMap<u64, Vec<u8>>);

    impl ReadMemory for Sparse {
        fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
            for (at, part) in pages(address, buffer.len()) {
                let fault = |reason| MemoryFault {
                    address: at,
                    reason,
                    done: part.start,
                };
                if !at.is_canonical() {
                    return Err(fault(FaultReason::NotCanonical));
                }
                let Some(page) = self.0.get(&(at.0 >> 12)) else {
                    // the highest level at which nothing is there
                    let empty = |level: &u8| {
                        let shift = 9 * (u32::from(*level) - 1);
                        let unit = at.0 >> 12 >> shift;
                        !self.0.keys().any(|page| page >> shift == unit)
                    };
                    let level = (1..=4).rev().find(empty).unwrap_or(1);
                    return Err(fault(FaultReason::NotPresent { level }));
                };
                let offset = (at.0 & 0xfff) as usize;
                buffer[part.clone()].copy_from_slice(&page[offset..offset + part.len()]);
            }
            Ok(())
        }
    }

    fn find(memory: &Sparse, range: AddressRange, pattern: &[u8], step: u64) -> Vec<u64> {
        let mut places = Vec::new();
        let result = search(memory, range, pattern, step, &mut |at| {
            places.push(at.0);
            true
        });
        assert_eq!(result, Ok(()));
        places
    }

    #[test]
    fn all_of_the_address_space_is_searched_at_once() {
        let mut memory = Sparse::default();
        for page in [
            0,
            0x7fff_ffff_ffff_u64 >> 12,
            0xffff_8000_0000_0000 >> 12,
            u64::MAX >> 12,
        ] {
            let mut bytes = vec![0; 0x1000];
            bytes[0xffc..].copy_from_slice(b"Leak");
            memory.0.insert(page, bytes);
        }
        let all = AddressRange {
            start: Va(0),
            bytes: u64::MAX,
        };
        let found = find(&memory, all, b"Leak", 1);
        assert_eq!(found, [0xffc, 0x7fff_ffff_fffc, 0xffff_8000_0000_0ffc]);
        let end = AddressRange {
            start: Va(u64::MAX - 0xffff),
            bytes: 0x1_0000,
        };
        assert_eq!(find(&memory, end, b"Leak", 4), [u64::MAX - 3]);
    }

    /// The manual's page of `s`: "the pattern "QQQ" is found three times in "QQQQQ"".
    #[test]
    fn overlapping_patterns_are_found() {
        let mut page = vec![0; 0x1000];
        page[..5].copy_from_slice(b"QQQQQ");
        let memory = Sparse(BTreeMap::from([(1, page)]));
        let range = |bytes| AddressRange {
            start: Va(0x1000),
            bytes,
        };
        assert_eq!(
            find(&memory, range(32), b"QQQ", 1),
            [0x1000, 0x1001, 0x1002]
        );
        assert_eq!(find(&memory, range(32), b"QQQ", 2), [0x1000, 0x1002]);
        assert_eq!(find(&memory, range(4), b"QQQ", 1), [0x1000, 0x1001]);
        let mut first = Vec::new();
        let stopped = search(&memory, range(32), b"QQQ", 1, &mut |at| {
            first.push(at);
            false
        });
        assert_eq!((stopped, first), (Ok(()), vec![Va(0x1000)]));
    }

    #[test]
    fn patterns_have_a_length() {
        let memory = Sparse::default();
        let range = AddressRange {
            start: Va(0),
            bytes: 1,
        };
        for length in [0, PATTERN_LIMIT + 1] {
            let found = search(&memory, range, &vec![0; length], 1, &mut |_| true);
            assert_eq!(found, Err(SearchError::Pattern { length }));
        }
    }

    proptest! {
        /// Against a search that looks at every byte by itself.
        #[test]
        fn finds_what_a_plain_search_finds(
            present in prop::collection::btree_set(0u64..40, 0..36),
            seed: u8,
            start in 0u64..0x28000,
            bytes in 1u64..0x28000,
            pattern in prop::collection::vec(0u8..2, 1..12),
            step in prop::sample::select(vec![1u64, 2, 4, 8]),
        ) {
            // Few values and long runs, so that patterns occur, at page borders too.
            let byte = |at: u64| u8::from((at ^ u64::from(seed)) % 11 < 3 || at % 0x1000 > 0xff8);
            let page = |page: u64| (0..0x1000).map(|at| byte(page << 12 | at)).collect();
            let memory = Sparse(present.iter().map(|at| (*at, page(*at))).collect());
            let range = AddressRange { start: Va(start), bytes };
            let is_there = |at: u64| present.contains(&(at >> 12));
            let last = (start + bytes).saturating_sub(pattern.len() as u64);
            let expected: Vec<u64> = (start..=last)
                .step_by(step as usize)
                .filter(|at| {
                    let mut places = (0u64..).zip(&pattern);
                    places.all(|(i, value)| is_there(at + i) && byte(at + i) == *value)
                })
                .filter(|at| at + pattern.len() as u64 <= start + bytes)
                .collect();
            prop_assert_eq!(find(&memory, range, &pattern, step), expected);
        }
    }
}
