//! Reading and writing guest memory by virtual address, and how that fails.

use crate::address::Va;
use std::fmt;

/// Why a byte of memory could not be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultReason {
    /// Bits 63 to 47 of the address differ.
    NotCanonical,
    /// A page-table entry on the way is not present.
    NotPresent {
        /// The paging level whose entry is not present: 4 (PML4E) down to 1 (PTE); 0 where the
        /// memory is not paged (a file's image, a dump).
        level: u8,
    },
    /// The page may not be written, by those who keep to the tables.
    ReadOnly,
    /// The tables lead to a physical address behind the end of the guest's memory.
    OutsideRam {
        /// The physical address reached.
        physical: u64,
    },
}

/// A read or write that stopped before its end: where, why, and how much was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub struct MemoryFault {
    /// The first byte that could not be reached.
    pub address: Va,
    /// Why not.
    pub reason: FaultReason,
    /// Bytes read or written before it.
    pub done: usize,
}

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory at {} cannot be accessed: ", self.address)?;
        match self.reason {
            FaultReason::NotCanonical => write!(f, "not a canonical address"),
            FaultReason::NotPresent { level: 0 } => write!(f, "nothing is there"),
            FaultReason::NotPresent { level } => {
                let entry = ["", "PTE", "PDE", "PDPTE", "PML4E"][usize::from(level.min(4))];
                write!(f, "its {entry} is not present")
            }
            FaultReason::ReadOnly => write!(f, "its page may not be written"),
            FaultReason::OutsideRam { physical } => {
                write!(
                    f,
                    "its page is at {physical:#x}, behind the end of physical memory"
                )
            }
        }
    }
}

/// Memory that can be read by virtual address.
pub trait ReadMemory {
    /// Fills `buffer` from `address` on.
    ///
    /// # Errors
    /// The first byte that cannot be read; the bytes before it are in `buffer`.
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault>;

    /// Reads as much as can be read, and says how much.
    fn read_partial(&self, address: Va, buffer: &mut [u8]) -> usize {
        match self.read(address, buffer) {
            Ok(()) => buffer.len(),
            Err(fault) => fault.done,
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// The byte cannot be read.
    fn read_u8(&self, address: Va) -> Result<u8, MemoryFault> {
        let mut bytes = [0; 1];
        self.read(address, &mut bytes)?;
        Ok(bytes[0])
    }

    /// Reads a little-endian 16-bit value.
    ///
    /// # Errors
    /// One of its bytes cannot be read.
    fn read_u16(&self, address: Va) -> Result<u16, MemoryFault> {
        let mut bytes = [0; 2];
        self.read(address, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Reads a little-endian 32-bit value.
    ///
    /// # Errors
    /// One of its bytes cannot be read.
    fn read_u32(&self, address: Va) -> Result<u32, MemoryFault> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a little-endian 64-bit value.
    ///
    /// # Errors
    /// One of its bytes cannot be read.
    fn read_u64(&self, address: Va) -> Result<u64, MemoryFault> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a pointer.
    ///
    /// # Errors
    /// One of its bytes cannot be read.
    fn read_va(&self, address: Va) -> Result<Va, MemoryFault> {
        self.read_u64(address).map(Va)
    }
}

/// Memory that can also be written.
pub trait WriteMemory: ReadMemory {
    /// Writes `bytes` from `address` on, whatever the pages' protection (as a debugger does).
    ///
    /// # Errors
    /// The first byte that cannot be written; the bytes before it are written.
    fn write(&mut self, address: Va, bytes: &[u8]) -> Result<(), MemoryFault>;
}

impl<M: ReadMemory + ?Sized> ReadMemory for &M {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        (**self).read(address, buffer)
    }
}

/// The parts of `[address, address + length)` that lie in one page each, in order: the page-wise
/// loop of every read and write, written once.
///
/// Wraps at the end of the address space, as the processor does.
///
/// ```
/// use poolhit::address::Va;
/// use poolhit::memory::pages;
/// let parts: Vec<_> = pages(Va(0x1ffe), 4).collect();
/// assert_eq!(parts, [(Va(0x1ffe), 0..2), (Va(0x2000), 2..4)]);
/// ```
pub fn pages(address: Va, length: usize) -> impl Iterator<Item = (Va, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = address.wrapping_add(done as u64);
        let room = 0x1000 - (at.0 & 0xfff) as usize;
        let part = done..done + room.min(length - done);
        done = part.end;
        Some((at, part))
    })
}
