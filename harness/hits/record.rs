//! What is kept of a hit.

use super::StackId;
use super::site::HitKind;
use crate::address::Va;
use crate::tag::Tag;

/// A pool hit: a tag was equal to `nt!PoolHitTag`, and the kernel executed its `int 3`.
///
/// What the kernel's code does not have at hand any more at the `int 3` is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    /// The hit's number, counted from 0.
    pub sequence: u64,
    /// The work the guest had done, in bytes of code retired: the time of the hit.
    pub work: u64,
    /// The address of the `int 3`.
    pub site: Va,
    /// Where the block is. For an allocation it is known when the call has returned, and stays
    /// `None` if that gave no block.
    pub block: Option<Va>,
    /// The bytes asked for, or of a free `None`.
    pub bytes: Option<u64>,
    /// The tag compared.
    pub tag: Tag,
    /// The `POOL_TYPE` asked for, with its modifiers, or of a free `None`.
    pub pool_type: Option<u32>,
    /// The calls that led to it.
    pub stack: StackId,
    /// The processor it happened on (`_KPRCB.Number`).
    pub processor: u32,
    /// Whether a block was allocated or freed.
    pub kind: HitKind,
}

/// How a hit is kept: without the room that `Option`s take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub sequence: u64,
    pub work: u64,
    pub block: u64,
    pub bytes: u64,
    /// The site, by its index.
    pub site: u16,
    pub processor: u16,
    /// [`BLOCK`], [`BYTES`], [`POOL_TYPE`]: what is known.
    pub known: u32,
    pub tag: u32,
    pub pool_type: u32,
    pub stack: StackId,
}

pub(super) const BLOCK: u32 = 1;
pub(super) const BYTES: u32 = 2;
pub(super) const POOL_TYPE: u32 = 4;

const _: () = assert!(size_of::<Record>() <= 56);

impl Record {
    pub fn hit(&self, site: Va, kind: HitKind) -> Hit {
        let known = |bit| self.known & bit != 0;
        Hit {
            sequence: self.sequence,
            work: self.work,
            site,
            block: known(BLOCK).then_some(Va(self.block)),
            bytes: known(BYTES).then_some(self.bytes),
            tag: Tag(self.tag),
            pool_type: known(POOL_TYPE).then_some(self.pool_type),
            stack: self.stack,
            processor: self.processor.into(),
            kind,
        }
    }
}

/// Which hits are kept, and so how much memory they may take: 56 bytes each. Counts are kept in any
/// case, and of the stacks as many as differ: at most [`STACK_LIMIT`](super::STACK_LIMIT), of 64
/// frames on the average, which a guest that means harm can make some 100 MB of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// None: counts only.
    Counts,
    /// The last so many.
    Last(usize),
    /// The first so many; those behind them are counted only.
    First(usize),
}

/// The records kept.
#[derive(Clone, Debug)]
pub(super) struct Records {
    keep: Keep,
    list: Vec<Record>,
    /// With [`Keep::Last`], where the next one goes once all places are taken.
    next: usize,
}

/// The room made at once for records, in records.
const CHUNK: usize = 1 << 12;

impl Records {
    pub fn new(keep: Keep) -> Records {
        Records {
            keep,
            list: Vec::new(),
            next: 0,
        }
    }

    /// Whether the hit with this number would be kept.
    #[inline]
    pub fn keeps(&self, sequence: u64) -> bool {
        match self.keep {
            Keep::Counts | Keep::Last(0) => false,
            Keep::Last(_) => true,
            Keep::First(limit) => sequence < limit as u64,
        }
    }

    #[inline]
    pub fn push(&mut self, record: Record) {
        match self.keep {
            Keep::Last(limit) if self.list.len() == limit => {
                self.list[self.next] = record;
                self.next = if self.next + 1 == limit {
                    0
                } else {
                    self.next + 1
                };
            }
            Keep::Last(limit) | Keep::First(limit) => {
                if self.list.len() == self.list.capacity() {
                    let left = limit - self.list.len();
                    self.list.reserve(left.min(self.list.len().max(CHUNK)));
                }
                self.list.push(record);
            }
            Keep::Counts => {}
        }
    }

    /// The hit with this number, if it is kept. Hits are pushed with ascending numbers, without gaps
    /// in what [`keeps`](Records::keeps).
    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut Record> {
        let at = match self.keep {
            Keep::Counts | Keep::Last(0) => return None,
            Keep::Last(limit) => (sequence % limit as u64) as usize,
            Keep::First(_) => usize::try_from(sequence).ok()?,
        };
        let record = self.list.get_mut(at)?;
        (record.sequence == sequence).then_some(record)
    }

    /// The hits kept, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Record> {
        let length = self.list.len();
        (0..length).map(move |at| &self.list[(self.next + at) % length])
    }
}
