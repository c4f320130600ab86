//! A machine's state, kept to come back to.

use super::paging::{PageSet, executable_pages};
use super::unicorn::EngineState;
use super::{EngineError, Machine};
use crate::address::Pa;
use std::fmt;

/// The memory and processor of a [`Machine`] at one moment. It belongs to the machine it was taken
/// from. Breakpoints are not part of it: they are the debugger's.
pub struct Snapshot {
    /// Each page of memory; `None` for one that is all zero.
    pages: Vec<Option<Box<[u8; 0x1000]>>>,
    state: EngineState,
    root: Pa,
    system_call_entry: u64,
    /// Physical pages that code can be in.
    executable: PageSet,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.pages.iter().flatten().count();
        write!(f, "Snapshot({used} pages of {})", self.pages.len())
    }
}

impl Machine {
    /// Keeps the machine's state. The machine must be at a stop that is no fault.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().memory(8 << 20).build()?;
    /// let snapshot = lab.machine_mut().save()?;
    /// let before = lab.machine().state_hash();
    /// lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, 0x74736554])?;
    /// assert_ne!(lab.machine().state_hash(), before);
    /// lab.machine_mut().restore(&snapshot)?;
    /// assert_eq!(lab.machine().state_hash(), before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&mut self) -> Result<Snapshot, EngineError> {
        self.settle_fault()?;
        Ok(Snapshot {
            pages: self.engine.ram().copy_pages(),
            state: self.engine.save()?,
            root: self.root,
            system_call_entry: self.system_call_entry,
            executable: executable_pages(self.engine.ram(), self.root),
        })
    }

    /// Brings a state back. Only pages that differ are copied, and translated code is dropped only
    /// if one of them can hold code.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), EngineError> {
        let executable = executable_pages(self.engine.ram(), self.root);
        let changed = self.engine.restore_memory(&snapshot.pages);
        self.engine.restore(&snapshot.state)?;
        self.root = snapshot.root;
        self.system_call_entry = snapshot.system_call_entry;
        self.fault_pending = false;
        let holds_code =
            |&page: &u64| executable.contains(page) || snapshot.executable.contains(page);
        if changed.iter().any(holds_code) {
            self.engine.code_changed()?;
        }
        self.engine.tables_changed()
    }
}
