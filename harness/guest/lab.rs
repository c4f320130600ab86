//! The lab: a guest with its machine, booted to the debugger's first prompt.

use super::bug_check::BugCheck;
use super::images::GuestImages;
use super::lab_builder::LabBuilder;
use super::lab_error::LabError;
use super::layout::Bases;
use super::loaded::{self, ModuleReader};
use crate::address::Va;
use crate::machine::{EngineError, Exit, InterruptError, Machine};
use crate::memory::ReadMemory;
use crate::symbols::{Modules, SymbolSource};
use std::sync::Arc;

/// The most work that booting may take, in bytes of code retired. The built-in guest takes about a
/// thirtieth of it.
pub const BOOT_WORK: u64 = 16 << 20;

/// A guest that has booted: its machine, the images loaded, and where the guest keeps what a
/// debugger asks for.
///
/// ```
/// use poolhit::Lab;
/// let lab = Lab::builder().build()?;
/// assert!(lab.modules().by_name("nt").is_some());
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
///
/// A lab can be handed to another thread (but on Apple's processors), and is on one at a time:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<poolhit::Lab>();
/// ```
#[derive(Debug)]
pub struct Lab {
    pub(super) machine: Machine,
    pub(super) images: Arc<GuestImages>,
    pub(super) bases: Arc<Bases>,
}

impl Lab {
    /// A lab with all options at their defaults: the golden session's.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn builder() -> LabBuilder {
        LabBuilder::new()
    }

    /// Boots a machine that has just been loaded.
    pub(super) fn boot(
        machine: Machine,
        images: GuestImages,
        bases: Bases,
    ) -> Result<Lab, LabError> {
        let mut lab = Lab {
            machine,
            images: Arc::new(images),
            bases: Arc::new(bases),
        };
        lab.run_to_first_prompt()?;
        Ok(lab)
    }

    fn run_to_first_prompt(&mut self) -> Result<(), LabError> {
        let exit = self.run(BOOT_WORK)?;
        let at = self.machine.registers().rip();
        let initial_break = self.kernel_symbol("DbgBreakPoint").unwrap_or(at);
        let what = match exit {
            Exit::HardcodedBreakpoint { .. } if at == initial_break => return Ok(()),
            Exit::HardcodedBreakpoint { .. } => "a breakpoint instruction".to_string(),
            Exit::Breakpoint { .. } => "a breakpoint".to_string(),
            Exit::Halt => "it went idle".to_string(),
            Exit::Limit => format!("no end after {BOOT_WORK} bytes of code"),
            Exit::Fault(fault) => match fault.accessed {
                Some(accessed) => format!("{} on {accessed}", fault.name()),
                None => fault.name().to_string(),
            },
            Exit::Engine(reason) => reason.to_string(),
        };
        let modules = self.modules();
        let place = modules
            .nearest(at)
            .map_or("no module".to_string(), |near| near.to_string());
        Err(LabError::Boot {
            what,
            at,
            place,
            bug_check: self.bug_check(),
        })
    }

    /// Runs the guest until it stops or has done `work_limit` units of work in all. Faults of ring 0
    /// that the kernel has a gate for go to the kernel, which makes bug checks of them.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do.
    ///
    /// ```
    /// use poolhit::{Lab, machine::Exit};
    /// let mut lab = Lab::builder().build()?;
    /// let work = lab.machine().work();
    /// // the initial break instruction again: only a session goes on behind it
    /// assert!(matches!(lab.run(work + 100)?, Exit::HardcodedBreakpoint { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(&mut self, work_limit: u64) -> Result<Exit, EngineError> {
        let mut handler = None;
        let charged = self.machine.charged();
        loop {
            let charged = self.machine.charged() - charged;
            let exit = self.machine.run(work_limit.saturating_sub(charged))?;
            let Exit::Fault(fault) = exit else {
                return Ok(exit);
            };
            // A handler that faults at its first instruction would do so for ever.
            if self.machine.privilege_level() != 0 || handler == Some(fault.address) {
                return Ok(exit);
            }
            match self.machine.deliver_fault(&fault) {
                Ok(()) => handler = Some(self.machine.registers().rip()),
                Err(InterruptError::Engine(error)) => return Err(error),
                Err(_) => return Ok(exit),
            }
        }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, to run it or to write its memory.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The images loaded.
    pub fn images(&self) -> &GuestImages {
        &self.images
    }

    /// Where they were loaded.
    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    /// The address of a symbol of the kernel, by its exact name but for case.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let lab = Lab::builder().build()?;
    /// assert_eq!(lab.kernel_symbol("PoolHitTag"), Some(Va(0xfffff800_016530fc)));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn kernel_symbol(&self, name: &str) -> Option<Va> {
        let symbol = self.images.kernel.symbols.by_name(name)?;
        Some(self.bases.kernel + symbol.rva)
    }

    /// The processor's control region (`_KPCR`), whose `Self` field names itself; in user mode it
    /// is what `swapgs` would bring.
    ///
    /// ```
    /// use poolhit::{Lab, memory::ReadMemory};
    /// let lab = Lab::builder().build()?;
    /// let number = lab.machine().read_u32(lab.processor_control_region().wrapping_add(0x1a4))?;
    /// assert_eq!(number, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn processor_control_region(&self) -> Va {
        loaded::processor_control_region(&self.machine, self.gs_bases())
    }

    /// The number of the processor that runs (`_KPRCB.Number`), as the debugger's prompt shows it.
    ///
    /// ```
    /// assert_eq!(poolhit::Lab::builder().build()?.processor_number(), 1);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn processor_number(&self) -> u32 {
        let number = self.processor_control_region().wrapping_add(0x180 + 0x24);
        self.machine.read_u32(number).unwrap_or(0)
    }

    /// The modules loaded, with their symbols, as the guest's own lists tell them:
    /// `nt!PsLoadedModuleList`, and the current process' `_PEB_LDR_DATA`.
    ///
    /// ```
    /// let modules = poolhit::Lab::builder().build()?.modules();
    /// let names: Vec<_> = modules.iter().map(|module| module.name()).collect();
    /// assert_eq!(names, ["kernel32", "ntdll", "NotMyfault", "KERNELBASE", "nt", "myfault"]);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn modules(&self) -> Modules {
        loaded::modules(&self.machine, self.gs_bases(), &self.images, &self.bases)
    }

    /// What reads the modules again without the lab, from a probe.
    pub fn module_reader(&self) -> ModuleReader {
        let landing = self.machine.return_landing();
        ModuleReader::new(self.images.clone(), self.bases.clone(), landing)
    }

    fn gs_bases(&self) -> [Va; 2] {
        [self.machine.gs_base(), self.machine.kernel_gs_base()]
    }

    /// The bug check that the kernel has raised (`nt!KiBugCheckData`), if it has.
    ///
    /// ```
    /// assert_eq!(poolhit::Lab::builder().build()?.bug_check(), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn bug_check(&self) -> Option<BugCheck> {
        let data = self.kernel_symbol("KiBugCheckData")?;
        BugCheck::read(&self.machine, data)
    }

    /// The exit status of the program, if it has ended: `_EPROCESS.ExitStatus` of the process that
    /// was started last, by `nt!PsActiveProcessHead`.
    ///
    /// ```
    /// assert_eq!(poolhit::Lab::builder().build()?.program_exit_status(), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn program_exit_status(&self) -> Option<u32> {
        const ACTIVE_PROCESS_LINKS: u64 = 0x188;
        const EXIT_STATUS: u64 = 0x444;
        const STATUS_PENDING: u32 = 0x103;
        let head = self.kernel_symbol("PsActiveProcessHead")?;
        let last = self
            .machine
            .read_va(head.wrapping_add(8))
            .ok()
            .filter(|last| *last != head)?;
        let process = last.wrapping_sub(ACTIVE_PROCESS_LINKS);
        let status = self
            .machine
            .read_u32(process.wrapping_add(EXIT_STATUS))
            .ok()?;
        (status != STATUS_PENDING).then_some(status)
    }

    /// Whether symbols for the kernel are at hand; without them much of the guest cannot be found.
    pub fn has_kernel_symbols(&self) -> bool {
        self.images.kernel.symbols.source() == SymbolSource::Pdb
    }
}
