//! The ledger: pool calls as they come, added up.

use super::account::{Account, Counted, Held, LARGEST_BLOCK};
use super::bad_free::{BadFree, BadFreeKind, LastFree};
use super::driver_set::DriverSet;
use super::freed::{Freed, FreedBlocks};
use super::growth::{Growth, Lows, Repeats};
use super::key_map::KeyMap;
use super::limits::{LedgerLimits, Lost};
use super::path::{CallPath, LiveBlock, PoolCall, TagAccount};
use super::timeline::{Clock, Line};
use crate::address::Va;
use crate::guest::pool::PoolKind;
use crate::hits::StackId;
use crate::tag::Tag;

/// How a block is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Live {
    bytes: u64,
    sequence: u64,
    /// How many repetitions had been marked.
    pub repeat: u64,
    /// The path's number.
    pub path: u32,
    /// A driver was starting up.
    pub at_startup: bool,
    /// Its driver has been unloaded since.
    pub is_orphan: bool,
}

impl Live {
    fn counted(&self) -> Counted {
        Counted {
            bytes: self.bytes,
            at_startup: self.at_startup,
        }
    }

    /// What it counts for.
    pub fn held(&self) -> Held {
        self.counted().held()
    }
}

/// Pool calls, added up as they come, in bounded memory.
///
/// ```
/// use poolhit::{address::Va, hits::StackId, tag::Tag};
/// use poolhit::leaks::{DriverSet, Ledger, LedgerLimits, PoolCall};
///
/// let mut ledger = Ledger::new(LedgerLimits::default());
/// let call = |stack, work| PoolCall {
///     tag: Tag::from_bytes(*b"Leak"),
///     stack: StackId(stack),
///     drivers: DriverSet::of(0),
///     work,
/// };
/// let number = ledger.next_call();
/// ledger.allocated(number, &call(0, 100), Va(0x1000), 0x40, None);
/// let number = ledger.next_call();
/// ledger.allocated(number, &call(0, 200), Va(0x2000), 0x40, None);
/// ledger.freed(&call(1, 300), Va(0x1000));
///
/// let account = &ledger.paths()[0].account;
/// assert_eq!((account.totals.allocations, account.totals.outstanding.blocks), (2, 1));
/// ledger.freed(&call(1, 400), Va(0x1000)); // once more
/// assert_eq!(ledger.bad_frees().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Ledger {
    limits: LedgerLimits,
    live: KeyMap<Live>,
    freed: FreedBlocks,
    paths: Vec<CallPath>,
    path_numbers: KeyMap<u32>,
    tags: Vec<TagAccount>,
    /// By tag; of accounts with the same tag the first, each naming the next.
    tag_numbers: KeyMap<u32>,
    next_tag: Vec<u32>,
    bad_frees: Vec<BadFree>,
    bad_free_count: u64,
    calls: u64,
    started: bool,
    repeats: Repeats,
    clock: Clock,
    lost: Lost,
}

/// No further account.
const END: u32 = u32::MAX;

impl Ledger {
    /// An empty one. See [`Ledger`] for an example.
    pub fn new(limits: LedgerLimits) -> Ledger {
        Ledger {
            live: KeyMap::new(limits.blocks),
            freed: FreedBlocks::new(limits.freed),
            paths: Vec::new(),
            // One more stands for those that find no room.
            path_numbers: KeyMap::new(limits.paths.min(END as usize - 1) + 1),
            tags: Vec::new(),
            tag_numbers: KeyMap::new(limits.tags.min(END as usize - 1) + 1),
            next_tag: Vec::new(),
            bad_frees: Vec::new(),
            bad_free_count: 0,
            calls: 0,
            started: false,
            repeats: Repeats::new(),
            clock: Clock::new(),
            lost: Lost::default(),
            limits,
        }
    }

    /// The number of a pool call that begins now. See [`Ledger`] for an example.
    pub fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls - 1
    }

    /// A call with this number has given a block of so many bytes. See [`Ledger`] for an example.
    #[inline]
    pub fn allocated(
        &mut self,
        sequence: u64,
        call: &PoolCall,
        block: Va,
        bytes: u64,
        pool: Option<PoolKind>,
    ) {
        self.advance(call.work);
        if let Some(before) = self.live.remove(block.0) {
            // It has been freed in a way that passes no comparison.
            self.lost.replaced += 1;
            self.take(&before);
        }
        self.freed.forget(block);
        let path = self.path(call);
        let live = Live {
            bytes: bytes.min(LARGEST_BLOCK),
            sequence,
            repeat: self.repeats.count,
            path: path as u32,
            at_startup: !self.started,
            is_orphan: false,
        };
        if self.live.insert(block.0, live).is_err() {
            self.lost.blocks += 1;
            return;
        }
        let path = &mut self.paths[path];
        let tag = &mut self.tags[path.tag_account as usize];
        for account in [&mut path.account, &mut tag.account] {
            account.allocate(live.counted(), pool, sequence);
        }
        let bytes = tag.account.totals.outstanding.bytes;
        tag.line.note(&self.clock, bytes);
    }

    /// A block is freed. See [`Ledger`] for an example.
    #[inline]
    pub fn freed(&mut self, call: &PoolCall, block: Va) {
        let sequence = self.next_call();
        self.advance(call.work);
        let Some(live) = self.live.remove(block.0) else {
            self.bad_free(call, block, sequence);
            return;
        };
        self.take(&live);
        let freed = Freed {
            allocated: live.sequence,
            path: live.path,
            sequence,
            stack: call.stack,
        };
        self.freed.note(block, freed);
    }

    /// Takes a block out of its accounts.
    #[inline]
    fn take(&mut self, live: &Live) {
        let path = &mut self.paths[live.path as usize];
        let tag = &mut self.tags[path.tag_account as usize];
        path.account.free(live.counted());
        tag.account.free(live.counted());
        let bytes = tag.account.totals.outstanding.bytes;
        tag.line.note(&self.clock, bytes);
    }

    #[cold]
    fn bad_free(&mut self, call: &PoolCall, block: Va, sequence: u64) {
        let kind = match self.freed.get(block) {
            Some(freed) => BadFreeKind::FreedBefore(freed.into()),
            None if self.lost.blocks > 0 => {
                self.lost.unmatched_frees += 1;
                return;
            }
            None => BadFreeKind::NotAllocated,
        };
        self.bad_free_count += 1;
        if self.bad_frees.len() < self.limits.bad_frees {
            self.bad_frees.push(BadFree {
                kind,
                block,
                tag: call.tag.unprotected(),
                stack: call.stack,
                drivers: call.drivers,
                sequence,
            });
        }
    }

    #[inline]
    fn advance(&mut self, work: u64) {
        for _ in 0..self.clock.advance(work) {
            self.tags.iter_mut().for_each(|tag| tag.line.halve());
        }
    }

    /// The path of a call, as an index.
    #[inline]
    fn path(&mut self, call: &PoolCall) -> usize {
        let tag = call.tag.unprotected();
        let key = u64::from(call.stack.0) << 32 | u64::from(tag.0);
        match self.path_numbers.get(key) {
            Some(number) => number as usize,
            None => self.new_path(key, tag, call),
        }
    }

    #[cold]
    fn new_path(&mut self, key: u64, tag: Tag, call: &PoolCall) -> usize {
        /// [`StackId::NOT_KEPT`] and tag 0.
        const OTHERS: u64 = (u32::MAX as u64) << 32;
        if self.paths.len() >= self.limits.paths && key != OTHERS {
            self.lost.paths += 1;
            let others = PoolCall {
                tag: Tag(0),
                stack: StackId::NOT_KEPT,
                ..*call
            };
            return self.path(&others);
        }
        // Nothing is known of the callers of what is not kept.
        let drivers = match call.stack {
            StackId::NOT_KEPT => DriverSet::ALL,
            _ => call.drivers,
        };
        let tag_account = self.tag_account(tag, drivers);
        let number = self.paths.len();
        self.paths.push(CallPath {
            stack: call.stack,
            tag,
            drivers,
            account: Account::default(),
            tag_account,
        });
        // There is room: the map is as large as the list can be.
        let _ = self.path_numbers.insert(key, number as u32);
        number
    }

    fn tag_account(&mut self, tag: Tag, drivers: DriverSet) -> u32 {
        let first = self.tag_numbers.get(tag.0.into());
        let mut at = first.unwrap_or(END);
        while let Some(account) = self.tags.get(at as usize) {
            if account.drivers == drivers {
                return at;
            }
            at = self.next_tag[at as usize];
        }
        let others = (Tag(0), DriverSet::ALL);
        if self.tags.len() >= self.limits.tags && (tag, drivers) != others {
            self.lost.paths += 1;
            return self.tag_account(others.0, others.1);
        }
        let number = self.tags.len() as u32;
        self.tags.push(TagAccount {
            tag,
            drivers,
            account: Account::default(),
            line: Line::new(&self.clock),
        });
        self.next_tag.push(first.unwrap_or(END));
        let _ = self.tag_numbers.insert(tag.0.into(), number);
        number
    }

    /// The guest has started up: what is allocated from now on is no part of that.
    ///
    /// ```
    /// use poolhit::leaks::{Ledger, LedgerLimits};
    /// Ledger::new(LedgerLimits::default()).mark_started();
    /// ```
    pub fn mark_started(&mut self) {
        self.started = true;
    }

    /// A driver starts up, until [`mark_started`](Ledger::mark_started) says that it has: what it
    /// allocates meanwhile it may keep.
    ///
    /// ```
    /// use poolhit::leaks::{Ledger, LedgerLimits};
    /// let mut ledger = Ledger::new(LedgerLimits::default());
    /// ledger.mark_started();
    /// ledger.mark_starting(); // a second driver is loaded
    /// ledger.mark_started();
    /// ```
    pub fn mark_starting(&mut self) {
        self.started = false;
    }

    /// These drivers have been unloaded: what is outstanding of their allocations is leaked from now on,
    /// whatever is loaded later under their names. Gives that.
    ///
    /// ```
    /// use poolhit::leaks::{DriverSet, Held, Ledger, LedgerLimits};
    /// let mut ledger = Ledger::new(LedgerLimits::default());
    /// assert_eq!(ledger.mark_unloaded(DriverSet::of(0)), Held::default());
    /// ```
    pub fn mark_unloaded(&mut self, drivers: DriverSet) -> Held {
        let mut left = Held::default();
        for live in self.live.values_mut() {
            if self.paths[live.path as usize].drivers.meets(drivers) {
                live.is_orphan = true;
                left.add(live.held());
            }
        }
        left
    }

    /// A repetition of what is repeated ends here: see [`Growth`].
    ///
    /// ```
    /// use poolhit::leaks::{Ledger, LedgerLimits};
    /// let mut ledger = Ledger::new(LedgerLimits::default());
    /// ledger.mark_repeat();
    /// assert_eq!(ledger.repeats(), 1);
    /// ```
    pub fn mark_repeat(&mut self) {
        let halves = self.repeats.next();
        let paths = self.paths.iter_mut().map(|path| &mut path.account);
        let tags = self.tags.iter_mut().map(|tag| &mut tag.account);
        for account in paths.chain(tags) {
            if halves {
                account.lows.halve();
            }
            account.lows.note(&self.repeats, account.totals.outstanding);
        }
    }

    /// How many repetitions have been marked.
    pub fn repeats(&self) -> u64 {
        self.repeats.count
    }

    /// How an account has developed from one repetition to the next.
    ///
    /// ```
    /// use poolhit::leaks::{Account, Growth, Ledger, LedgerLimits};
    /// let ledger = Ledger::new(LedgerLimits::default());
    /// assert_eq!(ledger.growth(&Account::default()), Growth::Nothing);
    /// ```
    pub fn growth(&self, account: &Account) -> Growth {
        account
            .lows
            .growth(&self.repeats, account.totals.outstanding)
    }

    /// The same of several accounts' lows together.
    pub(super) fn growth_of(&self, lows: &Lows, outstanding: Held) -> Growth {
        lows.growth(&self.repeats, outstanding)
    }

    /// The blocks that are allocated, as they are kept.
    pub(super) fn live(&self) -> impl Iterator<Item = Live> {
        self.live.iter().map(|(_, live)| live)
    }

    /// All ways to allocations, in the order of their first.
    pub fn paths(&self) -> &[CallPath] {
        &self.paths
    }

    /// All tags, in the order of their first allocation. One that is used by several sets of drivers is
    /// there several times.
    pub fn tags(&self) -> &[TagAccount] {
        &self.tags
    }

    /// The blocks that are allocated, in no order that means anything.
    pub fn live_blocks(&self) -> impl Iterator<Item = LiveBlock> {
        self.live.iter().map(|(block, live)| LiveBlock {
            block: Va(block),
            bytes: live.bytes,
            path: live.path as usize,
            sequence: live.sequence,
            repeat: live.repeat,
        })
    }

    /// How many blocks are allocated.
    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// The first bad frees: as many as the limits say.
    pub fn bad_frees(&self) -> &[BadFree] {
        &self.bad_frees
    }

    /// The number of all bad frees.
    pub fn bad_free_count(&self) -> u64 {
        self.bad_free_count
    }

    /// What is known of a block that has been freed and not been given out again, if its free is
    /// remembered.
    ///
    /// ```
    /// use poolhit::{address::Va, leaks::{Ledger, LedgerLimits}};
    /// assert_eq!(Ledger::new(LedgerLimits::default()).last_free(Va(0x1000)), None);
    /// ```
    pub fn last_free(&self, block: Va) -> Option<LastFree> {
        self.freed.get(block).map(LastFree::from)
    }

    /// The number of all pool calls.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// What could not be kept.
    pub fn lost(&self) -> Lost {
        self.lost
    }

    /// The distance of the points of [`outstanding_bytes`](Ledger::outstanding_bytes), in bytes of code
    /// executed.
    pub fn step(&self) -> u64 {
        self.clock.step
    }

    /// A tag's bytes outstanding over time: the n-th is at the end of the n-th interval of
    /// [`step`](Ledger::step), the last one now.
    pub fn outstanding_bytes(&self, tag: &TagAccount) -> Vec<u64> {
        tag.line.points(&self.clock)
    }
}
