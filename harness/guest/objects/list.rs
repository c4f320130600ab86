//! Lists of objects, and where they end.

use crate::address::Va;
use crate::memory::ReadMemory;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;

/// The most objects that a list is followed for.
pub const OBJECT_LIMIT: usize = 4096;

/// Where following a list in guest memory has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListEnd {
    /// At its head again.
    Head,
    /// At a link that is NULL.
    Null,
    /// In front of an entry whose link, at this address, cannot be read.
    Unreadable(Va),
    /// In front of an entry, with its links at this address, that has been there.
    Loop(Va),
    /// After [`OBJECT_LIMIT`] entries.
    Limit,
}

/// The words are the project's own: no published session shows a damaged list.
impl fmt::Display for ListEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListEnd::Head => write!(f, "List is back at its head"),
            ListEnd::Null => write!(f, "List ends with a NULL link"),
            ListEnd::Unreadable(at) => write!(f, "Unable to read list entry at {:016x}", at.0),
            ListEnd::Loop(at) => write!(f, "List leads back to its entry at {:016x}", at.0),
            ListEnd::Limit => write!(f, "List not followed behind {OBJECT_LIMIT} entries"),
        }
    }
}

/// What has been found in a list, and why there is no more of it. It is used as the slice of its items.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List<T = Va> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where following it has ended.
    pub end: ListEnd,
    /// Where a list of its kind ends.
    regular: ListEnd,
}

impl<T> List<T> {
    /// A list of these items that is whole: one that has not been read in a guest.
    ///
    /// ```
    /// use poolhit::guest::objects::List;
    /// let list = List::whole(vec![1, 2]);
    /// assert_eq!((list.len(), list.damage()), (2, None));
    /// ```
    pub fn whole(items: Vec<T>) -> List<T> {
        List {
            items,
            ..List::empty()
        }
    }

    /// A list with nothing in it.
    pub(super) fn empty() -> List<T> {
        List {
            items: Vec::new(),
            end: ListEnd::Null,
            regular: ListEnd::Null,
        }
    }

    /// Where it ends, if that is not where a list of its kind does: items may be missing.
    ///
    /// ```
    /// use poolhit::guest::objects::ListEnd;
    /// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// let threads = session.lab().processes()?[1].threads.clone();
    /// assert_eq!((threads.end, threads.damage()), (ListEnd::Head, None));
    /// // the links of the last thread lead nowhere
    /// let links = threads[0].wrapping_add(0x420);
    /// session.write(links, &[0; 8])?;
    /// let threads = session.lab().processes()?[1].threads.clone();
    /// assert_eq!(threads.damage(), Some(ListEnd::Null));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn damage(&self) -> Option<ListEnd> {
        (self.end != self.regular).then_some(self.end)
    }

    /// The same list of something else.
    pub(super) fn map<U>(self, item: impl FnMut(T) -> U) -> List<U> {
        List {
            items: self.items.into_iter().map(item).collect(),
            end: self.end,
            regular: self.regular,
        }
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

/// The entries of a list whose head is at `head`, each without the distance of its links: up to the head
/// again.
pub(in crate::guest) fn entries(memory: &dyn ReadMemory, head: Va, links: u64) -> List {
    let first = memory.read_va(head);
    let mut list = match first {
        Ok(first) => follow(memory, first, 0, Some(head)),
        Err(_) => List {
            end: ListEnd::Unreadable(head),
            ..List::empty()
        },
    };
    list.regular = ListEnd::Head;
    list.map(|at| Va(at.0.wrapping_sub(links)))
}

/// The entries of a list that lead to the next with a pointer at `offset`, and that ends at NULL.
pub(super) fn chain(memory: &dyn ReadMemory, first: Va, offset: u64) -> List {
    follow(memory, first, offset, None)
}

/// The entries of a ring without a head: each once, the first first.
pub(super) fn ring(memory: &dyn ReadMemory, first: Va, offset: u64) -> List {
    let mut list = follow(memory, first, offset, None);
    list.regular = ListEnd::Head;
    if list.end == ListEnd::Loop(first) {
        list.end = ListEnd::Head;
    }
    list
}

fn follow(memory: &dyn ReadMemory, first: Va, offset: u64, head: Option<Va>) -> List {
    let mut list = List::empty();
    let mut seen = BTreeSet::new();
    let mut at = first;
    list.end = loop {
        if Some(at) == head {
            break ListEnd::Head;
        }
        if at == Va(0) {
            break ListEnd::Null;
        }
        if !seen.insert(at) {
            break ListEnd::Loop(at);
        }
        if list.items.len() == OBJECT_LIMIT {
            break ListEnd::Limit;
        }
        let Ok(next) = memory.read_va(at.wrapping_add(offset)) else {
            break ListEnd::Unreadable(at);
        };
        list.items.push(at);
        at = next;
    };
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{FaultReason, MemoryFault};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Words of memory; what is not among them cannot be read.
    struct Words(BTreeMap<u64, u64>);

    impl ReadMemory for Words {
        fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
            let fault = MemoryFault {
                address,
                reason: FaultReason::NotPresent { level: 0 },
                done: 0,
            };
            let word = self.0.get(&address.0).ok_or(fault)?;
            buffer.copy_from_slice(&word.to_le_bytes()[..buffer.len()]);
            Ok(())
        }
    }

    fn words(all: &[(u64, u64)]) -> Words {
        Words(all.iter().copied().collect())
    }

    #[test]
    fn a_list_says_where_it_ends() {
        for (memory, items, end) in [
            (&[(0x10, 0x10)][..], &[][..], ListEnd::Head),
            (&[(0x10, 0x20), (0x20, 0x10)], &[0x1c], ListEnd::Head),
            (&[(0x10, 0x20), (0x20, 0)], &[0x1c], ListEnd::Null),
            (
                &[(0x10, 0x20), (0x20, 0x20)],
                &[0x1c],
                ListEnd::Loop(Va(0x20)),
            ),
            (
                &[(0x10, 0x20), (0x20, 0x30)],
                &[0x1c],
                ListEnd::Unreadable(Va(0x30)),
            ),
            (&[], &[], ListEnd::Unreadable(Va(0x10))),
        ] {
            let list = entries(&words(memory), Va(0x10), 4);
            let items: Vec<Va> = items.iter().copied().map(Va).collect();
            assert_eq!((&list.items, list.end), (&items, end));
            assert_eq!(list.damage(), (end != ListEnd::Head).then_some(end));
        }
        let long: Vec<_> = (1..=5000).map(|at| (at * 8, at * 8 + 8)).collect();
        let list = entries(&words(&long), Va(8), 0);
        assert_eq!(
            (list.len(), list.damage()),
            (OBJECT_LIMIT, Some(ListEnd::Limit))
        );
    }

    #[test]
    fn chains_end_at_null_and_rings_at_their_first_entry() {
        let memory = words(&[(0x10, 0x20), (0x20, 0x30), (0x30, 0x20), (0x40, 0)]);
        let ends = |list: List| (list.len(), list.end, list.damage());
        let in_itself = ListEnd::Loop(Va(0x20));
        assert_eq!(ends(chain(&memory, Va(0x40), 0)), (1, ListEnd::Null, None));
        assert_eq!(ends(chain(&memory, Va(0), 0)), (0, ListEnd::Null, None));
        assert_eq!(
            ends(chain(&memory, Va(0x10), 0)),
            (3, in_itself, Some(in_itself))
        );
        assert_eq!(ends(ring(&memory, Va(0x20), 0)), (2, ListEnd::Head, None));
        assert_eq!(
            ends(ring(&memory, Va(0x10), 0)),
            (3, in_itself, Some(in_itself))
        );
    }

    proptest! {
        #[test]
        fn whatever_the_links_are_no_entry_comes_twice(
            links in prop::collection::btree_map(0..24_u64, 0..24_u64, 0..24),
            head in 0..24_u64,
        ) {
            let memory = Words(links);
            let list = entries(&memory, Va(head), 0);
            let different: BTreeSet<Va> = list.iter().copied().collect();
            prop_assert_eq!(different.len(), list.len());
            prop_assert!(!different.contains(&Va(head)));
            // each leads to the next, and the last to what the end says
            let mut at = Va(head);
            for next in &list {
                prop_assert_eq!(memory.read_va(at), Ok(*next));
                at = *next;
            }
            let behind = memory.read_va(at).unwrap_or(Va(head));
            let told = match list.end {
                ListEnd::Head => behind == Va(head),
                ListEnd::Null => behind == Va(0),
                ListEnd::Loop(entry) => behind == entry && different.contains(&entry),
                ListEnd::Unreadable(entry) => behind == entry && memory.read_va(entry).is_err(),
                ListEnd::Limit => false,
            };
            prop_assert!(told, "{:?}", list);
        }
    }
}
