//! Which of the blocks that are allocated are leaked.
//!
//! | a block that is allocated, with a driver on its stack | |
//! |---|---|
//! | its driver has been unloaded since | leaked |
//! | allocated while a driver started up: its `DriverEntry`, its `AddDevice` | kept |
//! | fewer than two repetitions have been marked | leaked |
//! | allocated behind the last mark | leaked |
//! | its path grows with each repetition | leaked |
//! | its path does not, but those of its tag that do not, all together, grow | leaked |
//! | else | kept: a cache, say |
//!
//! The last but one finds what comes up with another stack each time, as in a DPC, which has what it
//! interrupted on its stack.

use super::account::Held;
use super::driver_set::DriverSet;
use super::growth::{Growth, Lows};
use super::ledger::Ledger;
use std::collections::BTreeMap;

impl Ledger {
    /// What is leaked of each of the [paths](Ledger::paths), in their order. `gone` are the drivers that
    /// are not loaded any more, beside those that were said to have been
    /// [unloaded](Ledger::mark_unloaded).
    ///
    /// ```
    /// use poolhit::leaks::{DriverSet, Ledger, LedgerLimits};
    /// let ledger = Ledger::new(LedgerLimits::default());
    /// assert_eq!(ledger.leaked(DriverSet::NONE), []);
    /// ```
    pub fn leaked(&self, gone: DriverSet) -> Vec<Held> {
        let measured = self.repeats() >= 2;
        let grows = self.path_growths();
        let grows =
            |number: usize| matches!(grows[number], Growth::Growing { .. } | Growth::WithTag);
        let mut leaked = vec![Held::default(); self.paths().len()];
        for live in self.live() {
            let number = live.path as usize;
            let path = &self.paths()[number];
            let is_leaked = path.drivers != DriverSet::NONE
                && (live.is_orphan
                    || path.drivers.meets(gone)
                    || !live.at_startup
                        && (!measured || live.repeat == self.repeats() || grows(number)));
            if is_leaked {
                leaked[number].add(live.held());
            }
        }
        leaked
    }

    /// How each of the [paths](Ledger::paths) grows, by itself or with the others of its tag, in their
    /// order.
    ///
    /// ```
    /// use poolhit::leaks::{Ledger, LedgerLimits};
    /// let ledger = Ledger::new(LedgerLimits::default());
    /// assert_eq!(ledger.path_growths(), []);
    /// ```
    pub fn path_growths(&self) -> Vec<Growth> {
        let is_growing = |growth: &Growth| matches!(growth, Growth::Growing { .. });
        let paths = self.paths();
        let mut growths: Vec<Growth> = paths
            .iter()
            .map(|path| self.growth(&path.account))
            .collect();
        let mut rest: BTreeMap<u32, (Lows, Held)> = BTreeMap::new();
        let alone = paths.iter().zip(&growths);
        for (path, _) in alone.filter(|(_, growth)| !is_growing(growth)) {
            let (lows, held) = rest.entry(path.tag_account).or_default();
            lows.merge(&path.account.lows);
            held.add(path.account.totals.outstanding);
        }
        rest.retain(|_, (lows, held)| is_growing(&self.growth_of(lows, *held)));
        for (path, growth) in paths.iter().zip(&mut growths) {
            if *growth == Growth::OneTime && rest.contains_key(&path.tag_account) {
                *growth = Growth::WithTag;
            }
        }
        growths
    }
}
