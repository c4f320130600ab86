//! The options of a lab, and building it.

use super::boot::Booted;
use super::boot_cache::{self, BootKey, Built};
use super::images::{GuestImages, ImageFile};
use super::import_call::Call;
use super::lab::Lab;
use super::lab_error::LabError;
use super::layout::Bases;
use super::loader::{self, PoolLimits};
use super::make_watcher::{MakeWatcher, Watching};
use super::registry::RegistryRecords;
use super::unprovided::{Answer, BoundImports, ProvidedResult, Provisions, UnprovidedPolicy};
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
    pub(super) registry: RegistryRecords,
    provisions: Provisions,
    cold: bool,
    initial_break: bool,
    watch: Option<MakeWatcher>,
}

impl LabBuilder {
    pub(super) fn new() -> LabBuilder {
        LabBuilder {
            images: GuestImages::built_in().clone(),
            bases: BTreeMap::new(),
            memory: DEFAULT_MEMORY,
            limits: PoolLimits::default(),
            registry: RegistryRecords::default(),
            provisions: Provisions::default(),
            cold: false,
            initial_break: false,
            watch: None,
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

    /// Runs the program that makes requests on demand: see [`Lab::request`].
    ///
    /// ```
    /// use poolhit::{Lab, guest::Request};
    /// let mut lab = Lab::builder().requester().build()?;
    /// assert!(lab.request(&Request::Sleep { milliseconds: 10 })?.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn requester(self) -> LabBuilder {
        self.program(GuestImages::requester().clone())
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

    /// Says what becomes of a driver that imports what nobody provides. Without it, it is loaded, and
    /// the guest stops where the driver uses such an import: see
    /// [`StopReason::UnprovidedFunction`](crate::debugger::StopReason). Programs and their libraries
    /// are never loaded without all their imports.
    ///
    /// ```
    /// use poolhit::{Lab, guest::{ImageFile, UnprovidedPolicy}};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0x31, 0xc0, 0xc3], 3);
    /// # let bytes = builder.import("HAL.dll", ["HalStartNextProcessor"]).entry_point(text).build();
    /// let driver = ImageFile::parse("a.sys", bytes, None).unwrap();
    /// let builder = Lab::builder().driver(driver);
    /// builder.clone().build()?; // it never calls HalStartNextProcessor
    /// let error = builder.unprovided(UnprovidedPolicy::RefuseAtLoad).build().unwrap_err();
    /// assert!(error.to_string().starts_with("a.sys needs HAL.dll!HalStartNextProcessor"), "{error}");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn unprovided(mut self, policy: UnprovidedPolicy) -> LabBuilder {
        self.provisions.policy = policy;
        self
    }

    /// Has a function that the driver imports do nothing but return `value` (RAX). `name` is
    /// `DLL!Function`, as in `HAL.dll!HalStartNextProcessor` or `NDIS.SYS!#7`, or the function's name alone,
    /// whatever image it comes from. It takes the place of the kernel's function, if there is one, for
    /// the driver's calls; the last one given for a name counts.
    ///
    /// ```
    /// use poolhit::{Lab, guest::ImageFile};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let code = vec![0x48, 0x83, 0xec, 0x28, 0xff, 0x15, 0x2e, 0x10, 0, 0, 0x48, 0x83, 0xc4, 0x28, 0xc3];
    /// # let text = builder.section(".text", CODE, code, 15);
    /// # builder.import("HAL.dll", ["HalStartNextProcessor"]);
    /// // its DriverEntry returns what HalStartNextProcessor(…) does
    /// let driver = ImageFile::parse("a.sys", builder.entry_point(text).build(), None).unwrap();
    /// let builder = Lab::builder().driver(driver);
    /// let error = builder.clone().build().unwrap_err();
    /// assert!(error.to_string().contains("HAL.dll!HalStartNextProcessor is called"), "{error}");
    /// builder.return_constant("HalStartNextProcessor", 0).build()?;
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn return_constant(mut self, name: &str, value: u64) -> LabBuilder {
        self.provisions.add(name, Answer::Constant(value));
        self
    }

    /// Has a closure do what a function does that the driver imports; `name` is as for
    /// [`return_constant`](LabBuilder::return_constant). The closure gets the [`Call`], with the
    /// arguments and the guest's memory, and gives the function's value (RAX), or an error, at which
    /// the guest stops.
    ///
    /// All labs that are made of this one share the closure, on whatever threads they run; so do those
    /// that are built with a clone of this builder. State of its own is not the guest's: no snapshot
    /// holds it, and a lab that is restored does not bring it back. A lab whose answers depend on such
    /// state is as deterministic as that is. Labs with closures are booted anew each time.
    ///
    /// ```
    /// use poolhit::{Lab, guest::ImageFile, memory::ReadMemory};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let code = vec![0x48, 0x83, 0xec, 0x28, 0xff, 0x15, 0x2e, 0x10, 0, 0, 0x48, 0x83, 0xc4, 0x28, 0xc3];
    /// # let text = builder.section(".text", CODE, code, 15);
    /// # builder.import("ext.sys", ["ExtRegister"]);
    /// // its DriverEntry returns what ExtRegister(DriverObject, …) does
    /// let driver = ImageFile::parse("a.sys", builder.entry_point(text).build(), None).unwrap();
    /// let lab = Lab::builder().driver(driver).provide("ext.sys!ExtRegister", |call| {
    ///     const IO_TYPE_DRIVER: u16 = 4;
    ///     let driver_object = poolhit::address::Va(call.argument(1)?);
    ///     if call.read_u16(driver_object)? != IO_TYPE_DRIVER {
    ///         return Err("no driver object".into());
    ///     }
    ///     Ok(0)
    /// });
    /// lab.build()?;
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn provide(
        mut self,
        name: &str,
        function: impl Fn(&mut Call<'_>) -> ProvidedResult + Send + Sync + 'static,
    ) -> LabBuilder {
        self.provisions
            .add(name, Answer::Provider(Arc::new(function)));
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

    /// Boots no further than to where the kernel loads drivers (`nt!IoInitSystem`), so that the driver's
    /// `DriverEntry` can be debugged; a kernel without symbols boots all the way. The lab takes no requests
    /// before it has been let go on to the first prompt's break instruction.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().initial_break().build()?);
    /// assert!(session.modules().by_name("myfault").is_none());
    /// session.execute("sxe ld:myfault")?;
    /// session.execute("g")?;
    /// assert!(session.modules().by_name("myfault").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn initial_break(mut self) -> LabBuilder {
        self.initial_break = true;
        self
    }

    /// Has a [`Watcher`](crate::machine::probe::Watcher) see the guest from the kernel's first
    /// instruction on, in place of one given before. It is made for each lab when that is loaded, and
    /// such labs are booted anew each time.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// use poolhit::machine::probe::{Observed, ReturnWatch, Watcher};
    /// #[derive(Clone)]
    /// struct Count(u64);
    /// impl Watcher for Count {
    ///     fn reached(&mut self, _: &Observed<'_>, _: Va) -> Option<ReturnWatch> {
    ///         self.0 += 1;
    ///         None
    ///     }
    ///     fn copy(&self) -> Box<dyn Watcher> {
    ///         Box::new(self.clone())
    ///     }
    /// }
    /// let lab = Lab::builder().watched_by(|lab| {
    ///     let start = lab.kernel_symbol("KiSystemStartup").unwrap();
    ///     (Box::new(Count(0)), vec![start])
    /// });
    /// assert_eq!(lab.build()?.machine().watcher::<Count>().unwrap().0, 1);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn watched_by(
        mut self,
        make: impl Fn(&Lab) -> Watching + Send + Sync + 'static,
    ) -> LabBuilder {
        self.watch = Some(MakeWatcher::new(make));
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
        self.boot()?.ready()
    }

    /// Does what [`build`](LabBuilder::build) does, and gives the lab too if the guest stops before it
    /// is ready: for a debugger to look at.
    ///
    /// # Errors
    /// An image cannot be loaded.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// // too little to boot with
    /// let booted = Lab::builder().nonpaged_pool_limit(0x1000).boot()?;
    /// let session = Session::stopped(booted.lab, booted.stopped.unwrap());
    /// assert!(session.stack(20).frames.iter().any(|frame| frame.to_string().starts_with("nt!KeBugCheckEx")));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn boot(self) -> Result<Booted, LabError> {
        let bases = self.choose_bases()?;
        let Some(provisions) = self
            .provisions
            .key()
            .filter(|_| !self.cold && self.watch.is_none() && !self.initial_break)
        else {
            let ram = GuestRam::new(self.memory)?;
            return self.boot_in(ram, bases);
        };
        let key = BootKey::new(
            &self.images,
            &bases,
            self.memory,
            self.limits,
            self.registry.clone(),
            provisions,
        );
        match boot_cache::find(key) {
            Built::Kept(lab) => Ok(Booted {
                lab: lab.lab_with(Arc::new(self.images))?,
                stopped: None,
            }),
            Built::Never(key) => {
                let ram = GuestRam::new(self.memory)?;
                let booted = self.boot_in(ram, bases)?;
                if booted.stopped.is_none() {
                    boot_cache::note(key, None);
                }
                Ok(booted)
            }
            Built::Before(key) => {
                let ram = GuestRam::to_be_saved(self.memory)?;
                let mut booted = self.boot_in(ram, bases)?;
                // One that cannot be saved can be used as well as any.
                if booted.stopped.is_none()
                    && let Ok(saved) = booted.lab.save()
                {
                    boot_cache::note(key, Some(saved));
                }
                Ok(booted)
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
        let (mut machine, imports) = self.load(GuestRam::new(self.memory)?, &bases)?;
        machine.set_tracer(Some(tracer))?;
        let watch = self.watch.as_ref();
        Booted::boot(machine, self.images, bases, imports, watch, false)?.ready()
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
    fn load(&self, ram: GuestRam, bases: &Bases) -> Result<(Machine, BoundImports), LabError> {
        let registry = self.registry.bytes()?;
        let provisions = &self.provisions;
        loader::load(ram, &self.images, bases, self.limits, registry, provisions)
    }

    fn boot_in(self, ram: GuestRam, bases: Bases) -> Result<Booted, LabError> {
        let (machine, imports) = self.load(ram, &bases)?;
        let watch = self.watch.as_ref();
        let initial_break = self.initial_break;
        Booted::boot(machine, self.images, bases, imports, watch, initial_break)
    }
}
