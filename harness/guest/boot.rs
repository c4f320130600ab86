//! Booting a lab: from a machine that has just been loaded to the debugger's first prompt.

use super::images::GuestImages;
use super::lab::Lab;
use super::lab_error::LabError;
use super::layout::Bases;
use super::loaded::ModuleImages;
use super::make_watcher::MakeWatcher;
use super::unprovided::{BoundImports, UnprovidedUse};
use crate::machine::{Exit, Machine};
use crate::stack::walk::walk;
use std::sync::Arc;

/// The most work that booting may take, in bytes of code retired. The built-in guest takes about a
/// thirtieth of it.
pub const BOOT_WORK: u64 = 16 << 20;

/// The most frames of the stack that an error shows.
const ERROR_FRAMES: usize = 32;

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

impl Booted {
    /// Boots a machine that has just been loaded.
    pub(super) fn boot(
        machine: Machine,
        images: GuestImages,
        bases: Bases,
        imports: BoundImports,
        watch: Option<&MakeWatcher>,
    ) -> Result<Booted, LabError> {
        let mut lab = Lab {
            machine,
            images: Arc::new(images),
            bases: Arc::new(bases),
            imports: Arc::new(imports),
            refusal: None,
        };
        if let Some(make) = watch {
            let (watcher, points) = make.make(&lab);
            lab.machine.set_watcher(Some(watcher), &points)?;
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

    /// The lab, at the first prompt.
    ///
    /// # Errors
    /// Something stopped it before.
    pub fn ready(self) -> Result<Lab, LabError> {
        let Some(exit) = self.stopped else {
            return Ok(self.lab);
        };
        if let Some(used) = self.unprovided_use() {
            let used = Box::new(used);
            let stack = self.stack();
            return Err(LabError::Unprovided { used, stack });
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
        Err(LabError::Boot {
            what,
            at,
            place,
            bug_check: self.lab.bug_check().map(Box::new),
            stack: self.stack(),
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

    /// Where the frames of the stack are, from the innermost on, in the debugger's words.
    fn stack(&self) -> Vec<String> {
        let modules = self.lab.modules();
        let machine = &self.lab.machine;
        let images = ModuleImages {
            modules: &modules,
            return_landing: machine.return_landing(),
        };
        let walk = walk(&machine.registers(), machine, &images, ERROR_FRAMES);
        let addresses = walk.frames.iter().map(|frame| frame.code.address());
        let places = addresses.map(|at| match modules.nearest(at) {
            Some(near) => near.to_string(),
            None => format!("0x{at}"),
        });
        places.collect()
    }
}
