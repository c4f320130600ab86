//! Labs that have booted, kept for the next one to be built alike.
//!
//! What a lab is at its first prompt depends on nothing but its options, and a copy of a lab
//! behaves like it. So whoever builds a lab for the third time gets a copy, and cannot tell. The
//! first time it is only noted, since many a process builds but one, and keeping takes time.

use super::images::GuestImages;
use super::layout::Bases;
use super::loader::PoolLimits;
use super::registry::RegistryRecords;
use super::saved_lab::SavedLab;
use super::unprovided::ProvisionsKey;
use crate::image::PeImage;
use crate::symbols::SymbolTable;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most labs noted or kept.
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
    registry: RegistryRecords,
    provisions: ProvisionsKey,
}

impl BootKey {
    pub fn new(
        images: &GuestImages,
        bases: &Bases,
        memory: u64,
        limits: PoolLimits,
        registry: RegistryRecords,
        provisions: ProvisionsKey,
    ) -> BootKey {
        BootKey {
            images: images.all().map(|file| Arc::clone(&file.image)).collect(),
            kernel_symbols: Arc::clone(&images.kernel.symbols),
            bases: bases.clone(),
            memory,
            limits,
            registry,
            provisions,
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
            && self.registry == other.registry
            && self.provisions == other.provisions
    }
}

/// A lab built before, and the lab itself if it was kept.
type Entry = (BootKey, Option<Arc<SavedLab>>);

/// The last one used is the last.
static BUILT: Mutex<VecDeque<Entry>> = Mutex::new(VecDeque::new());

fn built() -> MutexGuard<'static, VecDeque<Entry>> {
    // Whoever panicked while holding the lock has left whole entries.
    BUILT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of a lab that is to be built.
pub(super) enum Built {
    /// Nothing.
    Never(BootKey),
    /// One like it was built.
    Before(BootKey),
    /// It is here.
    Kept(Arc<SavedLab>),
}

/// Looks for a lab.
pub(super) fn find(key: BootKey) -> Built {
    let mut built = built();
    let at = built.iter().position(|(other, _)| other.is(&key));
    let Some(entry) = at.and_then(|at| built.remove(at)) else {
        return Built::Never(key);
    };
    let found = entry.1.clone();
    built.push_back(entry);
    found.map_or(Built::Before(key), Built::Kept)
}

/// Remembers that a lab was built, and the lab if it is to be kept; lets those go that have not
/// been used for longest.
pub(super) fn note(key: BootKey, lab: Option<SavedLab>) {
    // Freed when the lock is not held any more.
    let mut gone = Vec::new();
    let mut built = built();
    // Somebody else may have built the same in the meantime.
    if let Some(at) = built.iter().position(|(other, _)| other.is(&key)) {
        gone.extend(built.remove(at));
    }
    built.push_back((key, lab.map(Arc::new)));
    let bytes = |built: &VecDeque<Entry>| -> u64 {
        let kept = built.iter().filter_map(|(_, lab)| lab.as_ref());
        kept.map(|lab| lab.snapshot().stored_bytes()).sum()
    };
    while built.len() > LABS || bytes(&built) > BYTES {
        gone.extend(built.pop_front());
    }
    drop(built);
}
