//! What drivers register, queue, map and lock, and how each is called.

/// What a driver has with the kernel, and is to take back before it is unloaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RegistrationKind {
    /// A lookaside list.
    LookasideList,
    /// A routine that hears of processes.
    ProcessNotify,
    /// A routine that hears of threads.
    ThreadNotify,
    /// A routine that hears of images.
    ImageNotify,
    /// A routine that hears of operations of the registry.
    RegistryCallback,
    /// A routine that hears of handles to processes and threads.
    ObjectCallback,
    /// A routine registered with a callback object.
    CallbackObject,
    /// A routine that hears of device interfaces or hardware profiles.
    PlugPlayNotification,
    /// A routine that is called at a bug check.
    BugCheckCallback,
    /// One that is called for the dump.
    BugCheckReasonCallback,
    /// A routine for nonmaskable interrupts.
    NmiCallback,
    /// A routine that hears of processors that come.
    ProcessorCallback,
    /// A routine that hears of settings of power.
    PowerSetting,
    /// A routine that serves an interrupt.
    Interrupt,
    /// A provider of WMI's.
    WmiProvider,
    /// A provider of events.
    TraceProvider,
    /// A timer that is set.
    Timer,
    /// A deferred procedure call that is queued.
    Dpc,
    /// A work item that is queued.
    WorkItem,
    /// A thread of the system that runs the driver's code.
    Thread,
    /// Physical memory that is mapped.
    IoSpace,
    /// A mapping of a memory descriptor list.
    MdlMapping,
    /// Pages that are locked for a memory descriptor list.
    LockedPages,
    /// Pages that were allocated with a memory descriptor list.
    MdlPages,
    /// Memory that is not cached.
    NonCachedMemory,
}

use RegistrationKind as Kind;

impl RegistrationKind {
    /// All of them.
    pub const ALL: [RegistrationKind; 25] = [
        Kind::LookasideList,
        Kind::ProcessNotify,
        Kind::ThreadNotify,
        Kind::ImageNotify,
        Kind::RegistryCallback,
        Kind::ObjectCallback,
        Kind::CallbackObject,
        Kind::PlugPlayNotification,
        Kind::BugCheckCallback,
        Kind::BugCheckReasonCallback,
        Kind::NmiCallback,
        Kind::ProcessorCallback,
        Kind::PowerSetting,
        Kind::Interrupt,
        Kind::WmiProvider,
        Kind::TraceProvider,
        Kind::Timer,
        Kind::Dpc,
        Kind::WorkItem,
        Kind::Thread,
        Kind::IoSpace,
        Kind::MdlMapping,
        Kind::LockedPages,
        Kind::MdlPages,
        Kind::NonCachedMemory,
    ];

    /// What it is, in words; what takes it back (the routine's name in the WDK); and its key in reports.
    fn words(self) -> [&'static str; 3] {
        match self {
            Kind::LookasideList => [
                "lookaside list",
                "ExDelete[N]PagedLookasideList or ExDeleteLookasideListEx",
                "lookaside_list",
            ],
            Kind::ProcessNotify => [
                "process notify routine",
                "PsSetCreateProcessNotifyRoutine",
                "process_notify",
            ],
            Kind::ThreadNotify => [
                "thread notify routine",
                "PsRemoveCreateThreadNotifyRoutine",
                "thread_notify",
            ],
            Kind::ImageNotify => [
                "image notify routine",
                "PsRemoveLoadImageNotifyRoutine",
                "image_notify",
            ],
            Kind::RegistryCallback => [
                "registry callback",
                "CmUnRegisterCallback",
                "registry_callback",
            ],
            Kind::ObjectCallback => [
                "callback for handles",
                "ObUnRegisterCallbacks",
                "object_callback",
            ],
            Kind::CallbackObject => [
                "routine of a callback object",
                "ExUnregisterCallback",
                "callback_object",
            ],
            Kind::PlugPlayNotification => [
                "Plug and Play notification",
                "IoUnregisterPlugPlayNotification",
                "plug_play_notification",
            ],
            Kind::BugCheckCallback => [
                "bug check callback",
                "KeDeregisterBugCheckCallback",
                "bug_check_callback",
            ],
            Kind::BugCheckReasonCallback => [
                "bug check reason callback",
                "KeDeregisterBugCheckReasonCallback",
                "bug_check_reason_callback",
            ],
            Kind::NmiCallback => ["NMI callback", "KeDeregisterNmiCallback", "nmi_callback"],
            Kind::ProcessorCallback => [
                "callback for processors",
                "KeDeregisterProcessorChangeCallback",
                "processor_callback",
            ],
            Kind::PowerSetting => [
                "power setting callback",
                "PoUnregisterPowerSettingCallback",
                "power_setting",
            ],
            Kind::Interrupt => [
                "interrupt service routine",
                "IoDisconnectInterrupt",
                "interrupt",
            ],
            Kind::WmiProvider => ["WMI provider", "IoWMIRegistrationControl", "wmi_provider"],
            Kind::TraceProvider => ["event provider", "EtwUnregister", "trace_provider"],
            Kind::Timer => ["timer", "KeCancelTimer", "timer"],
            Kind::Dpc => ["deferred procedure call", "KeRemoveQueueDpc", "dpc"],
            Kind::WorkItem => ["queued work item", "KeWaitForSingleObject", "work_item"],
            Kind::Thread => ["system thread", "PsTerminateSystemThread", "thread"],
            Kind::IoSpace => ["mapping of physical memory", "MmUnmapIoSpace", "io_space"],
            Kind::MdlMapping => ["mapping of an MDL", "MmUnmapLockedPages", "mdl_mapping"],
            Kind::LockedPages => ["locked pages", "MmUnlockPages", "locked_pages"],
            Kind::MdlPages => ["pages of an MDL", "MmFreePagesFromMdl", "mdl_pages"],
            Kind::NonCachedMemory => [
                "noncached memory",
                "MmFreeNonCachedMemory",
                "noncached_memory",
            ],
        }
    }

    /// What it is, in words.
    ///
    /// ```
    /// use poolhit::guest::RegistrationKind;
    /// assert_eq!(RegistrationKind::Timer.to_string(), "timer");
    /// assert_eq!(RegistrationKind::Timer.name(), "timer");
    /// ```
    pub fn name(self) -> &'static str {
        self.words()[0]
    }

    /// The routine that takes it back, by its name in the WDK. A work item and a thread end by themselves,
    /// and the driver has to wait for that.
    ///
    /// ```
    /// use poolhit::guest::RegistrationKind;
    /// assert_eq!(RegistrationKind::IoSpace.undone_by(), "MmUnmapIoSpace");
    /// ```
    pub fn undone_by(self) -> &'static str {
        self.words()[1]
    }

    /// A name without spaces, for programs.
    ///
    /// ```
    /// use poolhit::guest::RegistrationKind;
    /// assert_eq!(RegistrationKind::LockedPages.key(), "locked_pages");
    /// ```
    pub fn key(self) -> &'static str {
        self.words()[2]
    }

    /// Whether what is known of the driver's code is where it called for it, not a routine of its.
    ///
    /// ```
    /// use poolhit::guest::RegistrationKind;
    /// assert!(RegistrationKind::LockedPages.is_called_for());
    /// assert!(!RegistrationKind::Timer.is_called_for());
    /// ```
    pub fn is_called_for(self) -> bool {
        use RegistrationKind as Kind;
        matches!(
            self,
            Kind::TraceProvider
                | Kind::IoSpace
                | Kind::MdlMapping
                | Kind::LockedPages
                | Kind::MdlPages
                | Kind::NonCachedMemory
        )
    }

    /// The bug check that Windows, or Driver Verifier with its option Pool Tracking, has for it, and its
    /// first parameter if that says what it is for: `TIMER_OR_DPC_INVALID` (0xC7) with 0 for timers and 1
    /// for deferred procedure calls, `DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS` (0xCB), of
    /// `DRIVER_VERIFIER_DETECTED_VIOLATION` (0xC4) 0xDA for WMI and 0xDD for events, and for what the
    /// system calls or uses later `DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS` (0xCE), each by
    /// its page in the debugger's manual. `None` for memory that is merely lost, and for notifications of
    /// Plug and Play, since these keep the driver loaded.
    ///
    /// ```
    /// use poolhit::guest::RegistrationKind;
    /// assert_eq!(RegistrationKind::Dpc.bug_check(), Some((0xc7, Some(1))));
    /// assert_eq!(RegistrationKind::ProcessNotify.bug_check(), Some((0xce, None)));
    /// assert_eq!(RegistrationKind::IoSpace.bug_check(), None);
    /// ```
    pub fn bug_check(self) -> Option<(u32, Option<u64>)> {
        match self {
            Kind::PlugPlayNotification
            | Kind::IoSpace
            | Kind::MdlMapping
            | Kind::MdlPages
            | Kind::NonCachedMemory => None,
            Kind::Timer => Some((0xc7, Some(0))),
            Kind::Dpc => Some((0xc7, Some(1))),
            Kind::LockedPages => Some((0xcb, None)),
            Kind::WmiProvider => Some((0xc4, Some(0xda))),
            Kind::TraceProvider => Some((0xc4, Some(0xdd))),
            _ => Some((0xce, None)),
        }
    }
}

impl std::fmt::Display for RegistrationKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
