//! Linked lists in guest memory: `LIST_ENTRY` and `SINGLE_LIST_ENTRY`.

use super::session::Session;
use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};
use std::collections::BTreeSet;

impl Session {
    /// The entries of a linked list from one of them on, in the order of their `Flink`s, or of their
    /// `Blink`s if it is followed backwards: until an entry comes again, a link is NULL, or there
    /// are as many as wanted, or a link cannot be read, of which the place is given. The head of a list is an
    /// entry as any other.
    ///
    /// # Errors
    /// The first link cannot be read.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let head = session.resolve("nt!PsLoadedModuleList").unwrap();
    /// let (entries, unreadable) = session.linked_list(head, 100, false)?;
    /// assert_eq!((entries.len(), unreadable), (3, None)); // the head, nt and myfault
    /// let (back, _) = session.linked_list(head, 100, true)?;
    /// assert_eq!(back[1], entries[2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn linked_list(
        &self,
        first: Va,
        limit: usize,
        backwards: bool,
    ) -> Result<(Vec<Va>, Option<Va>), MemoryFault> {
        let link = if backwards { 8 } else { 0 };
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        let mut at = first;
        while entries.len() < limit && at.0 != 0 && seen.insert(at) {
            let place = at.wrapping_add(link);
            match self.lab().machine().read_va(place) {
                Ok(next) => {
                    entries.push(at);
                    at = next;
                }
                Err(fault) if entries.is_empty() => return Err(fault),
                Err(_) => return Ok((entries, Some(place))),
            }
        }
        Ok((entries, None))
    }
}
