//! Physical memory, as a debugger reads and writes it.

use super::Machine;
use super::paging::{Translation, entry, translate};
use crate::address::{Pa, Va};
use crate::memory::{FaultReason, MemoryFault};

/// A physical address that is outside of the guest's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("physical memory at {address} cannot be accessed: the guest has none there")]
pub struct PhysicalFault {
    /// The first byte that could not be reached.
    pub address: Pa,
}

/// A page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageTableEntry {
    /// The paging level: 4 (PML4E, Windows' PXE), 3 (PDPTE, PPE), 2 (PDE) or 1 (PTE).
    pub level: u8,
    /// Where it lies.
    pub physical: Pa,
    /// What it is.
    pub value: u64,
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

    /// What the page tables say of a virtual address, as of the last stop.
    ///
    /// # Errors
    /// Why it has no memory.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let code = lab.kernel_symbol("NtClose").unwrap();
    /// assert!(lab.machine().translation(code).unwrap().execute);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn translation(&self, address: Va) -> Result<Translation, FaultReason> {
        translate(self.engine.ram(), self.root, address)
    }

    /// The page-table entries on the way to a virtual address, from the top table's on: up to one that
    /// is not present, or maps a large page. `root` is the top table's address, with any low bits.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// let lab = poolhit::Lab::builder().build()?;
    /// let machine = lab.machine();
    /// let code = lab.kernel_symbol("NtClose").unwrap();
    /// let entries = machine.page_table_entries(machine.page_directory(), code);
    /// assert_eq!(entries.iter().map(|entry| entry.level).collect::<Vec<_>>(), [4, 3, 2, 1]);
    /// let nowhere = Va(0x7000_00000000);
    /// assert_eq!(machine.page_table_entries(machine.page_directory(), nowhere).len(), 1);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn page_table_entries(&self, root: Pa, address: Va) -> Vec<PageTableEntry> {
        let mut table = root.0 & entry::FRAME;
        let mut entries = Vec::new();
        for level in (1..=4u8).rev() {
            let shift = 12 + 9 * (u32::from(level) - 1);
            let physical = Pa(table + (address.0 >> shift & 0x1ff) * 8);
            let Some(value) = self.engine.ram().read_u64(physical) else {
                break;
            };
            entries.push(PageTableEntry {
                level,
                physical,
                value,
            });
            let large = (level == 2 || level == 3) && value & entry::LARGE != 0;
            if value & entry::PRESENT == 0 || large {
                break;
            }
            table = value & entry::FRAME;
        }
        entries
    }

    fn outside(&self, address: Pa) -> PhysicalFault {
        PhysicalFault {
            address: Pa(address.0.max(self.memory_size())),
        }
    }
}
