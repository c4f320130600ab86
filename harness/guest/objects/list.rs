//! Lists of objects.

use crate::address::Va;
use crate::memory::ReadMemory;
use std::collections::BTreeSet;

/// The most objects that a list is followed for.
pub const OBJECT_LIMIT: usize = 4096;

/// The entries of a list whose head is at `head`, each without the distance of its links: up to the head
/// again, to an entry that has been there, to one that cannot be read, or to the limit.
pub(super) fn entries(memory: &dyn ReadMemory, head: Va, links: u64) -> Vec<Va> {
    let mut seen = BTreeSet::from([head]);
    let mut found = Vec::new();
    let mut at = head;
    while found.len() < OBJECT_LIMIT {
        match memory.read_va(at) {
            Ok(next) if seen.insert(next) => at = next,
            _ => break,
        }
        if memory.read_va(at).is_err() {
            break;
        }
        found.push(Va(at.0.wrapping_sub(links)));
    }
    found
}

/// The same for a list whose entries lead to the next with a pointer at `offset`, and that ends at NULL.
pub(super) fn chain(memory: &dyn ReadMemory, first: Va, offset: u64) -> Vec<Va> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut at = first;
    while at != Va(0) && found.len() < OBJECT_LIMIT && seen.insert(at) {
        let Ok(next) = memory.read_va(at.wrapping_add(offset)) else {
            break;
        };
        found.push(at);
        at = next;
    }
    found
}
