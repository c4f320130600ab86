//! A structure's fields.

use crate::address::Va;
use crate::guest::read_unicode_string;
use crate::memory::{MemoryFault, ReadMemory};

/// A structure in guest memory.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub memory: &'a dyn ReadMemory,
    pub at: Va,
}

impl Fields<'_> {
    pub fn u8(&self, offset: u64) -> Result<u8, MemoryFault> {
        self.memory.read_u8(self.at.wrapping_add(offset))
    }

    pub fn u16(&self, offset: u64) -> Result<u16, MemoryFault> {
        self.memory.read_u16(self.at.wrapping_add(offset))
    }

    pub fn u32(&self, offset: u64) -> Result<u32, MemoryFault> {
        self.memory.read_u32(self.at.wrapping_add(offset))
    }

    pub fn u64(&self, offset: u64) -> Result<u64, MemoryFault> {
        self.memory.read_u64(self.at.wrapping_add(offset))
    }

    pub fn va(&self, offset: u64) -> Result<Va, MemoryFault> {
        self.memory.read_va(self.at.wrapping_add(offset))
    }

    /// A `_UNICODE_STRING`; one whose text is not in memory is empty.
    pub fn text(&self, offset: u64) -> String {
        read_unicode_string(self.memory, self.at.wrapping_add(offset)).unwrap_or_default()
    }
}
