//! The lists of processes, of their threads, and of the requests of these.

use crate::address::Va;
use crate::guest::Lab;
use crate::guest::objects::{OBJECT_LIMIT, entries};
use crate::memory::ReadMemory;
use std::collections::BTreeSet;

/// The most entries of lists that are looked at, and the most requests that are found.
pub const OUTSTANDING_LIMIT: usize = OBJECT_LIMIT;

/// `_EPROCESS.ActiveProcessLinks`, `_KPROCESS.ThreadListHead`.
pub(super) const ACTIVE_PROCESS_LINKS: u64 = 0x188;
const THREAD_LIST_HEAD: u64 = 0x30;
/// `_KTHREAD.ThreadListEntry`, `_ETHREAD.IrpList`.
const THREAD_LIST_ENTRY: u64 = 0x2f8;
const IRP_LIST: u64 = 0x3e8;
/// `_IRP.ThreadListEntry`.
const IRP_LINKS: u64 = 0x20;

/// Follows lists; all of them together no further than the limit.
pub(super) struct Lists<'a> {
    memory: &'a dyn ReadMemory,
    processes: Option<Va>,
    left: usize,
}

impl<'a> Lists<'a> {
    pub fn of(lab: &'a Lab) -> Lists<'a> {
        Lists {
            memory: lab.machine(),
            processes: lab.kernel_symbol("PsActiveProcessHead"),
            left: OUTSTANDING_LIMIT,
        }
    }

    /// The packets on the lists of all threads, each once.
    pub fn all_irps(&mut self) -> Vec<Va> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let Some(head) = self.processes else {
            return found;
        };
        for process in self.entries(head, ACTIVE_PROCESS_LINKS) {
            let threads = process.wrapping_add(THREAD_LIST_HEAD);
            for thread in self.entries(threads, THREAD_LIST_ENTRY) {
                let irps = self.irps(thread);
                found.extend(irps.into_iter().filter(|irp| seen.insert(*irp)));
            }
        }
        found
    }

    /// The packets on a thread's list.
    pub fn irps(&mut self, thread: Va) -> Vec<Va> {
        self.entries(thread.wrapping_add(IRP_LIST), IRP_LINKS)
    }

    /// The entries of a list, as far as the limit for all lists allows.
    fn entries(&mut self, head: Va, links: u64) -> Vec<Va> {
        let mut found = entries(self.memory, head, links).items;
        found.truncate(self.left);
        self.left -= found.len();
        found
    }
}
