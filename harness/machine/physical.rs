//! Physical memory, as a debugger reads and writes it.

use super::Machine;
use crate::address::{Pa, Va};
use crate::memory::{FaultReason, MemoryFault};

/// A physical address that is outside of the guest's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("physical memory at {address} cannot be accessed: the guest has none there")]
pub struct PhysicalFault {
    /// The first byte that could not be reached.
    pub address: Pa,
}

impl From<PhysicalFault> for MemoryFault {
    /// The fault, with the physical address for the virtual one: where no paging is, they are the
    /// same.
    fn from(fault: PhysicalFault) -> MemoryFault {
        MemoryFault {
            address: Va(fault.address.0),
            reason: FaultReason::OutsideRam {
                physical: fault.address.0,
            },
            done: 0,
        }
    }
}

impl Machine {
    /// The size of physical memory in bytes.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().memory(32 << 20).build()?;
    /// assert_eq!(lab.machine().memory_size(), 32 << 20);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn memory_size(&self) -> u64 {
        self.engine.ram().size()
    }

    /// The physical address of the top page table, as of the last stop.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let machine = lab.machine();
    /// assert_eq!(machine.page_directory().0, machine.system_registers().cr3);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn page_directory(&self) -> Pa {
        self.root
    }

    /// Reads physical memory.
    ///
    /// # Errors
    /// A byte is outside of memory; nothing is read.
    ///
    /// ```
    /// use poolhit::address::Pa;
    /// let lab = poolhit::Lab::builder().build()?;
    /// let machine = lab.machine();
    /// // the tables map themselves
    /// let own = machine.page_directory().0 + 0x1ed * 8;
    /// let mut entry = [0; 8];
    /// machine.read_physical(Pa(own), &mut entry)?;
    /// assert_eq!(u64::from_le_bytes(entry) & 0xffff_f000, machine.page_directory().0);
    /// let end = Pa(machine.memory_size());
    /// assert!(machine.read_physical(end, &mut [0]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_physical(&self, address: Pa, buffer: &mut [u8]) -> Result<(), PhysicalFault> {
        match self.engine.ram().read(address, buffer) {
            true => Ok(()),
            false => Err(self.outside(address)),
        }
    }

    /// Writes physical memory. Code written runs as written at once, and page tables written are
    /// looked at anew.
    ///
    /// # Errors
    /// A byte is outside of memory; nothing is written.
    ///
    /// ```
    /// use poolhit::address::Pa;
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// lab.machine_mut().write_physical(Pa(0x10), b"first page")?;
    /// let mut bytes = [0; 5];
    /// lab.machine().read_physical(Pa(0x10), &mut bytes)?;
    /// assert_eq!(&bytes, b"first");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_physical(&mut self, address: Pa, bytes: &[u8]) -> Result<(), PhysicalFault> {
        if !self.engine.ram().write(address, bytes) {
            return Err(self.outside(address));
        }
        // Both are documented to succeed at any stop.
        let dropped = self.engine.code_changed();
        let looked_at = self.engine.tables_changed();
        debug_assert!(dropped.is_ok() && looked_at.is_ok());
        Ok(())
    }

    fn outside(&self, address: Pa) -> PhysicalFault {
        PhysicalFault {
            address: Pa(address.0.max(self.memory_size())),
        }
    }
}
