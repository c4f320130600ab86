//! The program's side of the address space: its stack, and its environment blocks with the list of
//! modules that a debugger reads (`_TEB`, `_PEB` and `_PEB_LDR_DATA` of Windows 7 x64).

use super::LabError;
use super::arena::Arena;
use super::images::GuestImages;
use super::layout::{self, Bases};
use super::loader::put_arena;
use super::module_list::{LINKS, put_entry};
use crate::machine::paging::{Access, AddressSpaceBuilder};

/// Offsets in `_TEB`.
pub(super) mod teb {
    pub const STACK_BASE: u64 = 0x8;
    pub const STACK_LIMIT: u64 = 0x10;
    pub const SELF: u64 = 0x30;
    pub const PEB: u64 = 0x60;
}

/// Offsets in `_PEB`.
pub(super) mod peb {
    pub const IMAGE_BASE: u64 = 0x10;
    pub const LDR: u64 = 0x18;
    pub const OS_MAJOR_VERSION: u64 = 0x118;
    pub const OS_MINOR_VERSION: u64 = 0x11c;
}

/// Offset in `_PEB_LDR_DATA` of the list in load order; the other two follow it.
pub(super) const LOAD_ORDER_LIST: u64 = 0x10;

/// Maps the user stack, the environment blocks and the module list.
pub(super) fn map(
    space: &mut AddressSpaceBuilder<'_>,
    images: &GuestImages,
    bases: &Bases,
) -> Result<(), LabError> {
    let stack_size = layout::USER_STACK_BASE - layout::USER_STACK_LIMIT;
    space.map(layout::USER_STACK_LIMIT, stack_size, Access::USER_DATA)?;

    let mut loader = Arena::new(layout::USER_DATA);
    let ldr = loader.allocate(0x58);
    loader.put_u32(ldr, 0x58);
    loader.put_u32(ldr.wrapping_add(4), 1); // Initialized
    let mut entries = vec![put_entry(
        &mut loader,
        &images.program.image,
        bases.program,
        "C:\\Tools\\",
    )];
    for (file, &base) in images.libraries.iter().zip(&bases.libraries) {
        entries.push(put_entry(
            &mut loader,
            &file.image,
            base,
            "C:\\Windows\\system32\\",
        ));
    }
    for offset in LINKS {
        // The program itself needs no initialization, and is not in that list.
        let listed = if offset == LINKS[2] {
            &entries[1..]
        } else {
            &entries[..]
        };
        let links: Vec<_> = listed
            .iter()
            .map(|entry| entry.wrapping_add(offset))
            .collect();
        loader.link_list(ldr.wrapping_add(LOAD_ORDER_LIST + offset), &links);
    }
    put_arena(space, &loader, Access::USER_DATA)?;

    let mut blocks = Arena::new(layout::TEB);
    blocks.allocate(layout::TEB_SIZE as usize + 0x1000);
    for (offset, value) in [
        (teb::STACK_BASE, layout::USER_STACK_BASE.0),
        (teb::STACK_LIMIT, layout::USER_STACK_LIMIT.0),
        (teb::SELF, layout::TEB.0),
        (teb::PEB, layout::PEB.0),
    ] {
        blocks.put_u64(layout::TEB.wrapping_add(offset), value);
    }
    blocks.put_u64(layout::PEB.wrapping_add(peb::IMAGE_BASE), bases.program.0);
    blocks.put_u64(layout::PEB.wrapping_add(peb::LDR), ldr.0);
    blocks.put_u32(layout::PEB.wrapping_add(peb::OS_MAJOR_VERSION), 6);
    blocks.put_u32(layout::PEB.wrapping_add(peb::OS_MINOR_VERSION), 1);
    put_arena(space, &blocks, Access::USER_DATA)
}
