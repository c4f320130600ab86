//! The lab: a guest with its machine, booted to the debugger's first prompt.

use super::bug_check::BugCheck;
use super::images::GuestImages;
use super::lab_builder::LabBuilder;
use super::layout::Bases;
use super::loaded::{self, ModuleReader};
use super::unprovided::BoundImports;
use crate::address::Va;
use crate::machine::{EngineError, Exit, InterruptError, Machine};
use crate::memory::ReadMemory;
use crate::symbols::Modules;
use std::sync::Arc;

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
    pub(super) imports: Arc<BoundImports>,
    /// Why the lab's own function refused the call that the last run ended at.
    pub(super) refusal: Option<String>,
    /// Who looks at the stops of runs.
    pub(super) passing: Option<super::passing::Passing>,
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

    /// Runs the guest until it stops or has done `work_limit` units of work in all. Faults of ring 0
    /// that the kernel has a gate for go to the kernel, which makes bug checks of them; those at an
    /// import that nobody provides do not, and [`unprovided_use`](Lab::unprovided_use) tells of them.
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
        self.refusal = None;
        let mut handler = None;
        let charged = self.machine.charged();
        loop {
            let charged = self.machine.charged() - charged;
            let exit = self.machine.run(work_limit.saturating_sub(charged))?;
            let Exit::Fault(fault) = exit else {
                if self.passes(&exit)? {
                    continue;
                }
                return Ok(exit);
            };
            // A handler that faults at its first instruction would do so for ever.
            if self.machine.privilege_level() != 0 || handler == Some(fault.address) {
                return Ok(exit);
            }
            if self.answer_call(&fault)? {
                continue;
            }
            if self.unprovided_use(&exit).is_some() {
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

    /// Whether it can be told: the memory of `nt!KiBugCheckData` may be gone from the page tables.
    pub(super) fn can_tell_bug_check(&self) -> bool {
        let data = self.kernel_symbol("KiBugCheckData");
        data.is_none_or(|data| self.machine.read_u64(data).is_ok())
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
        self.images.kernel.symbols.source().is_pdb()
    }
}
