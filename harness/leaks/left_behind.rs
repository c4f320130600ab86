//! What drivers have with the kernel when they have been unloaded.

use super::driver_set::DriverSet;
use super::path::LiveBlock;
use super::report::LeakFilter;
use super::tracker::LeakTracker;
use crate::address::{CodeAddress, Va};
use crate::guest::{Lab, Registration, RegistrationKind};
use crate::symbols::{Module, Modules, SourceLine};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most of these that a report has.
pub(super) const MOST_LEFT: usize = 256;

/// Something that a driver has not taken back before it was unloaded: its routine, or the thing itself, lies
/// where the driver was, or in pool of the driver's that is allocated still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftBehind {
    /// What it is.
    pub kind: RegistrationKind,
    /// Where it is: the structure, or the first byte of what is mapped.
    pub object: Va,
    /// The driver's routine; for what is mapped or locked, where the driver called the kernel for it. NULL
    /// if none is known.
    pub routine: Va,
    /// The routine by name, with the driver's symbols if it has some: `iotest+0x1130`. Empty if there is
    /// none.
    pub place: String,
    /// The source line of it, if the driver's PDB has it.
    pub source: Option<SourceLine>,
    /// The driver's file.
    pub driver: String,
    /// How many pages are mapped or locked.
    pub pages: u32,
}

impl Lab {
    /// What drivers that have been unloaded have with the kernel still: see
    /// [`registrations`](Lab::registrations). What lies in a driver's pool is only found in a lab that
    /// [tracks leaks](crate::guest::LabBuilder::track_leaks).
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// lab.unload_driver()?;
    /// assert_eq!(lab.left_behind(), []);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn left_behind(&self) -> Vec<LeftBehind> {
        let tracker = self.machine().watcher::<LeakTracker>();
        let gone = tracker.map(|tracker| tracker.missing_from(&self.modules()));
        let blocks = tracker.map(Blocks::of);
        let loaded = self.modules();
        let found = self.registrations().into_iter();
        let found = found.filter_map(|one| {
            let driver = self.driver_of(&one, &loaded, blocks.as_ref().zip(gone))?;
            Some((one, driver))
        });
        let modules = self.modules_that_were();
        found
            .take(MOST_LEFT)
            .map(|(one, driver)| LeftBehind::of(one, driver, &modules))
            .collect()
    }

    /// Those that are asked for: they have no tag.
    pub(super) fn left_behind_of(&self, filter: &LeakFilter) -> Vec<LeftBehind> {
        if filter.tags.is_some() {
            return Vec::new();
        }
        let mut left = self.left_behind();
        if let Some(wanted) = &filter.driver {
            left.retain(|one| {
                let name = one.driver.split('.').next().unwrap_or_default();
                one.driver.eq_ignore_ascii_case(wanted) || name.eq_ignore_ascii_case(wanted)
            });
        }
        left
    }

    /// The driver that has gone and that something is of.
    fn driver_of(
        &self,
        one: &Registration,
        loaded: &Modules,
        tracked: Option<(&Blocks<'_>, DriverSet)>,
    ) -> Option<String> {
        for address in [one.routine, one.object] {
            if let Some(place) = self.unloaded_driver_at(address) {
                return Some(place.name);
            }
        }
        // A driver that is loaded calls it its own, in whatever block it lies.
        let others = loaded.containing(one.routine);
        if others.is_some_and(|module| module.base() != self.bases().kernel) {
            return None;
        }
        let (blocks, gone) = tracked?;
        // What is mapped is not in the pool, and what the kernel keeps of a registration is its own.
        let in_drivers_pool = matches!(
            one.kind,
            RegistrationKind::LookasideList
                | RegistrationKind::Timer
                | RegistrationKind::Dpc
                | RegistrationKind::WorkItem
                | RegistrationKind::BugCheckCallback
                | RegistrationKind::BugCheckReasonCallback
        );
        if gone == DriverSet::NONE || !in_drivers_pool {
            return None;
        }
        let driver = blocks.driver_at(one.object)?;
        let known = blocks.tracker.drivers();
        let number = known.iter().position(|one| one.image_name == driver)?;
        gone.meets(DriverSet::of(number)).then_some(driver)
    }

    /// The modules, and the driver where it was.
    fn modules_that_were(&self) -> Modules {
        let mut modules = self.modules();
        let file = &self.images().driver;
        let size = file.image.size_of_image();
        let driver = Module::new(file.name(), self.bases().driver, size)
            .with_image(Arc::clone(&file.image))
            .with_symbols(Arc::clone(&file.symbols))
            .with_lines(Arc::clone(&file.lines));
        // If it is there, or something else is, that is in the modules already.
        let _ = modules.add(driver);
        modules
    }
}

/// The blocks that are allocated, to be found by an address in them.
struct Blocks<'a> {
    tracker: &'a LeakTracker,
    /// By their first bytes.
    live: BTreeMap<Va, LiveBlock>,
}

impl<'a> Blocks<'a> {
    fn of(tracker: &'a LeakTracker) -> Blocks<'a> {
        let live = tracker.ledger().live_blocks();
        Blocks {
            tracker,
            live: live.map(|block| (block.block, block)).collect(),
        }
    }

    /// The driver that has allocated the block which this address is in: the innermost on its stack.
    fn driver_at(&self, address: Va) -> Option<String> {
        let (_, block) = self.live.range(..=address).next_back()?;
        if address.0 - block.block.0 >= block.bytes {
            return None;
        }
        let path = self.tracker.ledger().paths().get(block.path)?;
        let (_, frames, _, modules) = self.tracker.stack(path.stack)?;
        let callers = frames.iter().map(|frame| frame.return_address);
        let mut drivers = callers
            .filter(|address| address.is_kernel())
            .filter_map(|address| modules.containing(address))
            .filter(|module| module.base() != self.tracker.kernel());
        drivers.next().map(|module| module.image_name().to_owned())
    }
}

impl LeftBehind {
    fn of(one: Registration, driver: String, modules: &Modules) -> LeftBehind {
        let code = match one.kind.is_called_for() {
            true => CodeAddress::ReturnAddress(one.routine),
            false => CodeAddress::InstructionPointer(one.routine),
        };
        let near = modules.nearest(one.routine);
        LeftBehind {
            kind: one.kind,
            object: one.object,
            routine: one.routine,
            place: match (one.routine, near) {
                (Va(0), _) => String::new(),
                (_, Some(near)) => near.to_string(),
                (routine, None) => routine.to_string(),
            },
            source: modules.line_of(code),
            driver,
            pages: one.pages,
        }
    }
}
