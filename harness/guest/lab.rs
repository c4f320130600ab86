//! The lab: a guest with its machine, booted to the debugger's first prompt.

use super::address_plan::PlanError;
use super::bug_check::BugCheck;
use super::images::{FileError, GuestImages, ImageFile};
use super::layout::Bases;
use super::{loader, module_list, user_process};
use crate::address::Va;
use crate::image::ImageError;
use crate::image::binding::BindError;
use crate::machine::paging::OutOfMemory;
use crate::machine::{EngineError, Exit, GuestRam, Machine};
use crate::memory::{FaultReason, ReadMemory};
use crate::symbols::{Module, Modules, SymbolSource};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The guest's physical memory by default, in bytes.
pub const DEFAULT_MEMORY: u64 = 64 << 20;
/// The most work that booting may take, in bytes of code retired. The built-in guest takes about a
/// hundredth of it.
pub const BOOT_WORK: u64 = 64 << 20;

/// Why a lab could not be built.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file is not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image cannot be loaded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Two things are to lie at one place.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An import that nothing provides.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The guest's memory is too small.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The host refuses the memory.
    #[error("memory for the guest: {0}")]
    Host(#[from] std::io::Error),
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A structure has no place: a fault in the layout.
    #[error("the guest's layout has no memory at {address}: {reason:?}")]
    Layout {
        /// The address.
        address: Va,
        /// Why not.
        reason: FaultReason,
    },
    /// An option names an image that the lab does not load.
    #[error("no image is called {name}; this lab loads {loaded}")]
    UnknownImage {
        /// The name given.
        name: String,
        /// The names there are.
        loaded: String,
    },
    /// The guest stopped before its kernel was ready.
    #[error("the guest did not boot: {what} at {at} ({place}){}",
        bug_check.as_ref().map(|check| format!(": {check}")).unwrap_or_default())]
    Boot {
        /// What stopped it.
        what: String,
        /// The instruction.
        at: Va,
        /// The same as a symbol.
        place: String,
        /// The kernel's own reason, if it gave one.
        bug_check: Option<BugCheck>,
    },
}

/// Options of a lab. Every option has a default that gives the golden session.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    images: GuestImages,
    bases: BTreeMap<String, Va>,
    memory: u64,
}

impl LabBuilder {
    pub(super) fn new() -> LabBuilder {
        LabBuilder {
            images: GuestImages::built_in().clone(),
            bases: BTreeMap::new(),
            memory: DEFAULT_MEMORY,
        }
    }

    /// Loads another kernel. It has to start from a loader parameter block as the built-in one
    /// does.
    ///
    /// ```
    /// use poolhit::{Lab, guest::GuestImages};
    /// let kernel = GuestImages::built_in().kernel.clone();
    /// Lab::builder().kernel(kernel).build()?;
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn kernel(mut self, kernel: ImageFile) -> LabBuilder {
        self.images.kernel = kernel;
        self
    }

    /// Loads another driver.
    ///
    /// ```
    /// use poolhit::{Lab, guest::GuestImages};
    /// let driver = GuestImages::built_in().driver.clone();
    /// Lab::builder().driver(driver).build()?;
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn driver(mut self, driver: ImageFile) -> LabBuilder {
        self.images.driver = driver;
        self
    }

    /// Runs another program.
    ///
    /// ```
    /// use poolhit::{Lab, guest::GuestImages};
    /// let program = GuestImages::built_in().program.clone();
    /// Lab::builder().program(program).build()?;
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn program(mut self, program: ImageFile) -> LabBuilder {
        self.images.program = program;
        self
    }

    /// Loads the image with this file name (without case) at `base` instead of its own base.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let lab = Lab::builder().base("ntoskrnl.exe", Va(0xfffff800_02a00000)).build()?;
    /// assert_eq!(lab.bases().kernel, Va(0xfffff800_02a00000));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn base(mut self, image: &str, base: Va) -> LabBuilder {
        self.bases.insert(image.to_string(), base);
        self
    }

    /// Loads the kernel at `base`.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// assert!(Lab::builder().kernel_base(Va(0x1234)).build().is_err());
    /// ```
    pub fn kernel_base(self, base: Va) -> LabBuilder {
        let name = self.images.kernel.name().to_string();
        self.base(&name, base)
    }

    /// Loads the driver at `base`.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let lab = Lab::builder().driver_base(Va(0xfffff880_06000000)).build()?;
    /// assert_eq!(lab.bases().driver, Va(0xfffff880_06000000));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn driver_base(self, base: Va) -> LabBuilder {
        let name = self.images.driver.name().to_string();
        self.base(&name, base)
    }

    /// Gives the guest this much physical memory, in bytes.
    ///
    /// ```
    /// use poolhit::Lab;
    /// assert!(Lab::builder().memory(1 << 20).build().is_err());
    /// ```
    pub fn memory(mut self, bytes: u64) -> LabBuilder {
        self.memory = bytes;
        self
    }

    /// Loads the images and boots the kernel to the debugger's first prompt: the kernel and the
    /// driver are initialized, and the program is about to run.
    ///
    /// # Errors
    /// An image cannot be loaded, or the guest stops before it is ready.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert!(lab.machine().work() > 0);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn build(self) -> Result<Lab, LabError> {
        for name in self.bases.keys() {
            if !self
                .images
                .all()
                .any(|file| file.name().eq_ignore_ascii_case(name))
            {
                let loaded: Vec<_> = self.images.all().map(ImageFile::name).collect();
                let loaded = loaded.join(", ");
                return Err(LabError::UnknownImage {
                    name: name.clone(),
                    loaded,
                });
            }
        }
        let bases = Bases::choose(&self.images, &self.bases);
        bases.check(&self.images)?;
        let machine = loader::load(GuestRam::new(self.memory)?, &self.images, &bases)?;
        let mut lab = Lab {
            machine,
            images: self.images,
            bases,
        };
        lab.boot()?;
        Ok(lab)
    }
}

/// A guest that has booted. See the [module](self).
///
/// ```
/// use poolhit::Lab;
/// let lab = Lab::builder().build()?;
/// assert!(lab.modules().by_name("nt").is_some());
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
#[derive(Debug)]
pub struct Lab {
    machine: Machine,
    images: GuestImages,
    bases: Bases,
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

    fn boot(&mut self) -> Result<(), LabError> {
        let exit = self.machine.run(BOOT_WORK)?;
        let at = self.machine.registers().rip();
        let initial_break = self.kernel_symbol("DbgBreakPoint").unwrap_or(at);
        let what = match exit {
            Exit::HardcodedBreakpoint { .. } if at == initial_break => return Ok(()),
            Exit::HardcodedBreakpoint { .. } => "a breakpoint instruction".to_string(),
            Exit::Breakpoint { .. } => "a breakpoint".to_string(),
            Exit::Halt => "it went idle".to_string(),
            Exit::Limit => format!("no end after {BOOT_WORK} bytes of code"),
            Exit::Fault(fault) => match fault.accessed {
                Some(accessed) => format!("a {} on {accessed}", fault.name()),
                None => format!("a {}", fault.name()),
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
        let (current, other) = (self.machine.gs_base(), self.machine.kernel_gs_base());
        let is_pcr = |base: Va| {
            base.is_kernel() && self.machine.read_va(base.wrapping_add(0x18)) == Ok(base)
        };
        if !is_pcr(current) && is_pcr(other) {
            other
        } else {
            current
        }
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
        let mut modules = Modules::default();
        let kernel = self.kernel_symbol("PsLoadedModuleList");
        let lists = kernel.into_iter().chain(self.user_module_list());
        let mut loaded: Vec<_> = lists
            .flat_map(|head| module_list::loaded_modules(&self.machine, head))
            .collect();
        if loaded.is_empty() {
            // As long as the kernel has no list, it is the one thing known to be there.
            loaded.push(module_list::LoadedModule {
                name: self.images.kernel.name().to_string(),
                base: self.bases.kernel,
                size: self.images.kernel.image.size_of_image(),
            });
        }
        for module in loaded {
            // A guest whose list claims one place twice keeps the first.
            let _ = modules.add(self.with_symbols(&module));
        }
        modules
    }

    /// The module with the image and symbols of the file of that name.
    fn with_symbols(&self, loaded: &module_list::LoadedModule) -> Module {
        let file = self
            .images
            .all()
            .find(|file| file.name().eq_ignore_ascii_case(&loaded.name));
        match file {
            Some(file) => Module::new(&loaded.name, loaded.base, loaded.size)
                .with_image(Arc::clone(&file.image))
                .with_symbols(Arc::clone(&file.symbols))
                .with_types(Arc::clone(&file.types)),
            None => Module::new(&loaded.name, loaded.base, loaded.size),
        }
    }

    /// The head of the current process' module list in load order.
    fn user_module_list(&self) -> Option<Va> {
        const CURRENT_THREAD: u64 = 0x188;
        const KTHREAD_TEB: u64 = 0xb8;
        let follow = |from: Va, offset: u64| {
            self.machine
                .read_va(from.wrapping_add(offset))
                .ok()
                .filter(|found| found.0 != 0)
        };
        let thread = follow(self.processor_control_region(), CURRENT_THREAD)?;
        let teb = follow(thread, KTHREAD_TEB)?;
        let peb = follow(teb, user_process::teb::PEB)?;
        let ldr = follow(peb, user_process::peb::LDR)?;
        Some(ldr.wrapping_add(user_process::LOAD_ORDER_LIST))
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
