//! Labs that have booted, kept for the next one to be built alike.
//!
//! What a lab is at its first prompt depends on nothing but its options, and a copy of a lab
//! behaves like it. So whoever builds a lab like one built before gets a copy, and cannot tell.

use super::images::GuestImages;
use super::layout::Bases;
use super::loader::PoolLimits;
use super::saved_lab::SavedLab;
use crate::image::PeImage;
use crate::symbols::SymbolTable;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most labs kept.
const LABS: usize = 4;
/// The most bytes that they may take.
const BYTES: u64 = 256 << 20;

/// All that decides what a lab is at its first prompt.
pub(super) struct BootKey {
    /// By where they are: an image that is kept here is not freed, so no other can be there.
    images: Vec<Arc<PeImage>>,
    kernel_symbols: Arc<SymbolTable>,
    bases: Bases,
    memory: u64,
    limits: PoolLimits,
}

impl BootKey {
    pub fn new(images: &GuestImages, bases: &Bases, memory: u64, limits: PoolLimits) -> BootKey {
        BootKey {
            images: images.all().map(|file| Arc::clone(&file.image)).collect(),
            kernel_symbols: Arc::clone(&images.kernel.symbols),
            bases: bases.clone(),
            memory,
            limits,
        }
    }

    fn is(&self, other: &BootKey) -> bool {
        let mut images = self.images.iter().zip(&other.images);
        self.images.len() == other.images.len()
            && images.all(|(one, other)| Arc::ptr_eq(one, other))
            && Arc::ptr_eq(&self.kernel_symbols, &other.kernel_symbols)
            && self.bases == other.bases
            && self.memory == other.memory
            && self.limits == other.limits
    }
}

/// The last one used is the last.
static KEPT: Mutex<VecDeque<(BootKey, Arc<SavedLab>)>> = Mutex::new(VecDeque::new());

fn kept() -> MutexGuard<'static, VecDeque<(BootKey, Arc<SavedLab>)>> {
    // Whoever panicked while holding the lock has left whole entries.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lab kept for a key.
pub(super) fn find(key: &BootKey) -> Option<Arc<SavedLab>> {
    let mut kept = kept();
    let at = kept.iter().position(|(other, _)| other.is(key))?;
    let found = kept.remove(at)?;
    let lab = Arc::clone(&found.1);
    kept.push_back(found);
    Some(lab)
}

/// Keeps a lab, and lets those go that have not been used for longest.
pub(super) fn keep(key: BootKey, lab: SavedLab) {
    // Freed when the lock is not held any more.
    let mut gone = Vec::new();
    let mut kept = kept();
    // Somebody else may have built the same in the meantime.
    if let Some(at) = kept.iter().position(|(other, _)| other.is(&key)) {
        gone.extend(kept.remove(at));
    }
    kept.push_back((key, Arc::new(lab)));
    let bytes = |kept: &VecDeque<(BootKey, Arc<SavedLab>)>| -> u64 {
        kept.iter()
            .map(|(_, lab)| lab.snapshot().stored_bytes())
            .sum()
    };
    while kept.len() > LABS || bytes(&kept) > BYTES {
        gone.extend(kept.pop_front());
    }
    drop(kept);
}
