//! Each processor's control region, descriptor table and task state segment.

use super::LabError;
use super::arena::Arena;
use super::layout::{self, DESCRIPTORS, GATE, TASK_OFFSET};
use super::loader::put_arena;
use crate::address::Va;
use crate::machine::paging::{Access, AddressSpaceBuilder, PAGE_SIZE};

/// The descriptor table's length in bytes (Windows 7 x64: limit 7f).
pub(super) const GDT_LENGTH: u16 = 0x80;
/// The task state segment's selector (`KGDT64_SYS_TSS`).
pub(super) const TASK_SELECTOR: u16 = 0x40;
/// Ring 0's code selector (`KGDT64_R0_CODE`).
const KERNEL_CODE: u16 = 0x10;

/// DS, ES, FS and GS as the kernel has them: those of user mode (`KGDT64_R3_DATA`, `KGDT64_R3_CMTEB`, with the
/// privilege level 3); registers of Windows 7 x64 that were published have 2b, 2b, 53 and 2b.
pub(super) const DATA_SELECTORS: [u16; 4] = [0x2b, 0x2b, 0x53, 0x2b];

/// The flat segments at the selectors that Windows gives them (`KGDT64_*`).
const SEGMENTS: [(u16, u64); 6] = [
    (KERNEL_CODE, 0x0020_9b00_0000_0000),
    (0x18, 0x00cf_9300_0000_ffff), // KGDT64_R0_DATA
    (0x20, 0x00cf_fb00_0000_ffff), // KGDT64_R3_CMCODE
    (0x28, 0x00cf_f300_0000_ffff), // KGDT64_R3_DATA
    (0x30, 0x0020_fb00_0000_0000), // KGDT64_R3_CODE
    (0x50, 0x0040_f300_0000_3c00), // KGDT64_R3_CMTEB: the one that is not flat
];

/// Offsets in `_KPCR` that the loader fills in; the kernel does the rest.
const PCR_GDT_BASE: u64 = 0x0;
const PCR_TSS_BASE: u64 = 0x8;

/// Maps the processors' structures, and the gate through which system calls go.
pub(super) fn map(space: &mut AddressSpaceBuilder<'_>) -> Result<(), LabError> {
    for (processor, &tables) in DESCRIPTORS.iter().enumerate() {
        let task = tables.wrapping_add(TASK_OFFSET);
        let mut arena = Arena::new(tables);
        arena.allocate(0x200);
        for (selector, descriptor) in SEGMENTS {
            arena.put_u64(slot(tables, selector), descriptor);
        }
        let [low, high] = task_descriptor(task);
        arena.put_u64(slot(tables, TASK_SELECTOR), low);
        arena.put_u64(slot(tables, TASK_SELECTOR + 8), high);
        let [low, high] = GATE.descriptor(KERNEL_CODE);
        arena.put_u64(slot(tables, GATE.selector), low);
        arena.put_u64(slot(tables, GATE.selector + 8), high);
        // _KTSS64.Rsp0 is at 4; until the kernel runs a thread, its idle thread's stack
        arena.put_u64(task.wrapping_add(4), layout::IDLE_STACK[processor].0);
        arena.put_u16(task.wrapping_add(0x66), 0x68); // IoMapBase: behind the end, so no map
        put_arena(space, &arena, Access::KERNEL_DATA)?;

        let pcr = layout::PCR[processor];
        let mut arena = Arena::new(pcr);
        arena.allocate(layout::PCR_SIZE as usize);
        arena.put_u64(pcr.wrapping_add(PCR_GDT_BASE), tables.0);
        arena.put_u64(pcr.wrapping_add(PCR_TSS_BASE), task.0);
        put_arena(space, &arena, Access::KERNEL_DATA)?;
    }
    map_gate(space)
}

fn map_gate(space: &mut AddressSpaceBuilder<'_>) -> Result<(), LabError> {
    let mut user = Arena::new(GATE.user_page);
    let at = user.allocate(GATE.user_code().len());
    user.put_bytes(at, &GATE.user_code());
    put_arena(
        space,
        &user,
        Access {
            user: true,
            write: false,
            execute: true,
        },
    )?;
    let mut kernel = Arena::new(GATE.kernel_page);
    let at = kernel.allocate(GATE.kernel_code().len());
    kernel.put_bytes(at, &GATE.kernel_code());
    put_arena(
        space,
        &kernel,
        Access {
            user: false,
            write: false,
            execute: true,
        },
    )?;
    // Only the machine writes there. No page of the machine's can be written by the guest.
    let data = Access {
        user: false,
        write: false,
        execute: false,
    };
    Ok(space.map(GATE.data_page(), PAGE_SIZE, data)?)
}

fn slot(table: Va, selector: u16) -> Va {
    table.wrapping_add(selector.into())
}

/// A busy 64-bit task state segment (Intel SDM volume 3, figure 8-4).
fn task_descriptor(task: Va) -> [u64; 2] {
    let base = task.0;
    let low = 0x67 | (base & 0xff_ffff) << 16 | 0x8b << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}
