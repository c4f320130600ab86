//! The kernel's lists.

use super::RegistrationKind as Kind;

/// A list: its head, and in its entries the distances of the links and of the driver's routine from the
/// start.
pub(super) struct List {
    pub head: &'static str,
    pub kind: Kind,
    pub links: u64,
    pub routine: u64,
}

const fn list(head: &'static str, kind: Kind, links: u64, routine: u64) -> List {
    List {
        head,
        kind,
        links,
        routine,
    }
}

pub(super) const LISTS: [List; 15] = [
    list("ExNPagedLookasideListHead", Kind::LookasideList, 0x40, 0x30),
    list("ExPagedLookasideListHead", Kind::LookasideList, 0x40, 0x30),
    list("CmpCallbacks", Kind::RegistryCallback, 0, 0x10),
    list("PnpRegistrations", Kind::PlugPlayNotification, 0, 0x30),
    list(
        "KeBugCheckCallbackListHead",
        Kind::BugCheckCallback,
        0,
        0x10,
    ),
    list(
        "KeBugCheckReasonCallbackListHead",
        Kind::BugCheckReasonCallback,
        0,
        0x10,
    ),
    list("KiNmiCallbacks", Kind::NmiCallback, 0, 0x10),
    list("KiProcessorCallbacks", Kind::ProcessorCallback, 0, 0x10),
    list("PopSettings", Kind::PowerSetting, 0, 0x20),
    list("KiInterrupts", Kind::Interrupt, 8, 0x18),
    list("WmipRegistrations", Kind::WmiProvider, 0, 0x10),
    list("EtwpRegistrations", Kind::TraceProvider, 0, 0x30),
    list("KiTimerListHead", Kind::Timer, 0x20, 0x30),
    list("KiDpcListHead", Kind::Dpc, 8, 0x18),
    list("KiThreadedDpcListHead", Kind::Dpc, 8, 0x18),
];

/// By the kernel's numbers, from 1 on.
pub(super) const TRACKED: [Kind; 5] = [
    Kind::IoSpace,
    Kind::MdlMapping,
    Kind::LockedPages,
    Kind::MdlPages,
    Kind::NonCachedMemory,
];
