//! The listing of `!poolused`.

use crate::guest::pool::{PoolTracker, PoolUse};
use std::fmt::{self, Write};

/// What the lines are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SortBy {
    /// The tag's characters, upper case first.
    Tag,
    /// Bytes of nonpaged pool, the most first.
    NonPaged,
    /// Bytes of paged pool, the most first.
    Paged,
}

/// Writes the counters of tags, sorted, with a line for their sum: those outstanding, or with
/// `detailed` allocations, frees and their difference. Without it, a tag that has nothing
/// outstanding is left out.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::guest::pool::{PoolTracker, PoolUse};
/// use poolhit::report::pool_used::{SortBy, write_pool_used};
/// use poolhit::tag::Tag;
/// let one = |tag: &[u8; 4], bytes| PoolTracker {
///     tag: Tag::from_bytes(*tag),
///     nonpaged: PoolUse { allocs: 3, frees: 2, bytes },
///     paged: PoolUse::default(),
/// };
/// let mut text = String::new();
/// let trackers = vec![one(b"Lea1", 0x10), one(b"Lea2", 0x20)];
/// write_pool_used(&mut text, trackers, SortBy::NonPaged, false)?;
/// let lines: Vec<_> = text.lines().collect();
/// assert_eq!(lines[0], "   Sorting by  NonPaged Pool Consumed");
/// assert!(lines[5].starts_with(" Lea2        1       32         0        0"));
/// assert_eq!(lines[7], " TOTAL           2       48         0        0");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_pool_used(
    out: &mut dyn Write,
    mut trackers: Vec<PoolTracker>,
    sort_by: SortBy,
    detailed: bool,
) -> fmt::Result {
    let is_shown = |pool: &PoolUse| match detailed {
        true => *pool != PoolUse::default(),
        false => pool.outstanding() != 0 || pool.bytes != 0,
    };
    trackers.retain(|one| is_shown(&one.nonpaged) || is_shown(&one.paged));
    trackers.sort_by_key(|one| one.tag.to_bytes());
    let title = match sort_by {
        SortBy::Tag => "Tag",
        SortBy::NonPaged => {
            trackers.sort_by_key(|one| std::cmp::Reverse(one.nonpaged.bytes));
            "NonPaged Pool Consumed"
        }
        SortBy::Paged => {
            trackers.sort_by_key(|one| std::cmp::Reverse(one.paged.bytes));
            "Paged Pool Consumed"
        }
    };
    writeln!(out, "   Sorting by  {title}\n\n  Pool Used:")?;
    if detailed {
        writeln!(
            out,
            "            NonPaged                              Paged"
        )?;
        let columns = "  Allocs    Frees     Diff     Used";
        writeln!(out, " Tag  {columns}  {columns}")?;
    } else {
        writeln!(out, "            NonPaged            Paged")?;
        writeln!(out, " Tag    Allocs     Used    Allocs     Used")?;
    }
    let (mut nonpaged, mut paged) = (Sum::default(), Sum::default());
    for one in &trackers {
        nonpaged.add(&one.nonpaged);
        paged.add(&one.paged);
        let (left, right) = (Sum::of(&one.nonpaged), Sum::of(&one.paged));
        let tag = one.tag.shown();
        write!(out, " {tag} ")?;
        write_columns(out, &left, &right, detailed)?;
        writeln!(out, "\tUNKNOWN pooltag '{tag}', please update pooltag.txt")?;
    }
    write!(out, " TOTAL    ")?;
    write_columns(out, &nonpaged, &paged, detailed)?;
    writeln!(out)
}

/// Counters added up. What the guest has corrupted may add up to anything, and wraps.
#[derive(Clone, Copy, Default)]
struct Sum {
    allocs: u64,
    frees: u64,
    outstanding: u64,
    bytes: u64,
}

impl Sum {
    fn of(pool: &PoolUse) -> Sum {
        let mut sum = Sum::default();
        sum.add(pool);
        sum
    }

    fn add(&mut self, pool: &PoolUse) {
        self.allocs += u64::from(pool.allocs);
        self.frees += u64::from(pool.frees);
        self.outstanding += u64::from(pool.outstanding());
        self.bytes = self.bytes.wrapping_add(pool.bytes);
    }
}

fn write_columns(out: &mut dyn Write, left: &Sum, right: &Sum, detailed: bool) -> fmt::Result {
    for (space, sum) in [("", left), ("  ", right)] {
        write!(out, "{space}")?;
        if detailed {
            write!(out, "{:8} {:8} ", sum.allocs, sum.frees)?;
        }
        write!(out, "{:8} {:8}", sum.outstanding, sum.bytes)?;
    }
    Ok(())
}
