//! Booting a lab: from a machine that has just been loaded to the debugger's first prompt.

use super::images::GuestImages;
use super::lab::Lab;
use super::lab_error::LabError;
use super::layout::Bases;
use super::make_watcher::MakeWatcher;
use super::requests::NtStatus;
use super::unprovided::{BoundImports, UnprovidedUse};
use crate::machine::{Exit, Machine};
use crate::memory::ReadMemory;
use std::sync::Arc;

/// The most work that booting may take, in bytes of code retired. The built-in guest takes about a
/// thirtieth of it.
pub const BOOT_WORK: u64 = 16 << 20;

/// A lab that has run to the debugger's first prompt, or to a stop before that.
///
/// ```
/// use poolhit::Lab;
/// let booted = Lab::builder().boot()?;
/// assert_eq!(booted.stopped, None);
/// let lab = booted.ready()?;
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
#[derive(Debug)]
pub struct Booted {
    /// The lab.
    pub lab: Lab,
    /// What stopped it before the first prompt, if something did.
    pub stopped: Option<Exit>,
}

/// The driver is not there: its `DriverEntry` has failed, or it could not be loaded. The guest has started
/// up without it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{driver} is not loaded: its DriverEntry, or the kernel in front of it, said {status}")]
pub struct DriverFailed {
    /// The driver's file.
    pub driver: String,
    /// The status.
    pub status: NtStatus,
}

impl Booted {
    /// Boots a machine that has just been loaded.
    pub(super) fn boot(
        machine: Machine,
        images: GuestImages,
        bases: Bases,
        imports: BoundImports,
        watch: Option<&MakeWatcher>,
        initial_break: bool,
    ) -> Result<Booted, LabError> {
        let mut lab = Lab {
            machine,
            images: Arc::new(images),
            bases: Arc::new(bases),
            imports: Arc::new(imports),
            refusal: None,
            passing: None,
        };
        if let Some(make) = watch {
            let (watcher, points) = make.make(&lab);
            lab.machine.set_watcher(Some(watcher), &points)?;
        }
        // Where drivers are loaded from; a kernel without symbols cannot be stopped there.
        let initial = initial_break.then(|| lab.kernel_symbol("IoInitSystem"));
        if let Some(address) = initial.flatten() {
            lab.machine.set_breakpoint(address)?;
            let exit = lab.run(BOOT_WORK)?;
            lab.machine.clear_breakpoint(address)?;
            let stopped = (exit != Exit::Breakpoint { address }).then_some(exit);
            return Ok(Booted { lab, stopped });
        }
        let exit = lab.run(BOOT_WORK)?;
        let at = lab.machine.registers().rip();
        let prompt = lab.kernel_symbol("DbgBreakPoint").unwrap_or(at);
        let ready = matches!(exit, Exit::HardcodedBreakpoint { .. }) && at == prompt;
        let stopped = (!ready).then_some(exit);
        if ready {
            lab.machine.tell_started();
        }
        Ok(Booted { lab, stopped })
    }

    /// The status that the driver failed with when it was loaded, if it did.
    ///
    /// ```
    /// assert_eq!(poolhit::Lab::builder().boot()?.driver_failed(), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn driver_failed(&self) -> Option<DriverFailed> {
        let status = self.lab.kernel_symbol("IopBootDriverStatus")?;
        let status = self.lab.machine.read_u32(status).ok()?;
        (status >> 31 != 0).then(|| DriverFailed {
            driver: self.lab.images.driver.name().to_owned(),
            status: NtStatus(status),
        })
    }

    /// The lab, at the first prompt.
    ///
    /// # Errors
    /// Something stopped it before, or the driver is not there.
    pub fn ready(self) -> Result<Lab, LabError> {
        match self.stop_error() {
            None => Ok(self.lab),
            Some(error) => Err(error),
        }
    }

    /// What stopped it before the first prompt, or why the driver is not there, as an error.
    ///
    /// ```
    /// assert!(poolhit::Lab::builder().boot()?.stop_error().is_none());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn stop_error(&self) -> Option<LabError> {
        let Some(exit) = self.stopped else {
            return self.driver_failed().map(LabError::from);
        };
        if let Some(used) = self.unprovided_use() {
            let used = Box::new(used);
            let stack = self.lab.places();
            return Some(LabError::Unprovided { used, stack });
        }
        let what = match exit {
            Exit::HardcodedBreakpoint { .. } => "a breakpoint instruction".to_string(),
            Exit::Breakpoint { .. } | Exit::DataBreakpoint { .. } => "a breakpoint".to_string(),
            Exit::Step => "a single step".to_string(),
            Exit::Halt => "it went idle".to_string(),
            Exit::Limit => format!("no end after {BOOT_WORK} bytes of code"),
            Exit::Fault(fault) => match fault.accessed {
                Some(accessed) => format!("{} on {accessed}", fault.name()),
                None => fault.name().to_string(),
            },
            Exit::Engine(reason) => reason.to_string(),
        };
        let at = self.lab.machine.registers().rip();
        let modules = self.lab.modules();
        let place = modules
            .nearest(at)
            .map_or("no module".to_string(), |near| near.to_string());
        Some(LabError::Boot {
            what,
            at,
            place,
            bug_check: self.lab.bug_check().map(Box::new),
            stack: self.lab.places(),
        })
    }

    /// The import that nobody provides and that it stopped at, if it did.
    ///
    /// ```
    /// assert_eq!(poolhit::Lab::builder().boot()?.unprovided_use(), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn unprovided_use(&self) -> Option<UnprovidedUse> {
        self.lab.unprovided_use(self.stopped.as_ref()?)
    }
}
