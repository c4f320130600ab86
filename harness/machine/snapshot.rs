//! A machine's state, kept to come back to, or to make other machines of.

use super::ring_gate::RingGate;
use super::saved_memory::SavedMemory;
use super::unicorn::{Engine, EngineState};
use super::{EngineError, GuestRam, Machine};
use crate::address::Pa;
use std::fmt;

/// The memory and processor of a [`Machine`] at one moment: for that machine and for others of the
/// same kind, on any thread. Breakpoints are not part of it: they are the debugger's.
///
/// ```
/// fn shared<T: Send + Sync>() {}
/// shared::<poolhit::machine::Snapshot>();
/// ```
pub struct Snapshot {
    memory: SavedMemory,
    state: EngineState,
    gate: RingGate,
    root: Pa,
    system_call_entry: u64,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} bytes of memory)", self.memory.size())
    }
}

impl Snapshot {
    /// The bytes of the host's memory that it keeps, in files that it may share with others.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().memory(8 << 20).build()?;
    /// let snapshot = lab.machine_mut().save()?;
    /// // pages of zeros take none
    /// assert!(snapshot.stored_bytes() < 8 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stored_bytes(&self) -> u64 {
        self.memory.stored_bytes()
    }
}

impl Machine {
    /// Keeps the machine's state. The machine must be at a stop that is no fault, and its guest
    /// without breakpoints in the debug registers.
    ///
    /// What the processor remembers of page tables is not kept, so a guest that changes an entry
    /// and relies on the old one still being in use is not told the same again.
    ///
    /// # Errors
    /// The engine refuses, or the host.
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
        self.broken.map_or(Ok(()), Err)?;
        self.settle_fault()?;
        let state = self.engine.save()?;
        let memory = self.engine.save_memory();
        self.lose_memory();
        Ok(Snapshot {
            memory: memory?,
            state,
            gate: self.gate,
            root: self.root,
            system_call_entry: self.system_call_entry,
        })
    }

    /// Brings a state back: this machine's or that of another one with as much memory. What has not
    /// been written since stays as it is, and translated code is dropped only if its bytes change.
    ///
    /// # Errors
    /// The state is of a machine of another kind, the engine refuses, or the host.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), EngineError> {
        if self.gate != snapshot.gate || self.engine.ram().size() != snapshot.memory.size() {
            return Err(EngineError {
                doing: "restore a state",
                reason: "it is that of a machine with other memory",
            });
        }
        let restored = self
            .engine
            .restore(&snapshot.gate, &snapshot.memory, &snapshot.state);
        self.broken = None;
        self.lose_memory();
        restored?;
        self.root = snapshot.root;
        self.system_call_entry = snapshot.system_call_entry;
        self.fault_pending = false;
        Ok(())
    }

    /// Another machine in that state; it shares memory with all others made from it until it
    /// writes.
    ///
    /// # Errors
    /// The engine refuses, or the host.
    ///
    /// ```
    /// use poolhit::machine::Machine;
    /// let mut lab = poolhit::Lab::builder().memory(8 << 20).build()?;
    /// let snapshot = lab.machine_mut().save()?;
    /// let copy = Machine::from_snapshot(&snapshot)?;
    /// assert_eq!(copy.state_hash(), lab.machine().state_hash());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_snapshot(snapshot: &Snapshot) -> Result<Machine, EngineError> {
        let ram = GuestRam::of(&snapshot.memory).map_err(|_| EngineError {
            doing: "copy the guest's memory",
            reason: "the host refuses",
        })?;
        Ok(Machine {
            engine: Engine::from_state(ram, &snapshot.gate, &snapshot.state)?,
            gate: snapshot.gate,
            root: snapshot.root,
            system_call_entry: snapshot.system_call_entry,
            fault_pending: false,
            broken: None,
        })
    }

    /// Where the host has taken the memory away, nothing runs any more.
    fn lose_memory(&mut self) {
        if self.engine.ram().is_lost() {
            self.broken = Some(EngineError {
                doing: "go on",
                reason: "the host has taken the guest's memory away",
            });
        }
    }
}
