//! x64 paging with four levels (Intel SDM volume 3, 4.5): building tables, and walking them.

use super::ram::GuestRam;
use crate::address::{Pa, Va};
use crate::memory::FaultReason;

/// Bits of a page-table entry.
pub mod entry {
    /// The entry is in use.
    pub const PRESENT: u64 = 1;
    /// The page may be written.
    pub const WRITE: u64 = 2;
    /// User mode may use the page.
    pub const USER: u64 = 4;
    /// A large page (in a PDE or PDPTE).
    pub const LARGE: u64 = 0x80;
    /// Code in the page must not run.
    pub const NO_EXECUTE: u64 = 1 << 63;
    /// The physical address.
    pub const FRAME: u64 = 0x000f_ffff_ffff_f000;
}

/// The size of a page in bytes.
pub const PAGE_SIZE: u64 = 0x1000;

/// The PML4 slot through which Windows maps the page tables themselves: it makes the PTE of
/// address 0 appear at `fffff680'00000000` (`nt!MmPteBase` of Windows 7).
pub const SELF_MAP_SLOT: u64 = 0x1ed;

/// Physical memory that page tables lie in.
pub trait PhysicalMemory {
    /// The size in bytes.
    fn size(&self) -> u64;
    /// The 64-bit value at an address, if it is inside.
    fn read_u64(&self, address: Pa) -> Option<u64>;
}

impl PhysicalMemory for GuestRam {
    fn size(&self) -> u64 {
        GuestRam::size(self)
    }

    fn read_u64(&self, address: Pa) -> Option<u64> {
        GuestRam::read_u64(self, address)
    }
}

/// What a walk through the tables found for an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// The physical address of the byte asked for.
    pub physical: Pa,
    /// Whether user mode may use it, by the entries of all levels.
    pub user: bool,
    /// Whether it may be written, by the entries of all levels.
    pub write: bool,
    /// Whether code there may run.
    pub execute: bool,
}

/// Walks the tables at `root` (the value of CR3) for `address`.
///
/// # Errors
/// The address is not canonical, an entry is not present, or a table lies outside of memory.
///
/// ```
/// use poolhit::{address::{Pa, Va}, machine::{GuestRam, paging}, memory::FaultReason};
/// let ram = GuestRam::new(0x10000)?;
/// let fault = paging::translate(&ram, Pa(0), Va(0x1000)).unwrap_err();
/// assert_eq!(fault, FaultReason::NotPresent { level: 4 });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn translate<M: PhysicalMemory>(
    ram: &M,
    root: Pa,
    address: Va,
) -> Result<Translation, FaultReason> {
    if !address.is_canonical() {
        return Err(FaultReason::NotCanonical);
    }
    let mut table = root.0 & entry::FRAME;
    let (mut user, mut write, mut execute) = (true, true, true);
    for level in (1..=4).rev() {
        let shift = 12 + 9 * (level - 1);
        let slot = Pa(table + ((address.0 >> shift) & 0x1ff) * 8);
        let value = ram
            .read_u64(slot)
            .ok_or(FaultReason::OutsideRam { physical: slot.0 })?;
        if value & entry::PRESENT == 0 {
            return Err(FaultReason::NotPresent { level: level as u8 });
        }
        user &= value & entry::USER != 0;
        write &= value & entry::WRITE != 0;
        execute &= value & entry::NO_EXECUTE == 0;
        let large = level > 1 && level < 4 && value & entry::LARGE != 0;
        if level == 1 || large {
            let inside = (1u64 << shift) - 1;
            let physical = Pa((value & entry::FRAME & !inside) | (address.0 & inside));
            if physical.0 >= ram.size() {
                return Err(FaultReason::OutsideRam {
                    physical: physical.0,
                });
            }
            return Ok(Translation {
                physical,
                user,
                write,
                execute,
            });
        }
        table = value & entry::FRAME;
    }
    // Level 1 has returned.
    Err(FaultReason::NotPresent { level: 0 })
}

/// What may be done with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// User mode may use it.
    pub user: bool,
    /// It may be written.
    pub write: bool,
    /// Code in it may run.
    pub execute: bool,
}

impl Access {
    /// Data of the kernel: read and write.
    pub const KERNEL_DATA: Access = Access {
        user: false,
        write: true,
        execute: false,
    };
    /// Data of user mode: read and write.
    pub const USER_DATA: Access = Access {
        user: true,
        write: true,
        execute: false,
    };

    fn bits(self) -> u64 {
        entry::PRESENT
            | if self.write { entry::WRITE } else { 0 }
            | if self.user { entry::USER } else { 0 }
            | if self.execute { 0 } else { entry::NO_EXECUTE }
    }
}

/// Physical memory ran out while an address space was laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the guest's {} MiB of memory are too small for what is loaded into it", .size >> 20)]
pub struct OutOfMemory {
    /// The size of physical memory in bytes.
    pub size: u64,
}

/// Lays out an address space in fresh memory: hands out pages from the bottom up and enters them
/// into the tables. What is left goes to the guest.
#[derive(Debug)]
pub struct AddressSpaceBuilder<'a> {
    ram: &'a GuestRam,
    root: Pa,
    next: u64,
}

impl<'a> AddressSpaceBuilder<'a> {
    /// An empty address space whose tables map themselves at [`SELF_MAP_SLOT`].
    ///
    /// # Errors
    /// The memory is too small for a table.
    ///
    /// ```
    /// use poolhit::machine::{GuestRam, paging::AddressSpaceBuilder};
    /// let ram = GuestRam::new(0x10000)?;
    /// let space = AddressSpaceBuilder::new(&ram).unwrap();
    /// assert_eq!(space.root().0, 0x1000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(ram: &'a GuestRam) -> Result<Self, OutOfMemory> {
        // Page 0 stays unused, so that a zero entry can never be mistaken for a page.
        let mut space = AddressSpaceBuilder {
            ram,
            root: Pa(0),
            next: PAGE_SIZE,
        };
        space.root = space.page()?;
        let own = space.root.0 | entry::PRESENT | entry::WRITE;
        space.set(Pa(space.root.0 + SELF_MAP_SLOT * 8), own);
        Ok(space)
    }

    /// The physical address of the top table: the value for CR3.
    pub fn root(&self) -> Pa {
        self.root
    }

    /// The number of physical pages there are.
    pub fn page_count(&self) -> u64 {
        self.ram.size() / PAGE_SIZE
    }

    /// The first physical page that is not in use, as a page number.
    pub fn first_free_page(&self) -> u64 {
        self.next / PAGE_SIZE
    }

    fn set(&self, at: Pa, value: u64) {
        // Tables come from `page`, which has checked them.
        let inside = self.ram.write(at, &value.to_le_bytes());
        debug_assert!(inside, "a table outside of memory");
    }

    fn page(&mut self) -> Result<Pa, OutOfMemory> {
        let page = self.next;
        if page + PAGE_SIZE > self.ram.size() {
            return Err(OutOfMemory {
                size: self.ram.size(),
            });
        }
        self.next += PAGE_SIZE;
        Ok(Pa(page))
    }

    /// Maps fresh zeroed pages over `[address, address + length)`; pages already mapped stay, and
    /// are opened further where `access` asks for more.
    ///
    /// # Errors
    /// Physical memory runs out.
    ///
    /// # Panics
    /// Never: an address in the middle of a page means that whole page.
    pub fn map(&mut self, address: Va, length: u64, access: Access) -> Result<(), OutOfMemory> {
        let first = address.0 & !(PAGE_SIZE - 1);
        let last = address.0.wrapping_add(length.max(1) - 1) & !(PAGE_SIZE - 1);
        let mut page = first;
        loop {
            self.map_page(Va(page), access)?;
            if page == last {
                return Ok(());
            }
            page = page.wrapping_add(PAGE_SIZE);
        }
    }

    /// Maps the page of memory that `page` is in at `address`, whatever was there.
    ///
    /// # Errors
    /// Physical memory runs out.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// use poolhit::machine::{GuestRam, paging::{Access, AddressSpaceBuilder}};
    /// let ram = GuestRam::new(0x10000)?;
    /// let mut space = AddressSpaceBuilder::new(&ram)?;
    /// space.map(Va(0x1000), 1, Access::USER_DATA)?;
    /// let page = space.physical(Va(0x1000)).unwrap();
    /// space.map_physical(Va(0x5000), page, Access::USER_DATA)?;
    /// assert_eq!(space.physical(Va(0x5008)).unwrap().0, page.0 + 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_physical(
        &mut self,
        address: Va,
        page: Pa,
        access: Access,
    ) -> Result<(), OutOfMemory> {
        let slot = self.slot(address, access.user)?;
        self.set(slot, page.0 & entry::FRAME | access.bits());
        Ok(())
    }

    /// What is mapped at an address.
    ///
    /// # Errors
    /// Nothing is.
    pub fn physical(&self, address: Va) -> Result<Pa, FaultReason> {
        Ok(translate(self.ram, self.root, address)?.physical)
    }

    fn map_page(&mut self, address: Va, access: Access) -> Result<(), OutOfMemory> {
        let slot = self.slot(address, access.user)?;
        let value = self.ram.read_u64(slot).unwrap_or(0);
        let bits = access.bits();
        if value & entry::PRESENT == 0 {
            let page = self.page()?.0;
            self.set(slot, page | bits);
        } else {
            let executable = !(value & bits) | !entry::NO_EXECUTE;
            self.set(slot, (value | bits) & executable);
        }
        Ok(())
    }

    /// The page's entry in the lowest table, with the tables above it there and open to user mode if
    /// it is to be.
    fn slot(&mut self, address: Va, user: bool) -> Result<Pa, OutOfMemory> {
        let mut table = self.root.0;
        for level in (2..=4).rev() {
            let slot = Pa(table + ((address.0 >> (12 + 9 * (level - 1))) & 0x1ff) * 8);
            let value = self.ram.read_u64(slot).unwrap_or(0);
            table = if value & entry::PRESENT == 0 {
                self.page()?.0
            } else {
                value & entry::FRAME
            };
            let user = value & entry::USER | if user { entry::USER } else { 0 };
            self.set(slot, table | entry::PRESENT | entry::WRITE | user);
        }
        Ok(Pa(table + ((address.0 >> 12) & 0x1ff) * 8))
    }

    /// Writes into pages that are mapped.
    ///
    /// # Errors
    /// Why the first byte that cannot be written cannot.
    pub fn write(&self, address: Va, bytes: &[u8]) -> Result<(), FaultReason> {
        for (at, part) in crate::memory::pages(address, bytes.len()) {
            let target = translate(self.ram, self.root, at)?;
            if !self.ram.write(target.physical, &bytes[part]) {
                return Err(FaultReason::OutsideRam {
                    physical: target.physical.0,
                });
            }
        }
        Ok(())
    }
}
