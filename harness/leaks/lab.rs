//! Leaks of labs and sessions.

use super::callers::Driver;
use super::driver_set::DriverSet;
use super::error::LeakError;
use super::limits::LedgerLimits;
use super::report::{Choice, LeakFilter, LeakReport, add_refused_free, report};
use super::tracker::LeakTracker;
use super::unload::Unload;
use crate::address::Va;
use crate::debugger::Session;
use crate::guest::{BugCheck, Lab, LabBuilder};

/// The longest part of a name that an error quotes, in characters.
const QUOTED: usize = 64;

/// The block that the kernel has refused to free, if that is what it has stopped for: a block that has been
/// freed already (7), or an address in nonpaged (0x44) or paged pool (0x50) that is not allocated ("Bug Check
/// 0xC2: BAD_POOL_CALLER" in the debugger's manual).
fn block_freed_again(check: BugCheck) -> Option<Va> {
    const BAD_POOL_CALLER: u32 = 0xc2;
    match (check.code, check.parameters) {
        (BAD_POOL_CALLER, [7, _, _, block]) => Some(Va(block)),
        (BAD_POOL_CALLER, [0x44 | 0x50, block, ..]) => Some(Va(block)),
        _ => None,
    }
}

impl LabBuilder {
    /// Has the lab keep a ledger of all pool calls, from the kernel's first instruction on, whatever
    /// their tags: see [`Lab::leaks`]. It takes the place of another
    /// [watcher](LabBuilder::watched_by); the lab is booted anew each time, and runs somewhat slower.
    ///
    /// A lab that is saved keeps its ledger, and has it back when it is restored.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().track_leaks().build()?);
    /// session.go()?;
    /// let report = session.leaks()?;
    /// let tags: Vec<_> = report.tags.iter().map(|tag| tag.tag.to_string()).collect();
    /// assert_eq!(tags[..2], ["Lea2", "Leak"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn track_leaks(self) -> LabBuilder {
        self.track_leaks_within(LedgerLimits::default())
    }

    /// The same with other limits.
    ///
    /// ```
    /// use poolhit::{Lab, Session, leaks::LedgerLimits};
    /// let limits = LedgerLimits { blocks: 100, ..LedgerLimits::default() };
    /// let mut session = Session::new(Lab::builder().track_leaks_within(limits).build()?);
    /// session.go()?;
    /// assert!(session.leaks()?.lost.blocks > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn track_leaks_within(self, limits: LedgerLimits) -> LabBuilder {
        self.watched_by(move |lab| LeakTracker::watching(lab, limits))
    }
}

impl Lab {
    /// What the drivers have allocated and not freed, and what of that is leaked.
    ///
    /// # Errors
    /// The lab does not [track leaks](LabBuilder::track_leaks), or its kernel has no place where it
    /// compares tags.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let lab = Lab::builder().build()?;
    /// let error = lab.leaks().unwrap_err();
    /// assert!(error.to_string().contains("Lab::builder().track_leaks()"), "{error}");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn leaks(&self) -> Result<LeakReport, LeakError> {
        self.leaks_of(&LeakFilter::default())
    }

    /// The same of some tags, of one driver, or of the kernel too.
    ///
    /// # Errors
    /// As for [`leaks`](Lab::leaks), or no driver is called so.
    ///
    /// ```
    /// use poolhit::{Lab, Session, leaks::LeakFilter};
    /// let mut session = Session::new(Lab::builder().track_leaks().build()?);
    /// session.go()?;
    /// let filter = LeakFilter {
    ///     driver: Some("myfault.sys".into()),
    ///     tags: Some("Lea2".parse()?),
    ///     ..LeakFilter::default()
    /// };
    /// assert_eq!(session.lab().leaks_of(&filter)?.tags.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leaks_of(&self, filter: &LeakFilter) -> Result<LeakReport, LeakError> {
        let tracker = self.leak_tracker()?;
        let drivers = self.drivers_called(filter.driver.as_deref())?;
        let choice = Choice {
            tags: filter.tags.as_ref(),
            drivers,
            kernel: filter.kernel,
        };
        let modules = self.modules();
        let gone = tracker.missing_from(&modules);
        let mut report = report(tracker, &choice, gone, self.machine().work());
        if report.drivers.is_empty() {
            report.drivers.push(self.driver_without_calls());
        }
        report.requests = self.leaked_requests(tracker, filter);
        report.left_behind = self.left_behind_of(filter);
        if let Some(check) = self.bug_check() {
            report.end = self.stopped_here("");
            let stack = report.end.stop().and_then(|stop| stop.stack.clone());
            if let (Some(block), Some(stack)) = (block_freed_again(check), stack) {
                add_refused_free(&mut report, tracker, block, stack);
            }
        }
        Ok(report)
    }

    /// What tracks the leaks.
    ///
    /// # Errors
    /// As for [`leaks`](Lab::leaks).
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().track_leaks().build()?;
    /// // what the kernel has for itself is known, too
    /// assert!(lab.leak_tracker()?.ledger().live_count() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leak_tracker(&self) -> Result<&LeakTracker, LeakError> {
        let tracker = self.machine().watcher::<LeakTracker>();
        let tracker = tracker.ok_or(LeakError::NotTracked)?;
        if tracker.sites().is_empty() {
            return Err(LeakError::NoSites {
                kernel: self.images().kernel.name().to_owned(),
                has_symbols: self.has_kernel_symbols(),
            });
        }
        Ok(tracker)
    }

    /// The same, to mark what happens: repetitions, or that a driver is unloaded.
    ///
    /// # Errors
    /// As for [`leaks`](Lab::leaks).
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().track_leaks().build()?;
    /// // the driver is still there, and so are its device and its link
    /// let unload = lab.leak_tracker_mut()?.mark_unloaded("myfault.sys").unwrap();
    /// assert_eq!(unload.bug_check().unwrap().parameters[0], 0x62);
    /// assert!(!lab.leaks()?.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leak_tracker_mut(&mut self) -> Result<&mut LeakTracker, LeakError> {
        self.leak_tracker()?;
        let tracker = self.machine_mut().watcher_mut::<LeakTracker>();
        tracker.ok_or(LeakError::NotTracked)
    }

    /// Marks the end of a repetition of what is done to the driver: see
    /// [`Growth`](super::Growth).
    ///
    /// # Errors
    /// As for [`leaks`](Lab::leaks).
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().track_leaks().build()?;
    /// lab.mark_repeat()?;
    /// assert_eq!(lab.leaks()?.repeats, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark_repeat(&mut self) -> Result<(), LeakError> {
        self.leak_tracker_mut()?.mark_repeat();
        Ok(())
    }

    /// Marks that a driver has been unloaded: see [`LeakTracker::mark_unloaded`].
    /// [`unload_driver`](Lab::unload_driver) does so itself.
    ///
    /// # Errors
    /// As for [`leaks`](Lab::leaks), or no driver is called so.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().track_leaks().build()?;
    /// assert!(lab.mark_unloaded("other.sys").is_err());
    /// assert!(lab.mark_unloaded("myfault.sys")?.unwrap().left.blocks > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark_unloaded(&mut self, driver: &str) -> Result<Option<Unload>, LeakError> {
        self.drivers_called(Some(driver))?;
        Ok(self.leak_tracker_mut()?.mark_unloaded(driver))
    }

    /// The drivers of this name, or all.
    fn drivers_called(&self, name: Option<&str>) -> Result<DriverSet, LeakError> {
        let tracker = self.leak_tracker()?;
        let Some(name) = name else {
            return Ok(DriverSet::ALL);
        };
        match tracker.drivers_named(name) {
            // It may be there, and never have called the pool.
            DriverSet::NONE if !self.has_driver(name) => {
                let names = tracker.drivers().iter().map(|driver| &*driver.image_name);
                Err(LeakError::UnknownDriver {
                    name: name.chars().take(QUOTED).collect(),
                    drivers: names.collect::<Vec<_>>().join(", "),
                })
            }
            drivers => Ok(drivers),
        }
    }

    /// The driver, by its image: it may not have called the pool, or not be loaded.
    fn driver_without_calls(&self) -> Driver {
        let image = &self.images().driver;
        let image_name = image.name().to_owned();
        Driver {
            name: image_name.split('.').next().unwrap_or_default().to_owned(),
            image_name,
            base: self.bases().driver,
            size: image.image.size_of_image(),
            unloaded: None,
        }
    }

    fn has_driver(&self, name: &str) -> bool {
        let modules = self.modules();
        let mut kernel = modules.iter().filter(|module| module.base().is_kernel());
        let image = self.images().driver.name();
        image.eq_ignore_ascii_case(name)
            || kernel.any(|module| {
                let names = [module.name(), module.image_name()];
                names.iter().any(|known| known.eq_ignore_ascii_case(name))
            })
    }
}

impl Session {
    /// What the drivers have allocated and not freed: see [`Lab::leaks`].
    ///
    /// # Errors
    /// As for [`Lab::leaks`].
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().track_leaks().build()?);
    /// assert!(session.leaks()?.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leaks(&self) -> Result<LeakReport, LeakError> {
        self.lab().leaks()
    }

    /// Marks the end of a repetition: see [`Lab::mark_repeat`].
    ///
    /// # Errors
    /// As for [`Lab::leaks`].
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().track_leaks().build()?);
    /// session.mark_repeat()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark_repeat(&mut self) -> Result<(), LeakError> {
        self.lab_mut().mark_repeat()
    }

    /// Marks that a driver has been unloaded: see [`LeakTracker::mark_unloaded`].
    ///
    /// # Errors
    /// As for [`Lab::leaks`].
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().track_leaks().build()?);
    /// assert!(session.mark_unloaded("MYFAULT")?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark_unloaded(&mut self, driver: &str) -> Result<Option<Unload>, LeakError> {
        self.lab_mut().mark_unloaded(driver)
    }
}
