//! The guest as a probe sees it from inside a run.

use super::hooks::State;
use super::registers::{Handle, Msr};
use crate::address::{Pa, Va};
use crate::machine::paging::{PAGE_SIZE, PhysicalMemory, translate};
use crate::memory::{FaultReason, MemoryFault, ReadMemory, pages};
use crate::registers::{Gpr, Registers};
use std::cell::{Cell, RefCell};
use unicorn_engine::{RegisterX86 as Reg, Unicorn};

/// The guest's physical memory, for hooks.
#[derive(Clone, Copy, Debug)]
pub struct RamView {
    start: *const u8,
    size: u64,
}

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

/// Words of physical memory, as they were read: first what was asked for, in that order, then the
/// entries of page tables on the way.
#[derive(Clone, Debug, Default)]
pub struct Words {
    list: Vec<Word>,
    tables: Vec<Word>,
    /// The memory they lie in has at least this size in bytes.
    end: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Word {
    address: u64,
    value: u64,
}

impl Words {
    /// The number of words.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn push(&mut self, address: Pa, value: u64, is_table: bool) {
        self.end = self.end.max(address.0.saturating_add(8));
        let list = match is_table {
            true => &mut self.tables,
            false => &mut self.list,
        };
        list.push(Word {
            address: address.0,
            value,
        });
    }

    fn clear(&mut self) {
        self.list.clear();
        self.tables.clear();
        self.end = 0;
    }

    /// Puts the tables' entries, each once, behind the other words.
    fn close(&mut self) {
        self.tables.sort_unstable();
        self.tables.dedup();
        self.list.append(&mut self.tables);
    }
}

/// Physical memory that notes down what is read from it.
struct Noting<'a> {
    ram: &'a RamView,
    notes: &'a RefCell<Option<Words>>,
    is_table: bool,
}

impl PhysicalMemory for Noting<'_> {
    fn size(&self) -> u64 {
        self.ram.size
    }

    fn read_u64(&self, address: Pa) -> Option<u64> {
        let value = self.ram.read_u64(address)?;
        if let Some(notes) = &mut *self.notes.borrow_mut() {
            notes.push(address, value, self.is_table);
        }
        Some(value)
    }
}

/// The translations that an [`Observed`] remembers.
const PAGES: usize = 4;
/// The words compared before all others.
const FIRST_WORDS: usize = 8;
/// In the place of a translation: no page has this number.
const NO_PAGE: (u64, u64) = (u64::MAX, 0);

/// The guest in the middle of a run. What it shows is as of the instruction it was made at.
pub struct Observed<'a> {
    handle: Handle<'a>,
    ram: RamView,
    place: Cell<Option<(Va, Pa)>>,
    rip: u64,
    /// Bytes sent through the debug port before.
    sent: u64,
    work: u64,
    /// Pages translated, each in the place of its number: the virtual page and the physical one.
    pages: [Cell<(u64, u64)>; PAGES],
    /// What has been read, if it is to be noted down.
    notes: RefCell<Option<Words>>,
}

impl<'a> Observed<'a> {
    /// The guest at `rip`.
    #[inline]
    pub(super) fn new(uc: &'a Unicorn<'_, State>, rip: u64) -> Observed<'a> {
        let state = uc.get_data();
        Observed {
            handle: Handle::of(uc),
            ram: state.ram,
            place: Cell::new(None),
            rip,
            sent: state.port.total(),
            work: state.work_at(rip),
            pages: [const { Cell::new(NO_PAGE) }; PAGES],
            notes: RefCell::new(None),
        }
    }

    /// Does something, and gives with its result all words of physical memory that it read: those of
    /// the page tables, and those at the addresses it asked for. As long as none of them changes (and
    /// CR3 does not), doing it again gives the same result. `None` for the words if it read something
    /// that is not made of words.
    ///
    /// The words are put into `words`, whose contents are dropped.
    pub fn noting<T>(&self, mut words: Words, what: impl FnOnce() -> T) -> (T, Option<Words>) {
        self.pages.iter().for_each(|page| page.set(NO_PAGE));
        words.clear();
        self.notes.replace(Some(words));
        let result = what();
        let mut words = self.notes.take();
        if let Some(words) = &mut words {
            words.close();
        }
        (result, words)
    }

    /// Whether all words are as they were read.
    #[inline]
    pub fn unchanged(&self, words: &Words) -> bool {
        if words.end > self.ram.size {
            return false;
        }
        // The first words differ if any does, mostly.
        let (first, rest) = words.list.split_at(words.list.len().min(FIRST_WORDS));
        self.difference(first) == 0 && self.difference(rest) == 0
    }

    /// Zero if the words are as they were read. They lie inside of the memory.
    #[inline]
    fn difference(&self, words: &[Word]) -> u64 {
        let mut difference = 0;
        for word in words {
            // SAFETY: whoever calls this has checked that the end of the last word is inside of the
            // memory that the view was promised. A word need not be aligned.
            let value = unsafe {
                let place = self.ram.start.add(word.address as usize);
                place.cast::<[u8; 8]>().read()
            };
            difference |= u64::from_le_bytes(value) ^ word.value;
        }
        difference
    }

    /// Notes down that bytes were read.
    #[cold]
    fn note(&self, from: Pa, length: usize) {
        let mut notes = self.notes.borrow_mut();
        let Some(words) = &mut *notes else {
            return;
        };
        let (first, last) = (from.0, from.0 + length as u64);
        for at in (first..last).step_by(8) {
            // The last one may reach back over the one before.
            let address = Pa(at.min(last.saturating_sub(8)));
            match self.ram.read_u64(address) {
                Some(value) if address.0 >= first => words.push(address, value, false),
                _ => {
                    *notes = None;
                    return;
                }
            }
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

    /// Three registers; with [`place`](Self::place) afterwards, all are read at once, which costs less
    /// than one after the other.
    #[inline]
    pub fn three_registers(&self, registers: [Gpr; 3]) -> [u64; 3] {
        let (rsp, root, values) = self.handle.place_and(registers);
        self.place.set(Some((Va(rsp), Pa(root))));
        values
    }

    /// Where the guest is: the stack pointer and CR3.
    #[inline]
    pub fn place(&self) -> (Va, Pa) {
        self.place.get().unwrap_or_else(|| {
            let (rsp, root) = self.handle.place();
            let place = (Va(rsp), Pa(root));
            self.place.set(Some(place));
            place
        })
    }

    /// All registers.
    pub fn registers(&self) -> Registers {
        Registers {
            rip: self.rip,
            ..self.handle.registers()
        }
    }

    /// How many bytes the guest has sent through the debug port.
    pub fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// Work done since the machine was made, in bytes of code retired.
    #[inline]
    pub fn work(&self) -> u64 {
        self.work
    }

    /// The top page table (CR3).
    #[inline]
    pub fn root(&self) -> Pa {
        self.place().1
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
        let tables = Noting {
            ram: &self.ram,
            notes: &self.notes,
            is_table: true,
        };
        let physical = translate(&tables, self.root(), address)?.physical;
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
            let length = part.len();
            if !self.ram.copy(source, &mut buffer[part]) {
                return Err(fault(FaultReason::OutsideRam { physical: source.0 }));
            }
            self.note(source, length);
        }
        Ok(())
    }

    #[inline]
    fn read_u64(&self, address: Va) -> Result<u64, MemoryFault> {
        if address.0 % PAGE_SIZE <= PAGE_SIZE - 8
            && let Ok(physical) = self.physical(address)
            && let Some(value) = (Noting {
                ram: &self.ram,
                notes: &self.notes,
                is_table: false,
            })
            .read_u64(physical)
        {
            return Ok(value);
        }
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
