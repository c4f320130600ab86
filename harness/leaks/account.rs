//! What has been allocated and freed by one way, or with one tag.

use super::growth::Lows;
use crate::guest::pool::PoolKind;

/// The most different sizes that are listed.
pub const SIZES: usize = 8;

/// The most bytes that one allocation counts for: more than any pool has, and little enough that no
/// sum overflows.
pub const LARGEST_BLOCK: u64 = 1 << 40;

/// Blocks that are allocated and not freed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Held {
    /// How many.
    pub blocks: u64,
    /// The bytes asked for, without headers and rounding.
    pub bytes: u64,
}

impl Held {
    pub(super) fn add(&mut self, other: Held) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }

    pub(super) fn take(&mut self, other: Held) {
        self.blocks -= other.blocks;
        self.bytes -= other.bytes;
    }

    /// Of both the lesser one.
    pub(super) fn least(self, other: Held) -> Held {
        Held {
            blocks: self.blocks.min(other.blocks),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// Of both the greater one.
    pub(super) fn most(self, other: Held) -> Held {
        Held {
            blocks: self.blocks.max(other.blocks),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// Counts of allocations and frees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Allocations.
    pub allocations: u64,
    /// The bytes that they asked for in all.
    pub allocated_bytes: u64,
    /// Allocations that have been freed.
    pub frees: u64,
    /// Those that have not.
    pub outstanding: Held,
    /// The most that was outstanding at any time: the most blocks, and the most bytes, perhaps at
    /// another time.
    pub peak: Held,
}

/// Sizes seen, in bytes as asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    list: [u64; SIZES],
    length: usize,
    more: bool,
    largest: u64,
    smallest: u64,
}

impl Sizes {
    #[inline]
    pub(super) fn add(&mut self, bytes: u64) {
        self.smallest = match self.length {
            0 => bytes,
            _ => self.smallest.min(bytes),
        };
        self.largest = self.largest.max(bytes);
        if self.list[..self.length].contains(&bytes) {
            return;
        }
        if self.length == SIZES {
            self.more = true;
            return;
        }
        self.list[self.length] = bytes;
        self.length += 1;
    }

    pub(super) fn add_all(&mut self, other: &Sizes) {
        for bytes in &other.list[..other.length] {
            self.add(*bytes);
        }
        self.more |= other.more;
        if other.length > 0 {
            self.smallest = self.smallest.min(other.smallest);
            self.largest = self.largest.max(other.largest);
        }
    }

    /// The first [`SIZES`] different sizes, in ascending order.
    ///
    /// ```
    /// assert!(poolhit::leaks::Sizes::default().distinct().is_empty());
    /// ```
    pub fn distinct(&self) -> Vec<u64> {
        let mut list = self.list[..self.length].to_vec();
        list.sort_unstable();
        list
    }

    /// Whether there are more than these.
    ///
    /// ```
    /// assert!(!poolhit::leaks::Sizes::default().has_more());
    /// ```
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// The smallest and the largest of all; `None` if there is none.
    ///
    /// ```
    /// assert_eq!(poolhit::leaks::Sizes::default().range(), None);
    /// ```
    pub fn range(&self) -> Option<(u64, u64)> {
        (self.length > 0).then_some((self.smallest, self.largest))
    }
}

/// Which pools were asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pools(u8);

impl Pools {
    pub(super) fn add(&mut self, pool: Option<PoolKind>) {
        self.0 |= match pool {
            Some(PoolKind::NonPaged) => 1,
            Some(PoolKind::Paged) => 2,
            None => 0,
        };
    }

    pub(super) fn add_all(&mut self, other: Pools) {
        self.0 |= other.0;
    }

    /// Whether one of them is this.
    ///
    /// ```
    /// use poolhit::{guest::pool::PoolKind, leaks::Pools};
    /// assert!(!Pools::default().contains(PoolKind::Paged));
    /// ```
    pub fn contains(self, pool: PoolKind) -> bool {
        let mut one = Pools::default();
        one.add(Some(pool));
        self.0 & one.0 != 0
    }

    /// Their names: `paged`, `nonpaged`, `both`, or nothing if none is known.
    ///
    /// ```
    /// assert_eq!(poolhit::leaks::Pools::default().name(), "");
    /// ```
    pub fn name(self) -> &'static str {
        ["", "nonpaged", "paged", "both"][usize::from(self.0 & 3)]
    }
}

/// What is counted of one way, or of one tag.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// Allocations and frees.
    pub totals: Totals,
    /// The sizes of the allocations.
    pub sizes: Sizes,
    /// The pools that they are in.
    pub pools: Pools,
    /// The number of the first allocation among all pool calls, from 0 on.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// What is outstanding and was allocated before the guest had started up: what a driver keeps for
    /// itself while it is loaded, mostly.
    pub startup: Held,
    pub(super) lows: Lows,
}

/// A block that is allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counted {
    pub bytes: u64,
    pub at_startup: bool,
}

impl Counted {
    pub fn held(self) -> Held {
        Held {
            blocks: 1,
            bytes: self.bytes,
        }
    }
}

impl Account {
    #[inline]
    pub(super) fn allocate(&mut self, block: Counted, pool: Option<PoolKind>, sequence: u64) {
        if self.totals.allocations == 0 {
            self.first = sequence;
        }
        self.last = self.last.max(sequence);
        let totals = &mut self.totals;
        totals.allocations += 1;
        totals.allocated_bytes = totals.allocated_bytes.saturating_add(block.bytes);
        totals.outstanding.add(block.held());
        totals.peak = totals.peak.most(totals.outstanding);
        self.sizes.add(block.bytes);
        self.pools.add(pool);
        if block.at_startup {
            self.startup.add(block.held());
        }
    }

    #[inline]
    pub(super) fn free(&mut self, block: Counted) {
        self.totals.frees += 1;
        self.totals.outstanding.take(block.held());
        if block.at_startup {
            self.startup.take(block.held());
        }
    }

    /// What stands for this account and another one: sums, and of the peaks the sum too, since when
    /// each was is not known; it is the most that can have been at once.
    pub(super) fn merge(&mut self, other: &Account) {
        if other.totals.allocations == 0 {
            return;
        }
        if self.totals.allocations == 0 {
            *self = other.clone();
            return;
        }
        let (totals, more) = (&mut self.totals, &other.totals);
        totals.allocations += more.allocations;
        totals.allocated_bytes = totals.allocated_bytes.saturating_add(more.allocated_bytes);
        totals.frees += more.frees;
        totals.outstanding.add(more.outstanding);
        totals.peak.add(more.peak);
        self.sizes.add_all(&other.sizes);
        self.pools.add_all(other.pools);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.startup.add(other.startup);
        self.lows.merge(&other.lows);
    }
}
