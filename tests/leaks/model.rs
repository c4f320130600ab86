//! The ledger against one that keeps everything and adds up when it is asked.

use poolhit::address::Va;
use poolhit::hits::StackId;
use poolhit::leaks::{BadFreeKind, DriverSet, Growth, Held, Ledger, LedgerLimits, PoolCall};
use poolhit::tag::Tag;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        block: u64,
        bytes: u64,
        way: u32,
        tag: u32,
    },
    Free {
        block: u64,
        way: u32,
    },
    Repeat,
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    let block = || (1..24_u64).prop_map(|number| number * 0x10);
    prop_oneof![
        6 => (block(), 0..0x3000_u64, 0..4_u32, 0..3_u32)
            .prop_map(|(block, bytes, way, tag)| Step::Allocate { block, bytes, way, tag }),
        5 => (block(), 4..6_u32).prop_map(|(block, way)| Step::Free { block, way }),
        1 => Just(Step::Repeat),
        1 => Just(Step::Start),
    ]
}

const TAGS: [Tag; 3] = [Tag(0x6b61654c), Tag(0xb261654c), Tag(0x3261654c)];

/// An allocation, as the model keeps it for ever.
#[derive(Clone, Debug)]
struct Known {
    block: u64,
    bytes: u64,
    way: u32,
    tag: Tag,
    sequence: u64,
    startup: bool,
    freed: Option<(u64, u32)>,
}

/// A bad free: its number, the block, and if that was freed before, the numbers of its allocation and its
/// free, and who freed it.
type Bad = (u64, u64, Option<(u64, u64, u32)>);

/// What the model has of a way or of a tag: found by going through all that ever happened.
#[derive(Default)]
struct Model {
    all: Vec<Known>,
    bad: Vec<Bad>,
    replaced: u64,
}

impl Model {
    fn outstanding(&self, at: u64, which: impl Fn(&Known) -> bool) -> Held {
        let held = self.all.iter().filter(|one| {
            which(one) && one.sequence <= at && one.freed.is_none_or(|freed| freed.0 > at)
        });
        held.fold(Held::default(), |sum, one| Held {
            blocks: sum.blocks + 1,
            bytes: sum.bytes + one.bytes,
        })
    }
}

fn call(way: u32, tag: Tag, work: u64) -> PoolCall {
    PoolCall {
        tag,
        stack: StackId(way),
        drivers: DriverSet::of(way as usize % 2),
        work,
    }
}

proptest! {
    #[test]
    fn the_ledger_is_its_model(steps in prop::collection::vec(step(), 0..400)) {
        let mut ledger = Ledger::new(LedgerLimits::default());
        let mut model = Model::default();
        let (mut now, mut started, mut repeats) = (0, false, Vec::new());
        for step in steps {
            match step {
                Step::Allocate { block, bytes, way, tag } => {
                    let sequence = ledger.next_call();
                    prop_assert_eq!(sequence, now);
                    let tag = TAGS[tag as usize];
                    let made = call(way, tag, now * 1000);
                    ledger.allocated(sequence, &made, Va(block), bytes, None);
                    let live = |one: &&mut Known| one.block == block && one.freed.is_none();
                    if let Some(known) = model.all.iter_mut().find(live) {
                        known.freed = Some((now, u32::MAX));
                        model.replaced += 1;
                    }
                    model.all.push(Known {
                        block, bytes, way, tag: tag.unprotected(), sequence, startup: !started, freed: None,
                    });
                    now += 1;
                }
                Step::Free { block, way } => {
                    ledger.freed(&call(way, TAGS[0], now * 1000), Va(block));
                    let last = model.all.iter_mut().rev().find(|one| one.block == block);
                    match last {
                        Some(known) if known.freed.is_none() => known.freed = Some((now, way)),
                        Some(known) => {
                            let (first, by) = known.freed.unwrap();
                            let before = Some((known.sequence, first, by));
                            model.bad.push((now, block, before));
                        }
                        None => model.bad.push((now, block, None)),
                    }
                    now += 1;
                }
                Step::Repeat => {
                    ledger.mark_repeat();
                    repeats.push(now);
                }
                Step::Start => {
                    ledger.mark_started();
                    started = true;
                }
            }
        }
        check_ways(&ledger, &model, now)?;
        check_tags(&ledger, &model, now)?;
        check_blocks(&ledger, &model)?;
        prop_assert_eq!((ledger.calls(), ledger.repeats()), (now, repeats.len() as u64));
    }

    /// However little it may keep, what it keeps adds up, and nothing panics.
    #[test]
    fn a_full_ledger_adds_up(
        steps in prop::collection::vec(step(), 0..400),
        blocks in 0..12_usize, paths in 0..4_usize, tags in 0..3_usize,
        freed in 0..4_usize, bad_frees in 0..4_usize,
    ) {
        let limits = LedgerLimits { blocks, paths, tags, freed, bad_frees };
        let mut ledger = Ledger::new(limits);
        let mut work = 0_u64;
        for step in steps {
            work = work.wrapping_mul(3) + 1;
            match step {
                Step::Allocate { block, bytes, way, tag } => {
                    let sequence = ledger.next_call();
                    let made = call(way, TAGS[tag as usize], work);
                    ledger.allocated(sequence, &made, Va(block), bytes << 50, None);
                }
                Step::Free { block, way } => ledger.freed(&call(way, TAGS[0], work), Va(block)),
                Step::Repeat => ledger.mark_repeat(),
                Step::Start => ledger.mark_started(),
            }
        }
        prop_assert!(ledger.live_count() <= blocks);
        // one stands for all that find no room
        prop_assert!(ledger.paths().len() <= paths + 1);
        prop_assert!(ledger.tags().len() <= tags + 1);
        prop_assert!(ledger.bad_frees().len() <= bad_frees);
        let by_path: u64 = ledger.paths().iter().map(|one| one.account.totals.outstanding.blocks).sum();
        let by_tag: u64 = ledger.tags().iter().map(|one| one.account.totals.outstanding.blocks).sum();
        prop_assert_eq!((by_path, by_tag), (ledger.live_count() as u64, ledger.live_count() as u64));
        for tag in ledger.tags() {
            let points = ledger.outstanding_bytes(tag);
            prop_assert!(points.len() <= poolhit::leaks::POINTS);
        }
    }
}

fn check_ways(ledger: &Ledger, model: &Model, now: u64) -> Result<(), TestCaseError> {
    let ways: BTreeSet<(u32, Tag)> = model.all.iter().map(|one| (one.way, one.tag)).collect();
    let known: BTreeSet<(u32, Tag)> = ledger
        .paths()
        .iter()
        .map(|path| (path.stack.0, path.tag))
        .collect();
    prop_assert_eq!(&ways, &known);
    prop_assert_eq!(ways.len(), ledger.paths().len());
    for path in ledger.paths() {
        let is_it = |one: &Known| one.way == path.stack.0 && one.tag == path.tag;
        check_account(&path.account, model, now, is_it)?;
        let growth = ledger.growth(&path.account);
        let nothing = path.account.totals.outstanding == Held::default();
        prop_assert_eq!(growth == Growth::Nothing, nothing);
    }
    Ok(())
}

fn check_tags(ledger: &Ledger, model: &Model, now: u64) -> Result<(), TestCaseError> {
    for tag in ledger.tags() {
        let is_it =
            |one: &Known| one.tag == tag.tag && DriverSet::of(one.way as usize % 2) == tag.drivers;
        check_account(&tag.account, model, now, is_it)?;
        for (at, point) in (1..).zip(ledger.outstanding_bytes(tag)) {
            let last = (at * ledger.step())
                .div_ceil(1000)
                .min(now)
                .saturating_sub(1);
            prop_assert_eq!(point, model.outstanding(last, is_it).bytes);
        }
    }
    Ok(())
}

fn check_account(
    account: &poolhit::leaks::Account,
    model: &Model,
    now: u64,
    is_it: impl Fn(&Known) -> bool + Copy,
) -> Result<(), TestCaseError> {
    let all: Vec<&Known> = model.all.iter().filter(|one| is_it(one)).collect();
    let totals = &account.totals;
    prop_assert_eq!(totals.allocations, all.len() as u64);
    prop_assert_eq!(
        totals.allocated_bytes,
        all.iter().map(|one| one.bytes).sum::<u64>()
    );
    let freed = all.iter().filter(|one| one.freed.is_some());
    prop_assert_eq!(totals.frees, freed.count() as u64);
    prop_assert_eq!(totals.outstanding, model.outstanding(now, is_it));
    let at_all_times = (0..now).map(|at| model.outstanding(at, is_it));
    let peak = at_all_times.fold(Held::default(), |most, held| Held {
        blocks: most.blocks.max(held.blocks),
        bytes: most.bytes.max(held.bytes),
    });
    prop_assert_eq!(totals.peak, peak);
    prop_assert_eq!(
        account.startup,
        model.outstanding(now, |one| is_it(one) && one.startup)
    );
    prop_assert_eq!(
        account.first,
        all.iter().map(|one| one.sequence).min().unwrap()
    );
    prop_assert_eq!(
        account.last,
        all.iter().map(|one| one.sequence).max().unwrap()
    );
    let sizes: BTreeSet<u64> = all.iter().map(|one| one.bytes).collect();
    let range = sizes.first().copied().zip(sizes.last().copied());
    prop_assert_eq!(account.sizes.range(), range);
    prop_assert_eq!(
        account.sizes.has_more(),
        sizes.len() > poolhit::leaks::SIZES
    );
    prop_assert!(
        account
            .sizes
            .distinct()
            .iter()
            .all(|size| sizes.contains(size))
    );
    Ok(())
}

fn check_blocks(ledger: &Ledger, model: &Model) -> Result<(), TestCaseError> {
    let live: BTreeMap<u64, (u64, u64)> = ledger
        .live_blocks()
        .map(|one| (one.block.0, (one.sequence, one.bytes)))
        .collect();
    let held = model.all.iter().filter(|one| one.freed.is_none());
    let held: BTreeMap<u64, (u64, u64)> = held
        .map(|one| (one.block, (one.sequence, one.bytes)))
        .collect();
    prop_assert_eq!(live.len(), ledger.live_count());
    prop_assert_eq!(live, held);
    let bad: Vec<_> = ledger
        .bad_frees()
        .iter()
        .map(|free| {
            let before = match free.kind {
                BadFreeKind::NotAllocated => None,
                BadFreeKind::FreedBefore(last) => Some((last.allocated, last.freed, last.stack.0)),
            };
            (free.sequence, free.block.0, before)
        })
        .collect();
    let kept = model.bad.len().min(LedgerLimits::default().bad_frees);
    prop_assert_eq!(&bad[..], &model.bad[..kept]);
    prop_assert_eq!(ledger.bad_free_count(), model.bad.len() as u64);
    prop_assert_eq!(ledger.lost().replaced, model.replaced);
    Ok(())
}
