//! The guest as a probe sees it from inside a run.

use super::hooks::State;
use super::registers::{Handle, Msr};
use crate::address::{Pa, Va};
use crate::machine::paging::{PAGE_SIZE, PhysicalMemory, translate};
use crate::memory::{FaultReason, MemoryFault, ReadMemory, pages};
use crate::registers::{Gpr, Registers};
use std::cell::Cell;
use unicorn_engine::{RegisterX86 as Reg, Unicorn};

/// The guest's physical memory, for hooks.
#[derive(Clone, Copy, Debug)]
pub struct RamView {
    start: *const u8,
    size: u64,
}

// SAFETY: a pointer and a size; reading through it is safe where the engine is.
unsafe impl Send for RamView {}

impl RamView {
    /// # Safety
    /// `start` is the first of `size` bytes that can be read as long as the view, and copies of it,
    /// are used, by the thread that runs the engine.
    pub unsafe fn new(start: *const u8, size: u64) -> RamView {
        RamView { start, size }
    }

    fn copy(&self, from: Pa, buffer: &mut [u8]) -> bool {
        let end = from.0.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return false;
        }
        // SAFETY: the range lies in the memory that `new` was promised; the buffer is Rust's own.
        unsafe {
            let source = self.start.add(from.0 as usize);
            std::ptr::copy_nonoverlapping(source, buffer.as_mut_ptr(), buffer.len());
        }
        true
    }
}

impl PhysicalMemory for RamView {
    fn size(&self) -> u64 {
        self.size
    }

    #[inline]
    fn read_u64(&self, address: Pa) -> Option<u64> {
        let mut bytes = [0; 8];
        self.copy(address, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }
}

/// The translations that an [`Observed`] remembers.
const PAGES: usize = 4;

/// The guest in the middle of a run. What it shows is as of the instruction it was made at.
pub struct Observed<'a> {
    handle: Handle<'a>,
    ram: RamView,
    root: Cell<Option<Pa>>,
    rip: u64,
    work: u64,
    /// Pages translated, each in the place of its number: the virtual page and the physical one.
    pages: [Cell<(u64, u64)>; PAGES],
}

impl<'a> Observed<'a> {
    /// The guest at `rip`.
    #[inline]
    pub(super) fn new(uc: &'a Unicorn<'_, State>, rip: u64) -> Observed<'a> {
        let state = uc.get_data();
        Observed {
            handle: Handle::of(uc),
            ram: state.ram,
            root: Cell::new(None),
            rip,
            work: state.work_at(rip),
            pages: [const { Cell::new((u64::MAX, 0)) }; PAGES],
        }
    }

    /// The instruction that is about to execute.
    #[inline]
    pub fn rip(&self) -> u64 {
        self.rip
    }

    /// A general-purpose register.
    #[inline]
    pub fn register(&self, register: Gpr) -> u64 {
        self.handle.gpr(register)
    }

    /// All registers.
    pub fn registers(&self) -> Registers {
        Registers {
            rip: self.rip,
            ..self.handle.registers()
        }
    }

    /// Work done since the machine was made, in bytes of code retired.
    #[inline]
    pub fn work(&self) -> u64 {
        self.work
    }

    /// The top page table (CR3).
    #[inline]
    pub fn root(&self) -> Pa {
        self.root.get().unwrap_or_else(|| {
            let root = Pa(self.handle.read(Reg::CR3));
            self.root.set(Some(root));
            root
        })
    }

    /// The current privilege level.
    pub fn privilege_level(&self) -> u8 {
        (self.handle.read(Reg::CS) & 3) as u8
    }

    /// The base of GS, and the one that `swapgs` would bring.
    pub fn gs_bases(&self) -> [Va; 2] {
        [Msr::GsBase, Msr::KernelGsBase].map(|msr| Va(self.handle.msr(msr)))
    }

    /// The physical address of a byte.
    #[inline]
    fn physical(&self, address: Va) -> Result<Pa, FaultReason> {
        let number = address.0 / PAGE_SIZE;
        let place = &self.pages[number as usize % PAGES];
        let (known, page) = place.get();
        let inside = address.0 % PAGE_SIZE;
        if known == number {
            return Ok(Pa(page + inside));
        }
        let physical = translate(&self.ram, self.root(), address)?.physical;
        place.set((number, physical.0 - inside));
        Ok(physical)
    }
}

impl ReadMemory for Observed<'_> {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        for (at, part) in pages(address, buffer.len()) {
            let done = part.start;
            let fault = |reason| MemoryFault {
                address: at,
                reason,
                done,
            };
            let source = self.physical(at).map_err(fault)?;
            if !self.ram.copy(source, &mut buffer[part]) {
                return Err(fault(FaultReason::OutsideRam { physical: source.0 }));
            }
        }
        Ok(())
    }

    #[inline]
    fn read_u64(&self, address: Va) -> Result<u64, MemoryFault> {
        if address.0 % PAGE_SIZE <= PAGE_SIZE - 8
            && let Ok(physical) = self.physical(address)
            && let Some(value) = self.ram.read_u64(physical)
        {
            return Ok(value);
        }
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
