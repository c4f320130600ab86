//! The options of a lab, and building it.

use super::boot_cache::{self, BootKey, Built};
use super::images::{GuestImages, ImageFile};
use super::lab::Lab;
use super::lab_error::LabError;
use super::layout::Bases;
use super::loader::{self, PoolLimits};
use crate::address::Va;
use crate::machine::probe::Tracer;
use crate::machine::{GuestRam, Machine};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The guest's physical memory by default, in bytes.
pub const DEFAULT_MEMORY: u64 = 64 << 20;

/// Options of a lab. Every option has a default that gives the golden session.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    images: GuestImages,
    bases: BTreeMap<String, Va>,
    memory: u64,
    limits: PoolLimits,
    cold: bool,
}

impl LabBuilder {
    pub(super) fn new() -> LabBuilder {
        LabBuilder {
            images: GuestImages::built_in().clone(),
            bases: BTreeMap::new(),
            memory: DEFAULT_MEMORY,
            limits: PoolLimits::default(),
            cold: false,
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

    /// Loads all images anew, the libraries too.
    ///
    /// ```
    /// use poolhit::{Lab, guest::GuestImages};
    /// let mut images = GuestImages::built_in().clone();
    /// images.libraries.clear();
    /// let error = Lab::builder().images(images).build().unwrap_err();
    /// assert!(error.to_string().contains("NotMyfault.exe needs kernel32.dll!"), "{error}");
    /// ```
    pub fn images(mut self, images: GuestImages) -> LabBuilder {
        self.images = images;
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

    /// Lets nonpaged pool grow to this many bytes and no further; without it, to 256 MB or to the
    /// end of memory.
    ///
    /// ```
    /// use poolhit::Lab;
    /// // too little to boot with: the kernel says so with a bug check
    /// let error = Lab::builder().nonpaged_pool_limit(0x1000).build().unwrap_err();
    /// assert!(error.to_string().contains("0x0000007d"), "{error}");
    /// ```
    pub fn nonpaged_pool_limit(mut self, bytes: u64) -> LabBuilder {
        self.limits.nonpaged = bytes;
        self
    }

    /// Lets paged pool grow to this many bytes and no further.
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason};
    /// let lab = Lab::builder().paged_pool_limit(1 << 20).build()?;
    /// // the program counts the requests that fail
    /// let stop = Session::new(lab).go()?;
    /// assert!(matches!(stop.reason, StopReason::Idle { exit_status: Some(1..) }), "{stop:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn paged_pool_limit(mut self, bytes: u64) -> LabBuilder {
        self.limits.paged = bytes;
        self
    }

    /// Boots even where a copy of a lab built before would be the same, and keeps nothing: for
    /// measuring.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let cold = Lab::builder().cold().build()?;
    /// for _ in 0..3 {
    ///     let lab = Lab::builder().build()?;
    ///     assert_eq!(lab.machine().state_hash(), cold.machine().state_hash());
    /// }
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn cold(mut self) -> LabBuilder {
        self.cold = true;
        self
    }

    /// Loads the images and boots the kernel to the debugger's first prompt: the kernel and the
    /// driver are initialized, and the program is about to run.
    ///
    /// A lab that is built again and again, with the same images and options, is kept as it is then,
    /// and the next one is made as a copy of it; see [`cold`](LabBuilder::cold).
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
        let bases = self.choose_bases()?;
        if self.cold {
            let ram = GuestRam::new(self.memory)?;
            return self.boot(ram, bases);
        }
        match boot_cache::find(BootKey::new(&self.images, &bases, self.memory, self.limits)) {
            Built::Kept(lab) => Ok(lab.lab_with(Arc::new(self.images))?),
            Built::Never(key) => {
                let ram = GuestRam::new(self.memory)?;
                let lab = self.boot(ram, bases)?;
                boot_cache::note(key, None);
                Ok(lab)
            }
            Built::Before(key) => {
                let ram = GuestRam::to_be_saved(self.memory)?;
                let mut lab = self.boot(ram, bases)?;
                // One that cannot be saved can be used as well as any.
                if let Ok(saved) = lab.save() {
                    boot_cache::note(key, Some(saved));
                }
                Ok(lab)
            }
        }
    }

    /// Does what [`build`](LabBuilder::build) does, and has a tracer see every instruction from the
    /// kernel's first on. It goes on after the boot, until
    /// [`set_tracer`](Machine::set_tracer) takes it away.
    ///
    /// # Errors
    /// As for [`build`](LabBuilder::build), or the engine refuses.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va, machine::probe::{Observed, Tracer}};
    ///
    /// struct First(Option<Va>);
    /// impl Tracer for First {
    ///     fn instruction(&mut self, guest: &Observed<'_>) {
    ///         self.0.get_or_insert(Va(guest.rip()));
    ///     }
    /// }
    /// let mut lab = Lab::builder().build_traced(Box::new(First(None)))?;
    /// let tracer: Box<dyn std::any::Any> = lab.machine_mut().set_tracer(None)?.unwrap();
    /// let first = tracer.downcast::<First>().unwrap().0;
    /// assert_eq!(first, lab.kernel_symbol("KiSystemStartup"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build_traced(self, tracer: Box<dyn Tracer>) -> Result<Lab, LabError> {
        let bases = self.choose_bases()?;
        let mut machine = self.load(GuestRam::new(self.memory)?, &bases)?;
        machine.set_tracer(Some(tracer))?;
        Lab::boot(machine, self.images, bases)
    }

    /// Where everything is loaded.
    fn choose_bases(&self) -> Result<Bases, LabError> {
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
        Ok(bases)
    }

    /// The machine with everything loaded, about to start the kernel.
    fn load(&self, ram: GuestRam, bases: &Bases) -> Result<Machine, LabError> {
        loader::load(ram, &self.images, bases, self.limits)
    }

    fn boot(self, ram: GuestRam, bases: Bases) -> Result<Lab, LabError> {
        let machine = self.load(ram, &bases)?;
        Lab::boot(machine, self.images, bases)
    }
}
