//! What tells a ledger of a guest's pool calls.

use super::callers::{Caller, Callers, Driver};
use super::counted::counted_sites;
use super::driver_set::DriverSet;
use super::ledger::Ledger;
use super::limits::LedgerLimits;
use super::path::PoolCall;
use super::unload::Unload;
use crate::address::Va;
use crate::guest::pool::PoolKind;
use crate::guest::{Lab, Watching};
use crate::hits::{HitKind, HitSite, Request, StackId, pool_call_sites, return_watch};
use crate::machine::probe::{Observed, RETURN_LIMIT, ReturnWatch, Watcher};
use crate::registers::Gpr;
use crate::stack::capture::CapturedFrame;
use crate::stack::walk::WalkEnd;
use crate::symbols::Modules;
use crate::tag::Tag;

/// A call that has compared its tag, and not returned yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    sequence: u64,
    call: PoolCall,
    bytes: u64,
    pool: Option<PoolKind>,
}

/// A watcher that enters every pool call of a lab into a [`Ledger`], whatever its tag.
///
/// It looks where the kernel compares the tag with `nt!PoolHitTag`: each call comes by there, but one
/// that finds no memory. See [`LabBuilder::track_leaks`](crate::guest::LabBuilder::track_leaks).
#[derive(Debug)]
pub struct LeakTracker {
    sites: Vec<HitSite>,
    callers: Callers,
    ledger: Ledger,
    /// Calls in progress.
    pending: [Option<Pending>; RETURN_LIMIT],
    /// Allocations whose return could not be watched, or was not seen.
    unseen: u64,
}

impl LeakTracker {
    /// One for a lab that has not run yet, and where it looks.
    pub(super) fn watching(lab: &Lab, limits: LedgerLimits) -> Watching {
        let mut sites = pool_call_sites(lab);
        if !sites.is_empty() {
            sites.extend(counted_sites(lab));
        }
        let points: Vec<Va> = sites.iter().map(|site| site.compare).collect();
        let tracker = LeakTracker {
            callers: Callers::new(&sites, lab.bases().kernel, lab.module_reader()),
            sites,
            ledger: Ledger::new(limits),
            pending: [None; RETURN_LIMIT],
            unseen: 0,
        };
        (Box::new(tracker), points)
    }

    /// The places where the kernel's pool calls come by, and those where it counts contiguous memory.
    pub fn sites(&self) -> &[HitSite] {
        &self.sites
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The drivers that pool calls have gone through. In a [`DriverSet`] each has its index here for a
    /// number.
    pub fn drivers(&self) -> &[Driver] {
        self.callers.drivers()
    }

    /// Allocations of which it is not known what block they gave: more calls were in progress at once
    /// than can be watched, or one never returned.
    pub fn unseen(&self) -> u64 {
        let pending = self.pending.iter().flatten();
        self.unseen + pending.count() as u64
    }

    /// Marks the end of a repetition: see [`Growth`](super::Growth).
    pub fn mark_repeat(&mut self) {
        self.ledger.mark_repeat();
    }

    /// Marks that the guest has started up: what was allocated before, and is still, counts as kept by
    /// whoever has it, and not as leaked. A lab does it at its first prompt.
    pub fn mark_started(&mut self) {
        self.ledger.mark_started();
    }

    /// Marks that a driver has been unloaded: what is outstanding of its allocations is leaked, be it
    /// from its start or later. `name` is its module's or its file's, in any case. Gives what it has
    /// left behind; `None` if no driver of this name has made a pool call, and so left nothing.
    pub fn mark_unloaded(&mut self, name: &str) -> Option<Unload> {
        let drivers = self.drivers_named(name);
        if drivers == DriverSet::NONE {
            return None;
        }
        let unload = Unload {
            left: self.ledger.mark_unloaded(drivers),
            calls: self.ledger.calls(),
        };
        for (number, driver) in self.callers.drivers_mut().iter_mut().enumerate() {
            if DriverSet::of(number).meets(drivers) {
                driver.unloaded = Some(unload);
            }
        }
        Some(unload)
    }

    /// The drivers of this name.
    pub(super) fn drivers_named(&self, name: &str) -> DriverSet {
        let mut set = DriverSet::NONE;
        for (number, driver) in self.drivers().iter().enumerate() {
            let names = [&driver.name, &driver.image_name];
            if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                set.0 |= DriverSet::of(number).0;
            }
        }
        set
    }

    /// The drivers that these modules do not have any more.
    pub(super) fn missing_from(&self, modules: &Modules) -> DriverSet {
        let is_there = |driver: &Driver| {
            let module = modules.containing(driver.base);
            module.is_some_and(|module| module.image_name() == driver.image_name)
        };
        let drivers = self.drivers().iter().enumerate();
        let gone = drivers.filter(|(_, driver)| !is_there(driver));
        DriverSet(gone.fold(0, |set, (number, _)| set | DriverSet::of(number).0))
    }

    /// Notes a call in progress; if there are too many, in the place of the oldest.
    fn begin(&mut self, call: Pending) {
        let oldest = |place: &&mut Option<Pending>| place.map(|known| known.sequence);
        if let Some(place) = self.pending.iter_mut().min_by_key(oldest) {
            self.unseen += u64::from(place.replace(call).is_some());
        }
    }

    /// Where the kernel is.
    pub(super) fn kernel(&self) -> Va {
        self.callers.kernel()
    }

    /// A stack: where it starts, its frames, why it ends, and the modules that it went through.
    pub(super) fn stack(
        &self,
        stack: StackId,
    ) -> Option<(Va, &[CapturedFrame], WalkEnd, &Modules)> {
        let kept = self.callers.stacks().stack(stack)?;
        let modules = self.callers.modules_of(stack)?;
        Some((kept.at, kept.frames, kept.end, modules))
    }
}

impl Watcher for LeakTracker {
    #[inline]
    fn reached(&mut self, guest: &Observed<'_>, address: Va) -> Option<ReturnWatch> {
        let site = self.sites.iter().find(|site| site.compare == address)?;
        // In front of the stack, whose registers are read with these.
        let request = Request::at(site, guest);
        let Caller { stack, drivers } = self.callers.capture(guest, site);
        let call = PoolCall {
            tag: Tag(request.tag as u32),
            stack,
            drivers,
            work: guest.work(),
        };
        if site.kind == HitKind::Free {
            if let Some(block) = request.block {
                self.ledger.freed(&call, Va(block));
            }
            return None;
        }
        let sequence = self.ledger.next_call();
        let Some(watch) = return_watch(site, guest, self.callers.frames(), sequence) else {
            self.unseen += 1;
            return None;
        };
        let pool_type = request.pool_type.map(|pool_type| pool_type as u32);
        let pending = Pending {
            sequence,
            call,
            bytes: request.bytes.unwrap_or(0),
            pool: pool_type.map(PoolKind::from_pool_type),
        };
        self.begin(pending);
        Some(watch)
    }

    #[inline]
    fn returned(&mut self, guest: &Observed<'_>, token: u64) {
        let mut pending = self.pending.iter_mut();
        let is_it = |known: &&mut Option<Pending>| known.is_some_and(|one| one.sequence == token);
        let Some(pending) = pending.find(is_it).and_then(Option::take) else {
            return;
        };
        let block = guest.register(Gpr::Rax);
        if block != 0 {
            let Pending {
                call, bytes, pool, ..
            } = pending;
            self.ledger
                .allocated(pending.sequence, &call, Va(block), bytes, pool);
        }
    }

    fn started(&mut self) {
        self.mark_started();
    }

    fn starting(&mut self) {
        self.ledger.mark_starting();
    }

    fn unloaded(&mut self, image_name: &str) {
        self.mark_unloaded(image_name);
    }

    fn copy(&self) -> Box<dyn Watcher> {
        Box::new(LeakTracker {
            sites: self.sites.clone(),
            callers: self.callers.copy(),
            ledger: self.ledger.clone(),
            ..*self
        })
    }
}
