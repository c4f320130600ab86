//! What drivers have registered with the kernel, queued, mapped and locked, read in the kernel's own lists.
//! These are in the kernel's layouts where Windows has none that is documented (the guest's sources assert
//! the offsets that are read here), else in Windows 7 x64's.
//!
//! As for [requests](super::OutstandingRequest), nothing in guest memory is trusted.

mod kind;
mod table;

pub use kind::RegistrationKind;

use super::lab::Lab;
use super::outstanding::Lists;
use crate::address::Va;
use crate::memory::ReadMemory;
use table::{LISTS, TRACKED};

/// Something that a driver has with the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Registration {
    /// What it is.
    pub kind: RegistrationKind,
    /// Where it is: the structure, or the first byte of what is mapped.
    pub object: Va,
    /// The driver's routine; of what is mapped or locked, and of a provider of events, where the driver
    /// called the kernel for it. NULL if there is none.
    pub routine: Va,
    /// How many pages are mapped or locked.
    pub pages: u32,
}

/// `_OBJECT_TYPE.CallbackList`; in an entry of it, the two routines, and what the driver has for a handle.
const CALLBACK_LIST: u64 = 0xc0;
const OBJECT_CALLBACK_HANDLE: u64 = 0x30;
const OBJECT_CALLBACK_ROUTINES: [u64; 2] = [0x20, 0x28];
/// `_CALLBACK_OBJECT.RegisteredCallbacks`, and the routine in an entry of it.
const REGISTERED_CALLBACKS: u64 = 0x10;
const CALLBACK_ROUTINE: u64 = 0x18;
/// An entry of `nt!PspNotify`: a routine and what it hears of.
const NOTIFY_SIZE: u64 = 0x10;
const NOTIFY_KINDS: [RegistrationKind; 4] = [
    RegistrationKind::ProcessNotify,
    RegistrationKind::ProcessNotify,
    RegistrationKind::ThreadNotify,
    RegistrationKind::ImageNotify,
];
/// The most entries of a table that are looked at.
const MOST_ENTRIES: u32 = 4096;
/// The size of `_ETHREAD`, and `StartAddress` in it.
const THREAD_SIZE: u64 = 0x498;
const START_ADDRESS: u64 = 0x388;
/// `_KTIMER.Dpc`, `_KDPC.DeferredRoutine`.
const TIMER_DPC: u64 = 0x30;
const DEFERRED_ROUTINE: u64 = 0x18;
/// `_GENERAL_LOOKASIDE.Free`, next to `Allocate`.
const LOOKASIDE_FREE: u64 = 0x38;
/// The kernel's queues of work items, and the size of one.
const WORK_QUEUES: u64 = 3;
const WORK_QUEUE_SIZE: u64 = 0x40;
const WORKER_ROUTINE: u64 = 0x10;

impl Lab {
    /// All that drivers, and the kernel itself, have registered, queued, mapped or locked, in the order of
    /// kinds and addresses. Of lookaside lists the routine is the one that allocates, of timers that of
    /// their deferred procedure call. Locks and mappings are known as far as a table of the kernel's has
    /// room, and only those that drivers asked for.
    ///
    /// ```
    /// use poolhit::guest::RegistrationKind;
    /// let lab = poolhit::Lab::builder().build()?;
    /// let kernel = lab.modules().by_name("nt").unwrap().base();
    /// let all = lab.registrations();
    /// let threads = all.iter().filter(|one| one.kind == RegistrationKind::Thread);
    /// assert!(threads.clone().count() > 0);
    /// assert!(threads.into_iter().any(|thread| thread.routine > kernel));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn registrations(&self) -> Vec<Registration> {
        let mut lists = Lists::of(self);
        let mut found = Vec::new();
        for list in LISTS {
            if let Some(head) = self.kernel_symbol(list.head) {
                for object in lists.entries_and_ends(head, list.links) {
                    let routine = self.pointer(object, list.routine);
                    found.push(Registration::new(list.kind, object, routine));
                }
            }
        }
        self.add_object_callbacks(&mut lists, &mut found);
        self.add_threads(&mut lists, &mut found);
        self.add_work_items(&mut lists, &mut found);
        self.add_notify_routines(&mut found);
        self.add_tracked(&mut found);
        for one in &mut found {
            match one.kind {
                // Of a timer without one there is none.
                RegistrationKind::Timer => {
                    let call = self.pointer(one.object, TIMER_DPC);
                    one.routine = match call {
                        Va(0) => Va(0),
                        call => self.pointer(call, DEFERRED_ROUTINE),
                    };
                }
                RegistrationKind::LookasideList if !self.is_drivers(one.routine) => {
                    let free = self.pointer(one.object, LOOKASIDE_FREE);
                    one.routine = if self.is_drivers(free) { free } else { Va(0) };
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a routine is not the kernel's own.
    fn is_drivers(&self, routine: Va) -> bool {
        let kernel = self.bases().kernel;
        let size = self.images().kernel.image.size_of_image();
        routine < kernel || routine >= kernel.wrapping_add(size.into())
    }

    fn pointer(&self, at: Va, offset: u64) -> Va {
        let found = self.machine().read_va(at.wrapping_add(offset));
        found.unwrap_or_default()
    }

    fn add_object_callbacks(&self, lists: &mut Lists<'_>, found: &mut Vec<Registration>) {
        for kind in ["PsProcessType", "PsThreadType"] {
            let Some(object_type) = self.kernel_symbol(kind) else {
                continue;
            };
            let head = self.pointer(object_type, 0).wrapping_add(CALLBACK_LIST);
            for entry in lists.entries_and_ends(head, 0) {
                for offset in OBJECT_CALLBACK_ROUTINES {
                    let routine = self.pointer(entry, offset);
                    if routine != Va(0) {
                        let kind = RegistrationKind::ObjectCallback;
                        let handle = self.pointer(entry, OBJECT_CALLBACK_HANDLE);
                        found.push(Registration::new(kind, handle, routine));
                    }
                }
            }
        }
        let named = self.named_objects();
        for object in named.iter().filter(|one| one.type_name == "Callback") {
            let head = object.object.wrapping_add(REGISTERED_CALLBACKS);
            for entry in lists.entries_and_ends(head, 0) {
                let routine = self.pointer(entry, CALLBACK_ROUTINE);
                let kind = RegistrationKind::CallbackObject;
                found.push(Registration::new(kind, entry, routine));
            }
        }
    }

    fn add_threads(&self, lists: &mut Lists<'_>, found: &mut Vec<Registration>) {
        let threads = lists.threads();
        // A thread's own timer is its wait's.
        let is_wait = |timer: Va| {
            let distance = |thread: &Va| timer.0.wrapping_sub(thread.0);
            threads.iter().any(|thread| distance(thread) < THREAD_SIZE)
        };
        found.retain(|one| one.kind != RegistrationKind::Timer || !is_wait(one.object));
        for thread in threads {
            let routine = self.pointer(thread, START_ADDRESS);
            let kind = RegistrationKind::Thread;
            if routine.is_kernel() {
                found.push(Registration::new(kind, thread, routine));
            }
        }
    }

    fn add_work_items(&self, lists: &mut Lists<'_>, found: &mut Vec<Registration>) {
        let Some(queues) = self.kernel_symbol("ExWorkerQueue") else {
            return;
        };
        for queue in 0..WORK_QUEUES {
            for item in lists.entries_and_ends(queues.wrapping_add(queue * WORK_QUEUE_SIZE), 0) {
                let routine = self.pointer(item, WORKER_ROUTINE);
                let kind = RegistrationKind::WorkItem;
                found.push(Registration::new(kind, item, routine));
            }
        }
    }

    fn add_notify_routines(&self, found: &mut Vec<Registration>) {
        for entry in self.entries_of("PspNotify", "PspNotifyCount", NOTIFY_SIZE) {
            let kind = self.machine().read_u32(entry.wrapping_add(8));
            let kind = kind.ok().and_then(|kind| NOTIFY_KINDS.get(kind as usize));
            match (kind, self.pointer(entry, 0)) {
                (None, _) | (_, Va(0)) => {}
                (Some(kind), routine) => found.push(Registration::new(*kind, entry, routine)),
            }
        }
    }

    /// What `nt!MiTracked` knows: a kind, pages, what it is, and who called.
    fn add_tracked(&self, found: &mut Vec<Registration>) {
        let memory = self.machine();
        for entry in self.entries_of("MiTracked", "MiTrackedCount", 0x18) {
            let kind = memory.read_u32(entry).unwrap_or(0).wrapping_sub(1);
            let Some(&kind) = TRACKED.get(kind as usize) else {
                continue;
            };
            found.push(Registration {
                pages: memory.read_u32(entry.wrapping_add(4)).unwrap_or(0),
                ..Registration::new(kind, self.pointer(entry, 8), self.pointer(entry, 0x10))
            });
        }
    }

    fn entries_of(&self, table: &str, count: &str, size: u64) -> Vec<Va> {
        let (table, count) = (self.kernel_symbol(table), self.kernel_symbol(count));
        let count = count.and_then(|at| self.machine().read_u32(at).ok());
        let (Some(table), Some(count)) = (table, count) else {
            return Vec::new();
        };
        (0..u64::from(count.min(MOST_ENTRIES)))
            .map(|number| table.wrapping_add(number * size))
            .collect()
    }
}

impl Registration {
    fn new(kind: RegistrationKind, object: Va, routine: Va) -> Registration {
        Registration {
            kind,
            object,
            routine,
            pages: 0,
        }
    }
}
