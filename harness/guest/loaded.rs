//! Which modules are loaded, as the guest's own lists tell it.

use super::images::{GuestImages, ImageFile};
use super::layout::Bases;
use super::{module_list, user_process};
use crate::address::Va;
use crate::image::function_table::ImageBytes;
use crate::memory::ReadMemory;
use crate::stack::modules::UnwindModules;
use crate::symbols::{Module, Modules};
use std::sync::Arc;

/// The modules' images, as the unwinder asks for them.
#[derive(Clone, Copy, Debug)]
pub struct ModuleImages<'a> {
    /// The modules.
    pub modules: &'a Modules,
    /// Where functions return to that the host has called
    /// ([`Machine::return_landing`](crate::machine::Machine::return_landing)): no stack goes on there.
    pub return_landing: Va,
}

impl UnwindModules for ModuleImages<'_> {
    #[inline]
    fn find(&self, address: Va) -> Option<(Va, &dyn ImageBytes)> {
        let module = self.modules.containing(address)?;
        Some((module.base(), &**module.image()?))
    }

    #[inline]
    fn is_outside(&self, address: Va) -> bool {
        address == self.return_landing
    }
}

/// Reads the loaded modules, and tells cheaply whether they may have changed.
#[derive(Clone, Debug)]
pub struct ModuleReader {
    images: Arc<GuestImages>,
    bases: Arc<Bases>,
    /// `nt!PsLoadedModuleList`.
    kernel_list: Option<Va>,
    return_landing: Va,
}

impl ModuleReader {
    pub(super) fn new(
        images: Arc<GuestImages>,
        bases: Arc<Bases>,
        return_landing: Va,
    ) -> ModuleReader {
        let kernel_list = kernel_list(&images, &bases);
        ModuleReader {
            images,
            bases,
            kernel_list,
            return_landing,
        }
    }

    /// Where functions return to that the host has called
    /// ([`Machine::return_landing`](crate::machine::Machine::return_landing)).
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let landing = lab.machine().return_landing();
    /// assert_eq!(lab.module_reader().return_landing(), landing);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn return_landing(&self) -> Va {
        self.return_landing
    }

    /// The modules loaded. `gs_bases` are the base of GS and the one that `swapgs` would bring.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let machine = lab.machine();
    /// let bases = [machine.gs_base(), machine.kernel_gs_base()];
    /// assert_eq!(lab.module_reader().read(machine, bases).len(), lab.modules().len());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn read(&self, memory: &dyn ReadMemory, gs_bases: [Va; 2]) -> Modules {
        modules(memory, gs_bases, &self.images, &self.bases)
    }

    /// The number of the processor that runs (`_KPRCB.Number`).
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let machine = lab.machine();
    /// let bases = [machine.gs_base(), machine.kernel_gs_base()];
    /// assert_eq!(lab.module_reader().processor(machine, bases), 1);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn processor(&self, memory: &dyn ReadMemory, gs_bases: [Va; 2]) -> u32 {
        let number = processor_control_region(memory, gs_bases).wrapping_add(0x180 + 0x24);
        memory.read_u32(number).unwrap_or(0)
    }

    /// The processor's control region (`_KPCR`).
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let machine = lab.machine();
    /// let bases = [machine.gs_base(), machine.kernel_gs_base()];
    /// let region = lab.module_reader().control_region(machine, bases);
    /// assert_eq!(region, lab.processor_control_region());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn control_region(&self, memory: &dyn ReadMemory, gs_bases: [Va; 2]) -> Va {
        processor_control_region(memory, gs_bases)
    }

    /// What changes when an image is loaded, into the kernel or into the current process, whose
    /// thread the processor's control region names.
    ///
    /// ```
    /// use poolhit::memory::{ReadMemory, WriteMemory};
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let (reader, region) = (lab.module_reader(), lab.processor_control_region());
    /// let before = reader.generation(lab.machine(), region);
    /// assert_eq!(reader.generation(lab.machine(), region), before);
    /// // as if the last of the kernel's images were not there
    /// let last = lab.kernel_symbol("PsLoadedModuleList").unwrap().wrapping_add(8);
    /// let entry = lab.machine().read_va(last)?;
    /// let one_before = lab.machine().read_u64(entry.wrapping_add(8))?;
    /// lab.machine_mut().write(last, &one_before.to_le_bytes())?;
    /// assert_ne!(reader.generation(lab.machine(), region), before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn generation<M: ReadMemory>(&self, memory: &M, control_region: Va) -> Generation {
        let user = user_module_list(memory, control_region);
        Generation([self.kernel_list, user].map(|head| LastEntry::of(memory, head?)))
    }
}

/// The last entries of the lists of modules, of the kernel's and of the current process'. An image
/// that is unloaded changes them only if it was the last; but no stack goes through one that is gone,
/// and another in its place is a new last entry: if not at another address, then with another image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generation([Option<LastEntry>; 2]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LastEntry {
    address: Va,
    base: u64,
    size: u32,
}

impl LastEntry {
    /// Reads whole words, which is what a probe can note down.
    fn of<M: ReadMemory>(memory: &M, head: Va) -> Option<LastEntry> {
        const BLINK: u64 = 8;
        let address = memory.read_va(head.wrapping_add(BLINK)).ok()?;
        let field = |offset| memory.read_u64(address.wrapping_add(offset)).unwrap_or(0);
        Some(LastEntry {
            address,
            base: field(module_list::DLL_BASE),
            size: field(module_list::SIZE_OF_IMAGE) as u32,
        })
    }
}

fn kernel_list(images: &GuestImages, bases: &Bases) -> Option<Va> {
    let symbol = images.kernel.symbols.by_name("PsLoadedModuleList")?;
    Some(bases.kernel + symbol.rva)
}

/// The processor's control region (`_KPCR`), whose `Self` field names itself: in user mode it is the
/// base that `swapgs` would bring.
pub(super) fn processor_control_region(memory: &dyn ReadMemory, gs_bases: [Va; 2]) -> Va {
    let [current, other] = gs_bases;
    let is_pcr = |base: Va| base.is_kernel() && memory.read_va(base.wrapping_add(0x18)) == Ok(base);
    if !is_pcr(current) && is_pcr(other) {
        other
    } else {
        current
    }
}

/// The modules of the kernel's list and of the current process'.
pub(super) fn modules(
    memory: &dyn ReadMemory,
    gs_bases: [Va; 2],
    images: &GuestImages,
    bases: &Bases,
) -> Modules {
    let user = user_module_list(memory, processor_control_region(memory, gs_bases));
    modules_in(memory, user, images, bases)
}

/// The modules of the kernel's list and of the process of a thread (`_KTHREAD`) that does not run.
pub(super) fn modules_of_thread(
    memory: &dyn ReadMemory,
    thread: Va,
    images: &GuestImages,
    bases: &Bases,
) -> Modules {
    modules_in(memory, thread_module_list(memory, thread), images, bases)
}

fn modules_in(
    memory: &dyn ReadMemory,
    user: Option<Va>,
    images: &GuestImages,
    bases: &Bases,
) -> Modules {
    let mut modules = Modules::default();
    let lists = kernel_list(images, bases).into_iter().chain(user);
    let mut loaded: Vec<_> = lists
        .flat_map(|head| module_list::loaded_modules(memory, head))
        .collect();
    let placed = |file: &ImageFile, base| module_list::LoadedModule {
        name: file.name().to_string(),
        base,
        size: file.image.size_of_image(),
    };
    if !loaded.iter().any(|module| module.base == bases.kernel) {
        // Where the kernel lies is known to whoever loads it, list or no list.
        loaded.push(placed(&images.kernel, bases.kernel));
    }
    if kernel_list(images, bases).is_some_and(|head| memory.read_va(head).is_err()) {
        // The page tables are gone. The guest stands in the driver that did that, as a rule.
        loaded.push(placed(&images.driver, bases.driver));
    }
    for module in loaded {
        // A guest whose list claims one place twice keeps the first.
        let _ = modules.add(with_symbols(&module, images, bases));
    }
    modules
}

/// The module with the image and symbols of the file of that name.
fn with_symbols(loaded: &module_list::LoadedModule, images: &GuestImages, bases: &Bases) -> Module {
    // The file loaded there; elsewhere, the file of that name.
    let placed = bases.place(images);
    let file = placed
        .iter()
        .find(|(_, base)| *base == loaded.base)
        .map(|(file, _)| *file)
        .or_else(|| {
            let mut files = images.all();
            files.find(|file| file.name().eq_ignore_ascii_case(&loaded.name))
        });
    // Debuggers call the kernel `nt` whatever its file is called.
    let name = match loaded.base == bases.kernel {
        true => "ntoskrnl.exe",
        false => &loaded.name,
    };
    match file {
        Some(file) => Module::new(name, loaded.base, loaded.size)
            .with_image(Arc::clone(&file.image))
            .with_symbols(Arc::clone(&file.symbols))
            .with_types(Arc::clone(&file.types))
            .with_lines(Arc::clone(&file.lines)),
        None => Module::new(name, loaded.base, loaded.size),
    }
}

/// The head of the current process' module list in load order.
fn user_module_list(memory: &dyn ReadMemory, pcr: Va) -> Option<Va> {
    const CURRENT_THREAD: u64 = 0x188;
    let thread = follow(memory, pcr, CURRENT_THREAD)?;
    thread_module_list(memory, thread)
}

/// The same of a thread's process.
fn thread_module_list(memory: &dyn ReadMemory, thread: Va) -> Option<Va> {
    const KTHREAD_TEB: u64 = 0xb8;
    let teb = follow(memory, thread, KTHREAD_TEB)?;
    let peb = follow(memory, teb, user_process::teb::PEB)?;
    let ldr = follow(memory, peb, user_process::peb::LDR)?;
    Some(ldr.wrapping_add(user_process::LOAD_ORDER_LIST))
}

/// A pointer that is not NULL.
fn follow(memory: &dyn ReadMemory, from: Va, offset: u64) -> Option<Va> {
    let found = memory.read_va(from.wrapping_add(offset)).ok()?;
    (found.0 != 0).then_some(found)
}
