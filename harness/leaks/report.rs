//! The report: what a ledger knows, with names.

use super::account::{Account, Held, Totals};
use super::bad_free::BadFreeKind;
use super::callers::Driver;
use super::driver_set::DriverSet;
use super::end::RunEnd;
use super::growth::Growth;
use super::ledger::Ledger;
use super::left_behind::LeftBehind;
use super::limits::Lost;
use super::path::LiveBlock;
use super::requests::RequestReport;
use super::source::find_driver_lines;
use super::tracker::LeakTracker;
use super::unload::Unload;
use crate::address::Va;
use crate::debugger::CallStack;
use crate::hits::StackId;
use crate::tag::{Tag, TagPattern};
use std::collections::BTreeMap;

/// The most blocks that are listed of one way.
pub const BLOCKS_LISTED: usize = 4;

/// Which allocations a report is about.
#[derive(Clone, Debug, Default)]
pub struct LeakFilter {
    /// Only those with a tag that fits.
    pub tags: Option<TagPattern>,
    /// Only those of the driver with this name, its module's or its file's, in any case; and not those
    /// of all drivers.
    pub driver: Option<String>,
    /// Those too that the kernel makes for itself, with no driver on the stack. They count for no leaks.
    pub kernel: bool,
}

/// What becomes of memory by one way: a stack, and the tag passed at its end.
#[derive(Clone, PartialEq, Debug)]
pub struct PathReport {
    /// The tag, without its protected bit.
    pub tag: Tag,
    /// The drivers on the stack, the one whose calls came up first in front.
    pub drivers: Vec<String>,
    /// The stack, from the pool's function on; `None` if it is not kept.
    pub stack: Option<CallStack>,
    /// Counts, sizes and pools.
    pub account: Account,
    /// What of the outstanding is leaked: all but what a driver that is still loaded has had since its
    /// start, or keeps once. Nothing, if no driver is on the stack.
    pub leaked: Held,
    /// How it has developed from one repetition to the next.
    pub growth: Growth,
    /// The first blocks that are outstanding: at most [`BLOCKS_LISTED`].
    pub blocks: Vec<LiveBlock>,
}

/// What becomes of memory with one tag.
#[derive(Clone, PartialEq, Debug)]
pub struct TagReport {
    /// The tag, without its protected bit.
    pub tag: Tag,
    /// Counts, sizes and pools. If several drivers use the tag, the peaks are those of each added up.
    pub account: Account,
    /// What of the outstanding is leaked: see [`PathReport::leaked`].
    pub leaked: Held,
    /// How it has developed from one repetition to the next.
    pub growth: Growth,
    /// The bytes outstanding over time: at the end of each interval of [`LeakReport::step`], the last one
    /// now.
    pub bytes_over_time: Vec<u64>,
}

/// A free of what is not allocated.
#[derive(Clone, PartialEq, Debug)]
pub struct BadFreeReport {
    /// The address.
    pub block: Va,
    /// The tag found there.
    pub tag: Tag,
    /// The number of the free among all pool calls.
    pub sequence: u64,
    /// Who frees.
    pub stack: Option<CallStack>,
    /// If it was freed before: the number of that free, and who did it.
    pub freed_before: Option<(u64, Option<CallStack>)>,
    /// Who had allocated it, if that is known.
    pub allocated: Option<CallStack>,
}

/// A module that a stack of the report goes through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleReport {
    /// The name in front of the `!`.
    pub name: String,
    /// The image's file name.
    pub image_name: String,
    /// Its first byte.
    pub base: Va,
    /// Its size in bytes.
    pub size: u32,
}

/// What is outstanding at the end, by which ways it came about, and what of it is leaked.
///
/// A block is *leaked* if it is outstanding, a driver is on the stack of its allocation, and either that
/// driver has been unloaded since, or the block was allocated after the driver had started up: what it has
/// had since its `DriverEntry` or `AddDevice` it may well keep while it is loaded. If repetitions were
/// marked, two at least, what was allocated before the last mark is leaked only where it
/// [grows](Growth::Growing), by its own path or with others of its tag: the rest a driver keeps once, such
/// as a cache.
///
/// `Display` gives the text of [`report::leaks`](crate::report::leaks).
#[derive(Clone, PartialEq, Debug)]
pub struct LeakReport {
    /// The drivers whose allocations are in it.
    pub drivers: Vec<Driver>,
    /// The sum of all ways; of the peaks the sum too, and so the most that can have been at once.
    pub totals: Totals,
    /// What of the outstanding is leaked.
    pub leaked: Held,
    /// The tags, those with the most bytes leaked first.
    pub tags: Vec<TagReport>,
    /// The ways, those with the most bytes leaked first, and then those with the most outstanding.
    pub paths: Vec<PathReport>,
    /// The first frees of what was not allocated. If the kernel has stopped at a free of a block that had
    /// been freed before (`BAD_POOL_CALLER`), that is the last of them, whatever driver and tag it is of.
    pub bad_frees: Vec<BadFreeReport>,
    /// The number of all of those, of whatever driver and tag.
    pub bad_free_count: u64,
    /// The requests that were made to a driver and that it will never complete, by kind. They are leaked,
    /// too, though none of their memory is the driver's.
    pub requests: Vec<RequestReport>,
    /// What drivers that have been unloaded have with the kernel still. It is leaked, too.
    pub left_behind: Vec<LeftBehind>,
    /// How the run ended.
    pub end: RunEnd,
    /// How many repetitions have been marked.
    pub repeats: u64,
    /// The number of all pool calls, the kernel's own too.
    pub calls: u64,
    /// The work the guest had done, in bytes of code executed.
    pub work: u64,
    /// The distance of the points of [`TagReport::bytes_over_time`], in bytes of code executed.
    pub step: u64,
    /// The modules on the stacks, by ascending base.
    pub modules: Vec<ModuleReport>,
    /// What could not be kept.
    pub lost: Lost,
    /// Allocations whose block is not known.
    pub unseen: u64,
}

impl LeakReport {
    /// The ways by which something has leaked, the most bytes first.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().track_leaks().build()?;
    /// // the program has not asked for anything yet
    /// assert_eq!(lab.leaks()?.leaks().count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leaks(&self) -> impl Iterator<Item = &PathReport> {
        self.paths.iter().filter(|path| path.leaked.blocks > 0)
    }

    /// How many [requests](LeakReport::requests) have leaked.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().track_leaks().build()?;
    /// assert_eq!(lab.leaks()?.request_count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_count(&self) -> u64 {
        self.requests.iter().map(|kind| kind.count).sum()
    }

    /// Whether no memory and no request has leaked, nothing was left behind, and nothing was freed that was
    /// not allocated. Of a run
    /// that was [stopped](LeakReport::end) that says nothing of what would have come.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().track_leaks().build()?;
    /// assert!(lab.leaks()?.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_clean(&self) -> bool {
        self.leaked == Held::default()
            && self.bad_free_count == 0
            && self.requests.is_empty()
            && self.left_behind.is_empty()
    }

    /// Whether all allocations are in it. Those that the ledger had no room for, and those that never
    /// returned, may have leaked, and nobody knows.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().track_leaks().build()?;
    /// assert!(lab.leaks()?.is_complete());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_complete(&self) -> bool {
        self.lost.blocks == 0 && self.unseen == 0
    }
}

/// What is chosen for a report.
pub(super) struct Choice<'a> {
    pub tags: Option<&'a TagPattern>,
    pub drivers: DriverSet,
    pub kernel: bool,
}

impl Choice<'_> {
    fn has(&self, tag: Tag, drivers: DriverSet) -> bool {
        let of_kernel = drivers == DriverSet::NONE;
        (drivers.meets(self.drivers) || self.kernel && of_kernel)
            && self.tags.is_none_or(|pattern| pattern.matches(tag))
    }
}

/// The report of a tracker; `work` is what the guest has done until now.
/// `gone` are the drivers that are not loaded any more.
pub(super) fn report(
    tracker: &LeakTracker,
    choice: &Choice<'_>,
    gone: DriverSet,
    work: u64,
) -> LeakReport {
    let ledger = tracker.ledger();
    let all_leaked = ledger.leaked(gone);
    let growths = ledger.path_growths();
    let mut blocks = first_blocks(ledger, choice);
    let mut modules = BTreeMap::new();
    let mut paths: Vec<PathReport> = Vec::new();
    let mut all = Account::default();
    let mut leaked = Held::default();
    let mut leaked_by_tag: BTreeMap<Tag, Held> = BTreeMap::new();
    let mut seen = DriverSet::NONE;
    for (number, path) in ledger.paths().iter().enumerate() {
        if !choice.has(path.tag, path.drivers) {
            continue;
        }
        all.merge(&path.account);
        let lost = all_leaked[number];
        leaked.add(lost);
        // Where it is counted: with the others, if there was no room for the tag.
        let booked = ledger.tags()[path.tag_account as usize].tag;
        leaked_by_tag.entry(booked).or_default().add(lost);
        if path.drivers != DriverSet::ALL {
            seen.0 |= path.drivers.0;
        }
        paths.push(PathReport {
            tag: path.tag,
            drivers: names(tracker, path.drivers),
            stack: named(tracker, path.stack, &mut modules),
            account: path.account.clone(),
            leaked: lost,
            growth: growths[number],
            blocks: blocks.remove(&number).unwrap_or_default(),
        });
    }
    paths.sort_by_key(|path| {
        let (leaked, held) = (path.leaked, path.account.totals.outstanding);
        let most_first = [leaked.bytes, leaked.blocks, held.bytes, held.blocks];
        (most_first.map(std::cmp::Reverse), path.account.first)
    });
    let bad_frees = ledger.bad_frees().iter();
    let bad_frees = bad_frees.filter(|free| choice.has(free.tag, free.drivers));
    let bad_frees = bad_frees.map(|free| {
        let mut named = |stack| named(tracker, stack, &mut modules);
        let last = match free.kind {
            BadFreeKind::NotAllocated => None,
            BadFreeKind::FreedBefore(last) => Some(last),
        };
        let allocated = last.and_then(|last| named(ledger.paths().get(last.path)?.stack));
        let freed_before = last.map(|last| (last.freed, named(last.stack)));
        BadFreeReport {
            block: free.block,
            tag: free.tag,
            sequence: free.sequence,
            stack: named(free.stack),
            freed_before,
            allocated,
        }
    });
    let drivers = tracker.drivers().iter().enumerate();
    let drivers = drivers.filter(|(number, _)| DriverSet::of(*number).meets(seen));
    LeakReport {
        bad_frees: bad_frees.collect(),
        drivers: drivers
            .map(|(number, driver)| Driver {
                unloaded: unload_of(ledger, choice, gone, DriverSet::of(number), driver),
                ..driver.clone()
            })
            .collect(),
        totals: all.totals,
        leaked,
        tags: tags(ledger, choice, &leaked_by_tag),
        paths,
        bad_free_count: ledger.bad_free_count(),
        requests: Vec::new(),
        left_behind: Vec::new(),
        end: RunEnd::Complete,
        repeats: ledger.repeats(),
        calls: ledger.calls(),
        work,
        step: ledger.step(),
        modules: modules.into_values().collect(),
        lost: ledger.lost(),
        unseen: tracker.unseen(),
    }
}

/// What a driver has left of what is chosen, if it has been unloaded.
fn unload_of(
    ledger: &Ledger,
    choice: &Choice<'_>,
    gone: DriverSet,
    set: DriverSet,
    driver: &Driver,
) -> Option<Unload> {
    let is_gone = set.meets(gone);
    match driver.unloaded {
        None if !is_gone => return None,
        Some(unload) if choice.tags.is_none() => return Some(unload),
        _ => {}
    }
    let mut left = Held::default();
    for live in ledger.live() {
        let path = &ledger.paths()[live.path as usize];
        let is_left = is_gone || live.is_orphan;
        if is_left && path.drivers.meets(set) && choice.has(path.tag, path.drivers) {
            left.add(live.held());
        }
    }
    let calls = driver
        .unloaded
        .map_or(ledger.calls(), |unload| unload.calls);
    Some(Unload { left, calls })
}

fn tags(ledger: &Ledger, choice: &Choice<'_>, leaked: &BTreeMap<Tag, Held>) -> Vec<TagReport> {
    let mut by_tag: BTreeMap<Tag, TagReport> = BTreeMap::new();
    for used in ledger.tags() {
        if !choice.has(used.tag, used.drivers) {
            continue;
        }
        let points = ledger.outstanding_bytes(used);
        let sum = by_tag.entry(used.tag).or_insert_with(|| TagReport {
            tag: used.tag,
            account: Account::default(),
            leaked: leaked.get(&used.tag).copied().unwrap_or_default(),
            growth: Growth::Nothing,
            bytes_over_time: vec![0; points.len()],
        });
        sum.account.merge(&used.account);
        for (sum, more) in sum.bytes_over_time.iter_mut().zip(points) {
            *sum += more;
        }
    }
    let mut tags: Vec<TagReport> = by_tag.into_values().collect();
    for tag in &mut tags {
        tag.growth = ledger.growth(&tag.account);
    }
    tags.sort_by_key(|tag| {
        let (leaked, held) = (tag.leaked, tag.account.totals.outstanding);
        let most_first = [leaked.bytes, leaked.blocks, held.bytes, held.blocks];
        (most_first.map(std::cmp::Reverse), tag.tag)
    });
    tags
}

/// The first outstanding blocks of each path that is chosen.
fn first_blocks(ledger: &Ledger, choice: &Choice<'_>) -> BTreeMap<usize, Vec<LiveBlock>> {
    let mut blocks: BTreeMap<usize, Vec<LiveBlock>> = BTreeMap::new();
    for block in ledger.live_blocks() {
        let path = &ledger.paths()[block.path];
        if !choice.has(path.tag, path.drivers) {
            continue;
        }
        let first = blocks.entry(block.path).or_default();
        let place = first.partition_point(|known| known.sequence < block.sequence);
        if place < BLOCKS_LISTED {
            first.truncate(BLOCKS_LISTED - 1);
            first.insert(place, block);
        }
    }
    blocks
}

/// The names of a set's drivers.
fn names(tracker: &LeakTracker, drivers: DriverSet) -> Vec<String> {
    if drivers == DriverSet::ALL {
        return Vec::new();
    }
    let all = tracker.drivers().iter().enumerate();
    let these = all.filter(|(number, _)| DriverSet::of(*number).meets(drivers));
    these.map(|(_, driver)| driver.name.clone()).collect()
}

/// A stack with names, and with the drivers' source lines; its modules are put with the others.
fn named(
    tracker: &LeakTracker,
    stack: StackId,
    all: &mut BTreeMap<(Va, String), ModuleReport>,
) -> Option<CallStack> {
    let (at, frames, end, modules) = tracker.stack(stack)?;
    let mut named = CallStack::of_capture(at, frames, end, modules);
    find_driver_lines(&mut named, modules, tracker.kernel());
    for frame in &named.frames {
        let Some(module) = modules.containing(frame.address) else {
            continue;
        };
        let key = (module.base(), module.image_name().to_owned());
        all.entry(key).or_insert_with(|| ModuleReport {
            name: module.name().to_owned(),
            image_name: module.image_name().to_owned(),
            base: module.base(),
            size: module.size(),
        });
    }
    Some(named)
}

/// The same of a stack alone.
pub(super) fn named_stack(tracker: &LeakTracker, stack: StackId) -> Option<CallStack> {
    named(tracker, stack, &mut BTreeMap::new())
}

/// Adds a free that the kernel has refused with a bug check, of a block that had been freed before.
pub(super) fn add_refused_free(
    report: &mut LeakReport,
    tracker: &LeakTracker,
    block: Va,
    stack: CallStack,
) {
    let ledger = tracker.ledger();
    let Some(last) = ledger.last_free(block) else {
        return;
    };
    let named = |stack| named(tracker, stack, &mut BTreeMap::new());
    let path = ledger.paths().get(last.path);
    report.bad_free_count += 1;
    report.bad_frees.push(BadFreeReport {
        block,
        tag: path.map_or(Tag(0), |path| path.tag),
        sequence: ledger.calls(),
        stack: Some(stack),
        freed_before: Some((last.freed, named(last.stack))),
        allocated: path.and_then(|path| named(path.stack)),
    });
}
