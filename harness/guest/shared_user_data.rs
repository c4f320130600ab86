//! The page that the kernel shares with user mode (`_KUSER_SHARED_DATA` of Windows 7 x64, ntddk.h):
//! drivers read version, processor features and time from it without a call.
//!
//! What stands still is written here. The times are the guest kernel's, which writes them at each tick
//! of its clock.

use super::LabError;
use super::arena::Arena;
use super::layout::{SHARED_USER_DATA, SHARED_USER_DATA_SIZE, USER_SHARED_USER_DATA};
use super::loader::put_arena;
use crate::machine::paging::{Access, AddressSpaceBuilder};

mod field {
    pub const TICK_COUNT_MULTIPLIER: u64 = 0x4;
    pub const IMAGE_NUMBER_LOW: u64 = 0x2c;
    pub const IMAGE_NUMBER_HIGH: u64 = 0x2e;
    pub const NT_SYSTEM_ROOT: u64 = 0x30;
    pub const NT_PRODUCT_TYPE: u64 = 0x264;
    pub const PRODUCT_TYPE_IS_VALID: u64 = 0x268;
    pub const NT_MAJOR_VERSION: u64 = 0x26c;
    pub const NT_MINOR_VERSION: u64 = 0x270;
    pub const PROCESSOR_FEATURES: u64 = 0x274;
    pub const KD_DEBUGGER_ENABLED: u64 = 0x2d4;
    pub const NUMBER_OF_PHYSICAL_PAGES: u64 = 0x2e8;
}

/// `IMAGE_FILE_MACHINE_AMD64`.
const MACHINE: u16 = 0x8664;
/// `PF_*` (winnt.h) that the processor has: `cmpxchg8b`, MMX, SSE, `rdtsc`, PAE, SSE2, NX, SSE3,
/// `cmpxchg16b`.
const FEATURES: [u64; 9] = [2, 3, 6, 8, 9, 10, 12, 13, 14];

/// Maps the page for the kernel, and for user mode to read.
pub(super) fn map(space: &mut AddressSpaceBuilder<'_>) -> Result<(), LabError> {
    let mut page = Arena::new(SHARED_USER_DATA);
    page.allocate(SHARED_USER_DATA_SIZE as usize);
    let at = |offset: u64| SHARED_USER_DATA.wrapping_add(offset);
    // Milliseconds in a tick (15.625), in fixed point.
    page.put_u32(at(field::TICK_COUNT_MULTIPLIER), 0x0fa0_0000);
    page.put_u16(at(field::IMAGE_NUMBER_LOW), MACHINE);
    page.put_u16(at(field::IMAGE_NUMBER_HIGH), MACHINE);
    for (unit, place) in "C:\\Windows".encode_utf16().zip(0..) {
        page.put_u16(at(field::NT_SYSTEM_ROOT + place * 2), unit);
    }
    page.put_u32(at(field::NT_PRODUCT_TYPE), 1); // NtProductWinNt
    page.put_bytes(at(field::PRODUCT_TYPE_IS_VALID), &[1]);
    page.put_u32(at(field::NT_MAJOR_VERSION), 6);
    page.put_u32(at(field::NT_MINOR_VERSION), 1);
    for feature in FEATURES {
        page.put_bytes(at(field::PROCESSOR_FEATURES + feature), &[1]);
    }
    page.put_bytes(at(field::KD_DEBUGGER_ENABLED), &[3]); // enabled and present
    let pages = u32::try_from(space.page_count()).unwrap_or(u32::MAX);
    page.put_u32(at(field::NUMBER_OF_PHYSICAL_PAGES), pages);
    put_arena(space, &page, Access::KERNEL_DATA)?;
    let user = Access {
        user: true,
        write: false,
        execute: false,
    };
    let page = space.physical(SHARED_USER_DATA);
    let page = page.map_err(|reason| LabError::Layout {
        address: SHARED_USER_DATA,
        reason,
    })?;
    Ok(space.map_physical(USER_SHARED_USER_DATA, page, user)?)
}

#[cfg(test)]
mod tests {
    use crate::address::Va;
    use crate::guest::Lab;
    use crate::memory::ReadMemory;

    #[test]
    fn the_page_is_in_both_halves() {
        let lab = Lab::builder().build().unwrap();
        let memory = lab.machine();
        for base in [0xfffff780_00000000, 0x7ffe0000] {
            let word = |offset: u64| memory.read_u32(Va(base + offset)).unwrap();
            assert_eq!([word(0x26c), word(0x270)], [6, 1]);
            assert_eq!(u64::from(word(0x2e8)) << 12, crate::guest::DEFAULT_MEMORY);
            assert_eq!(word(0x30), u32::from(b'C') | u32::from(b':') << 16);
        }
    }
}
