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
pub(in crate::guest) struct Lists<'a> {
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
        for thread in self.threads() {
            let irps = self.irps(thread);
            found.extend(irps.into_iter().filter(|irp| seen.insert(*irp)));
        }
        found
    }

    /// The threads of all processes.
    pub fn threads(&mut self) -> Vec<Va> {
        let mut found = Vec::new();
        let Some(head) = self.processes else {
            return found;
        };
        for process in self.entries(head, ACTIVE_PROCESS_LINKS) {
            let threads = process.wrapping_add(THREAD_LIST_HEAD);
            found.extend(self.entries(threads, THREAD_LIST_ENTRY));
        }
        found
    }

    /// The packets on a thread's list.
    pub fn irps(&mut self, thread: Va) -> Vec<Va> {
        self.entries(thread.wrapping_add(IRP_LIST), IRP_LINKS)
    }

    /// The entries of a list, as far as the limit for all lists allows.
    pub fn entries(&mut self, head: Va, links: u64) -> Vec<Va> {
        let mut found = entries(self.memory, head, links).items;
        found.truncate(self.left);
        self.left -= found.len();
        found
    }

    /// The entries of a list, those too that lie where nothing is any more: from both ends of it, each up to
    /// the first of these.
    pub fn entries_and_ends(&mut self, head: Va, links: u64) -> Vec<Va> {
        const FORWARD: u64 = 0;
        const BACKWARD: u64 = 8;
        let mut seen = BTreeSet::from([head, Va(0)]);
        let mut found = Vec::new();
        for direction in [FORWARD, BACKWARD] {
            let mut at = head;
            while self.left > 0 {
                match self.memory.read_va(at.wrapping_add(direction)) {
                    Ok(next) if seen.insert(next) => at = next,
                    _ => break,
                }
                self.left -= 1;
                found.push(Va(at.0.wrapping_sub(links)));
            }
        }
        found
    }
}
