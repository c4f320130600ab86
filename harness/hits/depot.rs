//! Stacks, each kept once.
//!
//! Hits come by the million, and by a handful of ways. A depot gives every way (the addresses from
//! the hit to the stack's last frame, how each frame was found, and the kind of end) a number; a way
//! seen before costs a look-up. Stack pointers are not part of it: the same calls on another thread's
//! stack are the same way.
//!
//! What lies on a stack is the guest's to choose, and so are collisions: a look-up that meets more of
//! them than chance brings gives up, and the stack is not kept.

use crate::address::Va;
use crate::stack::capture::CapturedFrame;
use crate::stack::walk::WalkEnd;
use std::mem::discriminant;

/// The number of a stack in its [`StackDepot`], from 0 on in the order of their first appearance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct StackId(pub u32);

impl StackId {
    /// What stands for all stacks that a depot has not kept.
    pub const NOT_KEPT: StackId = StackId(u32::MAX);

    /// The number as an index; `None` for [`NOT_KEPT`](StackId::NOT_KEPT).
    ///
    /// ```
    /// use poolhit::hits::StackId;
    /// assert_eq!(StackId(3).index(), Some(3));
    /// assert_eq!(StackId::NOT_KEPT.index(), None);
    /// ```
    pub fn index(self) -> Option<usize> {
        (self != StackId::NOT_KEPT).then_some(self.0 as usize)
    }
}

/// A stack as a depot keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptStack<'a> {
    /// Where the hit was.
    pub at: Va,
    /// The frames as they were captured first, the innermost first.
    pub frames: &'a [CapturedFrame],
    /// Why there are no more frames.
    pub end: WalkEnd,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    at: Va,
    start: usize,
    length: usize,
    end: WalkEnd,
}

/// Stacks, each kept once and known by its number; see [`StackId`].
#[derive(Clone, Debug)]
pub struct StackDepot {
    entries: Vec<Entry>,
    frames: Vec<CapturedFrame>,
    /// Numbers by hash, with open addressing; at most half full.
    table: Vec<u32>,
    limit: usize,
    not_kept: u64,
}

const EMPTY: u32 = u32::MAX;
/// The number of places in the table of a depot that is new: a power of two.
const FIRST_TABLE: usize = 256;
/// The most places that a look-up tries. In a table that is half full at most, chance leads to some
/// dozens, and to this many never.
const PROBES: usize = 512;
/// The most frames that a depot keeps, for each stack that it may keep: with stacks that
/// are deeper on the average, it is full earlier.
const AVERAGE_DEPTH: usize = 64;

impl StackDepot {
    /// A depot for at most `limit` stacks.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// use poolhit::hits::{StackDepot, StackId};
    /// use poolhit::stack::{capture::CapturedFrame, frame::FrameTrust, walk::WalkEnd};
    /// let frame = |child_sp, to| CapturedFrame::new(Va(child_sp), Va(to), FrameTrust::UnwindInfo);
    /// let end = WalkEnd::ReturnAddressZero;
    ///
    /// let mut depot = StackDepot::new(2);
    /// let first = depot.intern(Va(0x10), &[frame(0x800, 0x20), frame(0x900, 0)], end);
    /// let again = depot.intern(Va(0x10), &[frame(0x100, 0x20), frame(0x200, 0)], end);
    /// assert_eq!((first, again), (StackId(0), StackId(0)));
    /// assert_eq!(depot.intern(Va(0x11), &[frame(0x800, 0)], end), StackId(1));
    /// assert_eq!(depot.intern(Va(0x12), &[frame(0x800, 0)], end), StackId::NOT_KEPT);
    /// assert_eq!(depot.stack(first).unwrap().frames[0].child_sp, Va(0x800));
    /// assert_eq!((depot.len(), depot.not_kept()), (2, 1));
    /// ```
    pub fn new(limit: usize) -> StackDepot {
        StackDepot {
            entries: Vec::new(),
            frames: Vec::new(),
            table: vec![EMPTY; FIRST_TABLE],
            limit: limit.min(EMPTY as usize),
            not_kept: 0,
        }
    }

    /// The most stacks that it keeps.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The number of stacks kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no stack is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many times a stack has not been kept: the depot was full, or had no place for it.
    pub fn not_kept(&self) -> u64 {
        self.not_kept
    }

    /// A stack kept. See [`StackDepot::new`] for an example.
    pub fn stack(&self, id: StackId) -> Option<KeptStack<'_>> {
        let entry = self.entries.get(id.index()?)?;
        Some(KeptStack {
            at: entry.at,
            frames: &self.frames[entry.start..entry.start + entry.length],
            end: entry.end,
        })
    }

    /// The number of a stack, which is kept if it has not been seen before. See
    /// [`StackDepot::new`] for an example.
    #[inline]
    pub fn intern(&mut self, at: Va, frames: &[CapturedFrame], end: WalkEnd) -> StackId {
        let hash = hash(at, frames);
        let mask = self.table.len() - 1;
        let first = hash as usize & mask;
        for probe in 0..PROBES {
            let number = self.table[(first + probe) & mask];
            if number == EMPTY {
                return self.keep(hash, at, frames, end);
            }
            let entry = &self.entries[number as usize];
            if entry.hash == hash && self.is_same(entry, at, frames, end) {
                return StackId(number);
            }
        }
        self.not_kept += 1;
        StackId::NOT_KEPT
    }

    #[inline]
    fn is_same(&self, entry: &Entry, at: Va, frames: &[CapturedFrame], end: WalkEnd) -> bool {
        let kept = &self.frames[entry.start..entry.start + entry.length];
        let mut pairs = kept.iter().zip(frames);
        let way = |frame: &CapturedFrame| (frame.return_address, frame.trust);
        entry.at == at
            && discriminant(&entry.end) == discriminant(&end)
            && kept.len() == frames.len()
            && pairs.all(|(kept, frame)| way(kept) == way(frame))
    }

    #[cold]
    fn keep(&mut self, hash: u64, at: Va, frames: &[CapturedFrame], end: WalkEnd) -> StackId {
        let is_full = self.entries.len() >= self.limit
            || self.frames.len() + frames.len() > self.limit.saturating_mul(AVERAGE_DEPTH);
        if is_full {
            self.not_kept += 1;
            return StackId::NOT_KEPT;
        }
        let number = self.entries.len() as u32;
        let start = self.frames.len();
        self.frames.extend_from_slice(frames);
        self.entries.push(Entry {
            hash,
            at,
            start,
            length: frames.len(),
            end,
        });
        if self.entries.len() * 2 > self.table.len() {
            self.table = vec![EMPTY; self.table.len() * 2];
            for other in 0..number {
                self.place(other);
            }
        }
        self.place(number);
        StackId(number)
    }

    fn place(&mut self, number: u32) {
        let mask = self.table.len() - 1;
        let mut place = self.entries[number as usize].hash as usize & mask;
        while self.table[place] != EMPTY {
            place = (place + 1) & mask;
        }
        self.table[place] = number;
    }
}

/// Neighbours in a row of addresses differ in a few bits in the middle; the multiplications spread
/// them, and what is above comes down at the end.
#[inline]
fn hash(at: Va, frames: &[CapturedFrame]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, value: u64| (hash.rotate_left(23) ^ value).wrapping_mul(MULTIPLIER);
    let returns = frames.iter().map(|frame| frame.return_address.0);
    let hash = returns.fold(mix(0, at.0), mix);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::frame::FrameTrust;
    use proptest::prelude::*;

    const END: WalkEnd = WalkEnd::ReturnAddressZero;

    fn frames(returns: &[u64], shift: u64) -> Vec<CapturedFrame> {
        let frame = |(at, to): (usize, &u64)| {
            let child_sp = Va(at as u64 * 16 + shift);
            CapturedFrame::new(child_sp, Va(*to), FrameTrust::UnwindInfo)
        };
        returns.iter().enumerate().map(frame).collect()
    }

    proptest! {
        /// The same numbers as a plain list of all stacks seen gives.
        #[test]
        fn numbers_are_those_of_the_first_appearance(
            stacks in prop::collection::vec(
                (0u64..3, prop::collection::vec(0u64..4, 0..6), any::<u64>()), 1..800),
            limit in 0usize..600,
        ) {
            let mut depot = StackDepot::new(limit);
            let mut seen: Vec<(u64, Vec<u64>)> = Vec::new();
            for (at, returns, shift) in stacks {
                let id = depot.intern(Va(at), &frames(&returns, shift & 0xffff), END);
                let stack = (at, returns);
                let known = seen.iter().position(|one| *one == stack);
                let expected = known.unwrap_or(seen.len());
                if expected < limit {
                    prop_assert_eq!(id, StackId(expected as u32));
                    let kept = depot.stack(id).unwrap();
                    prop_assert_eq!(kept.at, Va(stack.0));
                    let returns: Vec<_> = kept.frames.iter().map(|one| one.return_address.0).collect();
                    prop_assert_eq!(&returns, &stack.1);
                    if known.is_none() {
                        seen.push(stack);
                    }
                } else {
                    prop_assert_eq!(id, StackId::NOT_KEPT);
                    prop_assert!(depot.stack(id).is_none());
                }
                prop_assert_eq!(depot.len(), seen.len());
            }
        }
    }

    #[test]
    fn frames_found_otherwise_and_other_ends_are_other_ways() {
        let mut depot = StackDepot::new(8);
        let (at, frames) = (Va(1), frames(&[2, 0], 0));
        assert_eq!(depot.intern(at, &frames, END), StackId(0));
        assert_eq!(depot.intern(at, &frames, WalkEnd::Limit), StackId(1));
        let end = |from| WalkEnd::NoProgress {
            from: Va(from),
            to: Va(0),
        };
        assert_eq!(depot.intern(at, &frames, end(5)), StackId(2));
        assert_eq!(depot.intern(at, &frames, end(6)), StackId(2));
        let mut guessed = frames.clone();
        guessed[1].trust = FrameTrust::Guess;
        assert_eq!(depot.intern(at, &guessed, END), StackId(3));
        assert_eq!(depot.intern(at, &frames, END), StackId(0));
    }

    /// The last return address makes up for what the others do to the hash.
    #[test]
    fn collisions_that_are_made_on_purpose_end_a_look_up() {
        // Of the multiplier, modulo 2 to the 64th.
        const INVERSE: u64 = 0xf1de_83e1_9937_733d;
        assert_eq!(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(INVERSE), 1);
        let at = Va(1);
        let before = |first| {
            let mixed = |hash: u64, value: u64| {
                (hash.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            };
            mixed(mixed(0, at.0), first)
        };
        let aimed = 0x1234_5678_9abc_def0u64;
        let stack = |first| {
            let last = before(first).rotate_left(23) ^ aimed.wrapping_mul(INVERSE);
            frames(&[first, last], 0)
        };
        assert_eq!(hash(at, &stack(1)), hash(at, &stack(2)));
        let mut depot = StackDepot::new(1 << 16);
        for first in 0..PROBES as u64 {
            assert_eq!(depot.intern(at, &stack(first), END), StackId(first as u32));
        }
        for first in PROBES as u64..4 * PROBES as u64 {
            assert_eq!(depot.intern(at, &stack(first), END), StackId::NOT_KEPT);
        }
        // Hardly any other stack suffers; and in a table that has grown, all are found again.
        let others: Vec<_> = (0..4 * PROBES as u64)
            .map(|other| depot.intern(Va(2), &frames(&[other], 0), END))
            .collect();
        let kept = others.iter().filter(|id| **id != StackId::NOT_KEPT);
        assert!(kept.count() > others.len() * 9 / 10);
        for (other, id) in (0..).zip(others) {
            let again = depot.intern(Va(2), &frames(&[other], 0), END);
            assert!(id == again || id == StackId::NOT_KEPT);
        }
        for first in 0..PROBES as u64 {
            assert_eq!(depot.intern(at, &stack(first), END), StackId(first as u32));
        }
    }

    #[test]
    fn deep_stacks_fill_a_depot_too() {
        let mut depot = StackDepot::new(4);
        let deep = vec![7; 4 * AVERAGE_DEPTH];
        assert_eq!(depot.intern(Va(1), &frames(&deep, 0), END), StackId(0));
        assert_eq!(
            depot.intern(Va(2), &frames(&[1], 0), END),
            StackId::NOT_KEPT
        );
        assert_eq!(depot.intern(Va(1), &frames(&deep, 9), END), StackId(0));
    }
}
