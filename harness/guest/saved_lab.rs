//! A lab's state, kept to come back to, or to make other labs of.

use super::images::GuestImages;
use super::lab::Lab;
use super::layout::Bases;
use super::unprovided::BoundImports;
use crate::machine::{EngineError, Machine, SavedWatch, Snapshot};
use std::sync::Arc;

/// A lab at one moment: memory, processor, work done, and what is loaded. It can be shared between
/// threads, each of which makes its own labs of it; they share memory until they write, and the
/// images for ever. Breakpoints are not part of it; a
/// [watcher](crate::machine::probe::Watcher) is.
///
/// ```
/// use poolhit::Lab;
/// let saved = Lab::builder().build()?.save()?;
/// std::thread::scope(|threads| {
///     for size in [0x100, 0x2000] {
///         let saved = &saved;
///         threads.spawn(move || {
///             let mut lab = saved.lab().unwrap();
///             lab.call_kernel("ExAllocatePoolWithTag", &[0, size, 0x74736554]).unwrap();
///         });
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SavedLab {
    snapshot: Snapshot,
    images: Arc<GuestImages>,
    bases: Arc<Bases>,
    imports: Arc<BoundImports>,
    watch: SavedWatch,
}

impl SavedLab {
    /// A new lab in that state. It behaves like the one that was saved.
    ///
    /// # Errors
    /// The engine refuses, or the host.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let mut lab = Lab::builder().build()?;
    /// let copy = lab.save()?.lab()?;
    /// assert_eq!(copy.machine().state_hash(), lab.machine().state_hash());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lab(&self) -> Result<Lab, EngineError> {
        self.lab_with(Arc::clone(&self.images))
    }

    /// The same with images that have the same bytes.
    pub(super) fn lab_with(&self, images: Arc<GuestImages>) -> Result<Lab, EngineError> {
        let mut machine = Machine::from_snapshot(&self.snapshot)?;
        machine.restore_watch(&self.watch)?;
        Ok(Lab {
            machine,
            images,
            bases: Arc::clone(&self.bases),
            imports: Arc::clone(&self.imports),
            refusal: None,
            passing: None,
        })
    }

    /// The machine's state.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Lab {
    /// Keeps the lab's state. The guest must be at a stop that is no fault; see
    /// [`Machine::save`].
    ///
    /// # Errors
    /// The engine refuses, or the host.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let mut lab = Lab::builder().build()?;
    /// let saved = lab.save()?;
    /// let first = lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, 0x74736554])?;
    /// lab.restore(&saved)?;
    /// let again = lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, 0x74736554])?;
    /// assert_eq!(first, again);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&mut self) -> Result<SavedLab, EngineError> {
        Ok(SavedLab {
            snapshot: self.machine.save()?,
            images: Arc::clone(&self.images),
            bases: Arc::clone(&self.bases),
            imports: Arc::clone(&self.imports),
            watch: self.machine.save_watch(),
        })
    }

    /// Brings a state back: this lab's, or that of another one with as much memory. Breakpoints
    /// stay; a [watcher](crate::machine::probe::Watcher) is what it was then, or gone if there was none.
    ///
    /// # Errors
    /// The state is of a lab with other memory, the engine refuses, or the host.
    ///
    /// ```
    /// use poolhit::Lab;
    /// let small = Lab::builder().memory(8 << 20).build()?.save()?;
    /// assert!(Lab::builder().build()?.restore(&small).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restore(&mut self, saved: &SavedLab) -> Result<(), EngineError> {
        self.machine.restore(&saved.snapshot)?;
        self.machine.restore_watch(&saved.watch)?;
        if !Arc::ptr_eq(&self.images, &saved.images) {
            self.images = Arc::clone(&saved.images);
        }
        if !Arc::ptr_eq(&self.bases, &saved.bases) {
            self.bases = Arc::clone(&saved.bases);
        }
        if !Arc::ptr_eq(&self.imports, &saved.imports) {
            self.imports = Arc::clone(&saved.imports);
        }
        self.refusal = None;
        Ok(())
    }
}
