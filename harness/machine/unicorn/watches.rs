//! Calls in progress whose return a probe wants to see.

use crate::machine::probe::ReturnWatch;

/// The most calls watched at a time: as deep as allocations nest within each other. One more, and
/// the oldest is forgotten.
pub const RETURN_LIMIT: usize = 16;

/// The calls watched, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    list: Vec<ReturnWatch>,
}

impl Watches {
    /// Whether an address is one that a call returns to.
    #[inline]
    pub fn contains(&self, address: u64) -> bool {
        self.list.iter().any(|watch| watch.address.0 == address)
    }

    /// A call whose return address is where another's was has taken that one's place: it has never
    /// returned.
    pub fn add(&mut self, watch: ReturnWatch) {
        let gone = |known: &ReturnWatch| known.stack == watch.stack;
        if let Some(known) = self.list.iter_mut().find(|known| gone(known)) {
            *known = watch;
            return;
        }
        if self.list.len() == RETURN_LIMIT {
            self.list.remove(0);
        }
        self.list.push(watch);
    }

    /// The token of the call that returns to `address` with this stack pointer; it is not watched
    /// any more.
    pub fn take(&mut self, address: u64, stack: u64) -> Option<u64> {
        let matches = |watch: &ReturnWatch| watch.address.0 == address && watch.stack.0 == stack;
        let at = self.list.iter().rposition(matches)?;
        Some(self.list.remove(at).token)
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }
}
