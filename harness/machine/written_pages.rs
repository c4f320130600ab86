//! Which pages of a private mapping have been written.

use super::ram::page_faults;
use std::cell::Cell;
use std::thread::{self, ThreadId};

/// The pages of a private mapping that have been written since it was made, as of the last look.
///
/// Only the host's kernel knows them, and asking it takes some microseconds. But each page that is
/// written first is a page fault of the thread that writes, and asking for the count of those takes
/// a fraction of one. So as long as one thread writes and has no faults, there is no need to look.
#[derive(Debug)]
pub(super) struct WrittenPages {
    numbers: Vec<u64>,
    /// The count of faults up to which `numbers` is complete, and the thread that it is the count
    /// of; `None` once another thread has written.
    complete: Cell<Option<(ThreadId, u64)>>,
}

fn now() -> Option<(ThreadId, u64)> {
    Some((thread::current().id(), page_faults()?))
}

impl WrittenPages {
    /// A mapping that has just been made.
    pub fn none() -> WrittenPages {
        WrittenPages {
            numbers: Vec::new(),
            complete: Cell::new(now()),
        }
    }

    /// This thread is about to write.
    pub fn by_this_thread(&self) {
        let stranger = |(thread, _)| thread != thread::current().id();
        if self.complete.get().is_some_and(stranger) {
            self.complete.set(None);
        }
    }

    /// Whether the pages known are all there are.
    pub fn is_complete(&self) -> bool {
        self.complete.get().is_some() && self.complete.get() == now()
    }

    /// The pages in ascending order: all that have been written by now.
    pub fn set(&mut self, numbers: Vec<u64>) {
        self.numbers = numbers;
        // Behind all else here that could cause faults of its own.
        self.complete.set(now());
    }

    /// The pages in ascending order. Until they are set again, none are known.
    pub fn take(&mut self) -> Vec<u64> {
        self.complete.set(None);
        std::mem::take(&mut self.numbers)
    }
}
