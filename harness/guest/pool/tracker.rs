//! `nt!PoolTrackTable`: what each tag has allocated and freed (`_POOL_TRACKER_TABLE`, 0x28 bytes).

use super::{PoolError, PoolKind, PoolView, tag_at, u32_at, u64_at};
use crate::address::Va;
use crate::tag::Tag;
use std::ops::Range;

/// The most entries that are read.
pub const TRACKER_LIMIT: u64 = 1 << 16;
const ENTRY_SIZE: usize = 0x28;
const TABLE: &str = "nt!PoolTrackTable";

/// What has been done with one tag in one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolUse {
    /// Allocations so far; wraps at 32 bits.
    pub allocs: u32,
    /// Frees so far; wraps at 32 bits.
    pub frees: u32,
    /// Bytes allocated and not freed, with headers and rounding.
    pub bytes: u64,
}

impl PoolUse {
    /// Allocations that have not been freed. The counters wrap, their difference does not.
    ///
    /// ```
    /// use poolhit::guest::pool::PoolUse;
    /// let wrapped = PoolUse { allocs: 1, frees: u32::MAX, bytes: 0x20 };
    /// assert_eq!(wrapped.outstanding(), 2);
    /// ```
    pub fn outstanding(&self) -> u32 {
        self.allocs.wrapping_sub(self.frees)
    }
}

/// A tag's counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolTracker {
    /// The tag, without the protection bit.
    pub tag: Tag,
    /// In nonpaged pool.
    pub nonpaged: PoolUse,
    /// In paged pool.
    pub paged: PoolUse,
}

impl PoolTracker {
    /// What has been done with the tag in a pool.
    ///
    /// ```
    /// use poolhit::guest::pool::{PoolKind, PoolTracker, PoolUse};
    /// use poolhit::tag::Tag;
    /// let tag = Tag::from_bytes(*b"Lea2");
    /// let paged = PoolUse { allocs: 2, frees: 1, bytes: 0x20 };
    /// let tracker = PoolTracker { tag, nonpaged: PoolUse::default(), paged };
    /// assert_eq!(tracker.in_pool(PoolKind::Paged).bytes, 0x20);
    /// ```
    pub fn in_pool(&self, kind: PoolKind) -> &PoolUse {
        match kind {
            PoolKind::NonPaged => &self.nonpaged,
            PoolKind::Paged => &self.paged,
        }
    }
}

impl PoolView<'_> {
    /// The counters of all tags that have an entry, in the table's own order. The last entry of
    /// the table, `Ovfl`, stands for the tags that found no room.
    ///
    /// # Errors
    /// The table is not in memory, or its size makes no sense.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let tag = Tag::from_bytes(*b"Lea2");
    /// lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, tag.into()])?;
    /// let trackers = lab.pool()?.trackers()?;
    /// let tracker = trackers.iter().find(|tracker| tracker.tag == tag).unwrap();
    /// assert_eq!(tracker.paged.outstanding(), 1);
    /// assert_eq!(tracker.paged.bytes, 0x2000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trackers(&self) -> Result<Vec<PoolTracker>, PoolError> {
        let mut trackers = Vec::new();
        let (base, entries) = self.tracker_extent()?;
        let mut add = |bytes: &[u8; ENTRY_SIZE]| {
            let tracker = read_entry(bytes);
            if tracker.tag != Tag(0) {
                trackers.push(tracker);
            }
        };
        self.visit_entries(TABLE, (base, entries), &mut add)?;
        Ok(trackers)
    }

    /// Where the table lies.
    pub(super) fn tracker_table(&self) -> Result<Range<Va>, PoolError> {
        let (base, entries) = self.tracker_extent()?;
        Ok(base..base.wrapping_add(entries * ENTRY_SIZE as u64))
    }

    fn tracker_extent(&self) -> Result<(Va, u64), PoolError> {
        let variables = &self.variables;
        let place = (variables.track_table, variables.track_table_size);
        self.table(TABLE, place, TRACKER_LIMIT)
    }
}

/// Key, and for each pool allocations, frees and, aligned to eight bytes, bytes.
fn read_entry(bytes: &[u8; ENTRY_SIZE]) -> PoolTracker {
    PoolTracker {
        tag: tag_at(bytes, 0),
        nonpaged: PoolUse {
            allocs: u32_at(bytes, 0x4),
            frees: u32_at(bytes, 0x8),
            bytes: u64_at(bytes, 0x10),
        },
        paged: PoolUse {
            allocs: u32_at(bytes, 0x18),
            frees: u32_at(bytes, 0x1c),
            bytes: u64_at(bytes, 0x20),
        },
    }
}
