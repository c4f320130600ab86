//! The boot loader's part: images bound and mapped, structures laid out, the processor ready to
//! start the kernel. From there on the guest does everything itself.

use super::arena::Arena;
use super::images::GuestImages;
use super::layout::{self, BOOT_PROCESSOR, Bases, PROCESSORS};
use super::module_list::{LINKS, put_entry};
use super::providers::{Provider, find_provided};
use super::requests::service_path;
use super::unprovided::{BoundImports, Provisions};
use super::{LabError, processor, shared_user_data, user_process};
use crate::address::Va;
use crate::image::PeImage;
use crate::image::binding::bind_imports_to;
use crate::image::load_config::DEFAULT_SECURITY_COOKIE;
use crate::image::section::Section;
use crate::machine::paging::{Access, AddressSpaceBuilder, PAGE_SIZE};
use crate::machine::{GuestRam, Machine, Start, find_task_priority_sites};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Offsets in `_LOADER_PARAMETER_BLOCK` of Windows 7 x64.
mod block {
    pub const SIZE: usize = 0xc0;
    pub const OS_MAJOR_VERSION: u64 = 0x0;
    pub const OS_MINOR_VERSION: u64 = 0x4;
    pub const BLOCK_SIZE: u64 = 0x8;
    pub const LOAD_ORDER_LIST: u64 = 0x10;
    pub const MEMORY_DESCRIPTORS: u64 = 0x20;
    pub const BOOT_DRIVERS: u64 = 0x30;
    pub const KERNEL_STACK: u64 = 0x40;
    pub const PRCB: u64 = 0x48;
    pub const REGISTRY_LENGTH: u64 = 0x60;
    pub const REGISTRY_BASE: u64 = 0x68;
    pub const EXTENSION: u64 = 0xb8;
}

/// Offsets in this project's own `_LOADER_PARAMETER_EXTENSION` (guest/include/ntos.h).
mod extension {
    pub const SIZE: usize = 0x88;
    pub const PROCESSOR_COUNT: u64 = 0x4;
    pub const PCR: u64 = 0x8;
    pub const IDLE_STACK: u64 = 0x18;
    pub const THREAD_STACK: u64 = 0x28;
    pub const THREAD_STACK_LIMIT: u64 = 0x30;
    pub const USER_ENTRY: u64 = 0x38;
    pub const USER_STACK_POINTER: u64 = 0x40;
    pub const TEB: u64 = 0x48;
    pub const PEB: u64 = 0x50;
    pub const IMAGE_BASE: u64 = 0x58;
    pub const DIRECTORY_TABLE_BASE: u64 = 0x60;
    pub const IMAGE_NAME: u64 = 0x68;
    pub const NONPAGED_POOL_LIMIT: u64 = 0x78;
    pub const PAGED_POOL_LIMIT: u64 = 0x80;
}

/// `_KPCR.Irql`, where the kernel keeps the interrupt request level: CR8's value.
const PCR_IRQL: u64 = 0x50;
/// The most places in one image that may use CR8: each costs the engine a hook. The largest drivers have
/// some hundreds.
const TASK_PRIORITY_SITES: usize = 1 << 14;

/// What the pools may have, in bytes; 0 leaves it to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct PoolLimits {
    pub nonpaged: u64,
    pub paged: u64,
}

/// Lays the guest out in `ram`, and gives the machine that is about to start its kernel and the
/// imports that no image provides.
pub(super) fn load(
    ram: GuestRam,
    images: &GuestImages,
    bases: &Bases,
    limits: PoolLimits,
    registry: &[u8],
    provisions: &Provisions,
) -> Result<(Machine, BoundImports), LabError> {
    let mut space = AddressSpaceBuilder::new(&ram)?;
    let placed = place(images, bases);
    let mut bound = BoundImports::default();
    let mut sites = Vec::new();
    for &image in &placed {
        map_image(
            &mut space, image, &placed, provisions, &mut bound, &mut sites,
        )?;
    }
    processor::map(&mut space)?;
    shared_user_data::map(&mut space)?;
    for top in layout::IDLE_STACK.into_iter().chain([layout::THREAD_STACK]) {
        let start = top.wrapping_sub(layout::KERNEL_STACK_SIZE);
        space.map(start, layout::KERNEL_STACK_SIZE, Access::KERNEL_DATA)?;
    }
    user_process::map(&mut space, images, bases)?;
    let argument = put_loader_block(&mut space, images, bases, limits, registry)?;
    let stack = layout::IDLE_STACK[BOOT_PROCESSOR].wrapping_sub(0x8);
    let start = Start {
        root: space.root(),
        gdt: layout::DESCRIPTORS[BOOT_PROCESSOR],
        gdt_length: processor::GDT_LENGTH,
        task_selector: processor::TASK_SELECTOR,
        task: layout::DESCRIPTORS[BOOT_PROCESSOR].wrapping_add(layout::TASK_OFFSET),
        gate: layout::GATE,
        gs_base: layout::PCR[BOOT_PROCESSOR],
        entry: bases.kernel + images.kernel.image.entry_point(),
        stack,
        argument: argument.0,
    };
    let mut machine = Machine::new(ram, &start)?;
    machine.set_task_priority(layout::PCR[BOOT_PROCESSOR].wrapping_add(PCR_IRQL), sites)?;
    Ok((machine, bound))
}

/// Everything loaded, the kernel first.
fn place<'a>(images: &'a GuestImages, bases: &Bases) -> Vec<Provider<'a>> {
    let is_user = |at: usize| at >= 2;
    let placed = bases.place(images).into_iter().enumerate();
    let placed = placed.map(|(at, (file, base))| (&*file.image, base, is_user(at)));
    placed.collect()
}

fn map_image(
    space: &mut AddressSpaceBuilder<'_>,
    (image, base, user): Provider<'_>,
    placed: &[Provider<'_>],
    provisions: &Provisions,
    bound: &mut BoundImports,
    sites: &mut Vec<Va>,
) -> Result<(), LabError> {
    let mut bytes = image.layout(base)?;
    let importer: Arc<str> = image.name().into();
    bind_imports_to(image, &mut bytes, &mut |import| {
        let found = find_provided(import, user, placed);
        if user {
            found
        } else {
            bound.bind(provisions, &importer, import, found)
        }
    })?;
    if !user {
        set_security_cookie(image, base, &mut bytes);
    }
    let first_section = image.sections().iter().map(|section| section.rva.0).min();
    let headers = first_section
        .unwrap_or(image.size_of_image())
        .min(bytes.len() as u32);
    let read_only = Access {
        user,
        write: false,
        execute: false,
    };
    space.map(base, headers.into(), read_only)?;
    for section in image.sections() {
        space.map(
            base + section.rva,
            section.virtual_size.into(),
            access_to(section, user),
        )?;
    }
    // Gaps between the sections are in `bytes` but not in memory.
    write_mapped(space, base, &bytes[..headers as usize])?;
    for section in image.sections() {
        let start = section.rva.0 as usize;
        let end = (start + section.virtual_size as usize).min(bytes.len());
        write_mapped(
            space,
            base + section.rva,
            bytes.get(start..end).unwrap_or_default(),
        )?;
        if !user && section.executable {
            let code = bytes.get(start..end).unwrap_or_default();
            note_task_priority_sites(image, code, base + section.rva, sites)?;
        }
    }
    Ok(())
}

/// Adds the places in a section of code that may use CR8.
fn note_task_priority_sites(
    image: &PeImage,
    code: &[u8],
    at: Va,
    sites: &mut Vec<Va>,
) -> Result<(), LabError> {
    let limit = sites.len() + TASK_PRIORITY_SITES;
    let found = find_task_priority_sites(code, at);
    sites.extend(found.take(limit + 1 - sites.len()));
    if sites.len() > limit {
        return Err(LabError::TaskPriority {
            image: image.name().to_owned(),
            limit: TASK_PRIORITY_SITES,
        });
    }
    Ok(())
}

/// Sets the image's `__security_cookie` if nobody has, as Windows' loader does since Windows 8;
/// drivers built for that stop at once without it. It is another for each image and base, and the
/// same each time. The upper two bytes are zero, as Microsoft's compiler wants them.
fn set_security_cookie(image: &PeImage, base: Va, bytes: &mut [u8]) {
    let Some(place) = image.security_cookie() else {
        return;
    };
    let place = place.0 as usize..place.0 as usize + 8;
    let Some(cookie) = bytes.get_mut(place) else {
        return;
    };
    if *cookie == DEFAULT_SECURITY_COOKIE.to_le_bytes() {
        let seed = [u64::from(image.timestamp()), image.checksum().into()];
        let seed: Vec<u8> = seed.iter().flat_map(|word| word.to_le_bytes()).collect();
        let value = xxh3_64_with_seed(&seed, base.0) & 0xffff_ffff_ffff;
        // Neither zero nor the default.
        let taken = value == 0 || value == DEFAULT_SECURITY_COOKIE;
        cookie.copy_from_slice(&(value + u64::from(taken)).to_le_bytes());
    }
}

fn access_to(section: &Section, user: bool) -> Access {
    Access {
        user,
        write: section.writable,
        execute: section.executable,
    }
}

/// Writes page by page what is not zero: fresh memory is zero already.
fn write_mapped(space: &AddressSpaceBuilder<'_>, base: Va, bytes: &[u8]) -> Result<(), LabError> {
    static ZEROS: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
    for (at, part) in crate::memory::pages(base, bytes.len()) {
        let page = &bytes[part];
        if page != &ZEROS[..page.len()] {
            space.write(at, page).map_err(|reason| LabError::Layout {
                address: at,
                reason,
            })?;
        }
    }
    Ok(())
}

/// Maps and writes what an arena holds.
pub(super) fn put_arena(
    space: &mut AddressSpaceBuilder<'_>,
    arena: &Arena,
    access: Access,
) -> Result<(), LabError> {
    space.map(arena.base(), arena.bytes().len() as u64, access)?;
    write_mapped(space, arena.base(), arena.bytes())
}

/// Writes the loader parameter block and all it points to; gives its address.
fn put_loader_block(
    space: &mut AddressSpaceBuilder<'_>,
    images: &GuestImages,
    bases: &Bases,
    limits: PoolLimits,
    registry: &[u8],
) -> Result<Va, LabError> {
    let mut arena = Arena::new(layout::LOADER_DATA);
    let at = arena.allocate(block::SIZE);
    let field = |offset: u64| at.wrapping_add(offset);
    arena.put_u32(field(block::OS_MAJOR_VERSION), 6);
    arena.put_u32(field(block::OS_MINOR_VERSION), 1);
    arena.put_u32(field(block::BLOCK_SIZE), block::SIZE as u32);
    let stack = layout::IDLE_STACK[BOOT_PROCESSOR];
    arena.put_u64(field(block::KERNEL_STACK), stack.0);
    arena.put_u64(field(block::PRCB), layout::PCR[BOOT_PROCESSOR].0 + 0x180);

    let kernel = put_entry(
        &mut arena,
        &images.kernel.image,
        bases.kernel,
        "\\SystemRoot\\system32\\",
    );
    let driver = put_entry(
        &mut arena,
        &images.driver.image,
        bases.driver,
        "\\SystemRoot\\system32\\drivers\\",
    );
    for (offset, list) in LINKS.into_iter().zip([block::LOAD_ORDER_LIST, 0, 0]) {
        let links = [kernel, driver].map(|entry| entry.wrapping_add(offset));
        let head = if offset == 0 {
            field(list)
        } else {
            arena.allocate(16)
        };
        arena.link_list(head, &links);
    }

    // _BOOT_DRIVER_LIST_ENTRY: links, file path, registry path, module entry
    let boot_driver = arena.allocate(0x38);
    arena.put_unicode_string(
        boot_driver.wrapping_add(0x10),
        &format!("\\SystemRoot\\system32\\drivers\\{}", images.driver.name()),
    );
    arena.put_unicode_string(
        boot_driver.wrapping_add(0x20),
        &service_path(images.driver.name()),
    );
    arena.put_u64(boot_driver.wrapping_add(0x30), driver.0);
    arena.link_list(field(block::BOOT_DRIVERS), &[boot_driver]);

    let records = arena.allocate(registry.len());
    arena.put_bytes(records, registry);
    arena.put_u32(field(block::REGISTRY_LENGTH), registry.len() as u32);
    arena.put_u64(field(block::REGISTRY_BASE), records.0);

    let extension = put_extension(&mut arena, space, images, bases);
    arena.put_u64(
        extension.wrapping_add(extension::NONPAGED_POOL_LIMIT),
        limits.nonpaged,
    );
    arena.put_u64(
        extension.wrapping_add(extension::PAGED_POOL_LIMIT),
        limits.paged,
    );
    arena.put_u64(field(block::EXTENSION), extension.0);

    // _MEMORY_ALLOCATION_DESCRIPTOR: links, type (LoaderFree), first page, count. All other
    // memory is in use by the time the kernel looks, so no more of it is described.
    let memory = arena.allocate(0x28);
    arena.link_list(field(block::MEMORY_DESCRIPTORS), &[memory]);
    arena.put_u32(memory.wrapping_add(0x10), 2);
    space.map(
        arena.base(),
        arena.bytes().len() as u64,
        Access::KERNEL_DATA,
    )?;
    let first_free = space.first_free_page();
    arena.put_u64(memory.wrapping_add(0x18), first_free);
    arena.put_u64(
        memory.wrapping_add(0x20),
        space.page_count().saturating_sub(first_free),
    );
    put_arena(space, &arena, Access::KERNEL_DATA)?;
    Ok(at)
}

fn put_extension(
    arena: &mut Arena,
    space: &AddressSpaceBuilder<'_>,
    images: &GuestImages,
    bases: &Bases,
) -> Va {
    let at = arena.allocate(extension::SIZE);
    let field = |offset: u64| at.wrapping_add(offset);
    arena.put_u32(at, extension::SIZE as u32);
    arena.put_u32(field(extension::PROCESSOR_COUNT), PROCESSORS as u32);
    for processor in 0..PROCESSORS {
        let slot = processor as u64 * 8;
        arena.put_u64(field(extension::PCR + slot), layout::PCR[processor].0);
        arena.put_u64(
            field(extension::IDLE_STACK + slot),
            layout::IDLE_STACK[processor].0,
        );
    }
    let entry = bases.program + images.program.image.entry_point();
    let limit = layout::THREAD_STACK.wrapping_sub(layout::KERNEL_STACK_SIZE);
    for (offset, value) in [
        (extension::THREAD_STACK, layout::THREAD_STACK.0),
        (extension::THREAD_STACK_LIMIT, limit.0),
        (extension::USER_ENTRY, entry.0),
        (extension::USER_STACK_POINTER, layout::USER_STACK_POINTER.0),
        (extension::TEB, layout::TEB.0),
        (extension::PEB, layout::PEB.0),
        (extension::IMAGE_BASE, bases.program.0),
        (extension::DIRECTORY_TABLE_BASE, space.root().0),
    ] {
        arena.put_u64(field(offset), value);
    }
    let name: Vec<u8> = images.program.name().bytes().take(15).collect();
    arena.put_bytes(field(extension::IMAGE_NAME), &name);
    at
}
