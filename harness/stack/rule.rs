//! What unwinding one frame does, as a rule that can be kept and applied again.
//!
//! A rule is not written down a second time: the [unwinder](super::unwinder) runs once on symbols
//! in place of values. Every register starts as a symbol, and so does every value it reads from the
//! stack; where the caller's registers come from can then be read off the result. So a rule is right
//! as long as the unwinder is.
//!
//! A frame's way depends on its code address alone, but for an instruction pointer also on the code
//! there, which may be an epilogue's; [`Rule::of`] says how much of it was looked at.

use super::frame::FrameTrust;
use super::modules::UnwindModules;
use super::unwinder::unwind;
use crate::address::{CodeAddress, Va};
use crate::memory::{FaultReason, MemoryFault, ReadMemory};
use crate::registers::{Gpr, Registers};
use std::cell::{Cell, RefCell};

/// The registers that functions keep for their callers, but for RSP (Microsoft, *x64 calling
/// convention*, "Caller/callee saved registers").
pub const NONVOLATILE: [Gpr; 8] = [
    Gpr::Rbx,
    Gpr::Rbp,
    Gpr::Rsi,
    Gpr::Rdi,
    Gpr::R12,
    Gpr::R13,
    Gpr::R14,
    Gpr::R15,
];

/// The offset of a register that is not saved.
const NOT_SAVED: i32 = i32::MIN;

/// How a frame's caller is found. Places are offsets from [`Rule::base`]'s value in the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The register that all places are counted from: RSP, or the frame register.
    pub base: Gpr,
    /// How the caller is found.
    pub trust: FrameTrust,
    /// Where the caller's RIP is.
    pub rip: i32,
    /// The caller's RSP; behind a machine frame, where it is.
    pub rsp: i32,
    /// The lowest byte that unwinding the frame reads, and the one behind the highest: it reads all
    /// that the frame has saved, vector registers too.
    pub extent: (i32, i32),
    /// Where the registers of [`NONVOLATILE`] are.
    saved: [i32; NONVOLATILE.len()],
}

impl Rule {
    /// The rule for code that is in no image: as in a leaf function, what is at the stack pointer is taken for
    /// a return address.
    ///
    /// ```
    /// use poolhit::stack::{frame::FrameTrust, rule::Rule};
    /// assert_eq!((Rule::GUESS.rip, Rule::GUESS.trust), (0, FrameTrust::Guess));
    /// ```
    pub const GUESS: Rule = Rule {
        base: Gpr::Rsp,
        trust: FrameTrust::Guess,
        rip: 0,
        rsp: 8,
        extent: (0, 8),
        saved: [NOT_SAVED; NONVOLATILE.len()],
    };

    /// The rule for the frame that `code` is in, if it has one: what unwinding does there is plain
    /// (all places are at constant distances from one register); and how many bytes of code, from
    /// the frame's instruction pointer on, it holds for: with others there, it may not.
    ///
    /// `memory` is read for code only.
    ///
    /// ```
    /// # use poolhit::image::function_table::ImageBytes;
    /// # use poolhit::memory::{FaultReason, MemoryFault, ReadMemory};
    /// # use poolhit::{address::{CodeAddress, Va}, registers::Gpr};
    /// # use poolhit::stack::{modules::UnwindModules, rule::Rule};
    /// # struct NoImages;
    /// # impl UnwindModules for NoImages {
    /// #     fn find(&self, _: Va) -> Option<(Va, &dyn ImageBytes)> { None }
    /// # }
    /// # struct Nothing;
    /// # impl ReadMemory for Nothing {
    /// #     fn read(&self, address: Va, _: &mut [u8]) -> Result<(), MemoryFault> {
    /// #         let reason = FaultReason::NotPresent { level: 0 };
    /// #         Err(MemoryFault { address, reason, done: 0 })
    /// #     }
    /// # }
    /// // A leaf function's return address is at the stack pointer.
    /// let code = CodeAddress::ReturnAddress(Va(0x1000));
    /// let (rule, code_bytes) = Rule::of(code, &Nothing, &NoImages).unwrap();
    /// assert_eq!((rule.base, rule.rip, rule.rsp), (Gpr::Rsp, 0, 8));
    /// assert_eq!(code_bytes, 0);
    /// assert_eq!(rule.saved(Gpr::Rbx), None);
    /// ```
    pub fn of(
        code: CodeAddress,
        memory: &dyn ReadMemory,
        modules: &dyn UnwindModules,
    ) -> Option<(Rule, usize)> {
        let symbols = Symbols::new(code.address(), memory);
        let start = Symbols::registers();
        let unwound = unwind(&start, code, &symbols, modules).ok()?;
        if symbols.odd.get() {
            return None;
        }
        let mut places = Places { base: None };
        let caller = &unwound.registers;
        let rip = places.slot(&symbols, caller.rip)?;
        let rsp = match unwound.trust {
            FrameTrust::MachineFrame => places.slot(&symbols, caller.rsp().0)?,
            _ => places.sum(&symbols, caller.rsp().0)?,
        };
        let mut saved = [NOT_SAVED; NONVOLATILE.len()];
        for register in Gpr::ALL {
            let (before, after) = (start.get(register), caller.get(register));
            if register == Gpr::Rsp || before == after {
                continue;
            }
            let number = NONVOLATILE.iter().position(|one| *one == register)?;
            saved[number] = places.slot(&symbols, after)?;
        }
        let mut extent = (rip, rip);
        for (address, length) in symbols.places() {
            let lowest = places.sum(&symbols, address)?;
            let behind = lowest.checked_add(length)?;
            extent = (extent.0.min(lowest), extent.1.max(behind));
        }
        let rule = Rule {
            base: places.base?,
            trust: unwound.trust,
            rip,
            rsp,
            extent,
            saved,
        };
        Some((rule, symbols.examined.get()))
    }

    /// Where a non-volatile register of the caller is; `None` if this frame does not save it.
    pub fn saved(&self, register: Gpr) -> Option<i32> {
        let number = NONVOLATILE.iter().position(|one| *one == register)?;
        Some(self.saved[number]).filter(|offset| *offset != NOT_SAVED)
    }
}

/// Places, all counted from one register.
struct Places {
    base: Option<Gpr>,
}

impl Places {
    /// The distance of an address from the base, which the first one decides.
    fn sum(&mut self, symbols: &Symbols, value: u64) -> Option<i32> {
        let (Symbol::Register(register), offset) = symbols.read_off(value)? else {
            return None;
        };
        (*self.base.get_or_insert(register) == register).then_some(offset)
    }

    /// The distance from the base of the place that a value was read from.
    fn slot(&mut self, symbols: &Symbols, value: u64) -> Option<i32> {
        let (Symbol::Slot(number), 0) = symbols.read_off(value)? else {
            return None;
        };
        let place = *symbols.slots.borrow().get(number)?;
        self.sum(symbols, place)
    }
}

/// What a symbol stands for.
enum Symbol {
    /// A register's value.
    Register(Gpr),
    /// The value at the place with this number.
    Slot(usize),
}

/// Memory that gives a symbol for every value read from it: a number so far from all others that
/// what is added to it cannot hide which it is.
struct Symbols<'a> {
    at: Va,
    code: &'a dyn ReadMemory,
    /// The addresses, made of symbols themselves, that have been read.
    slots: RefCell<Vec<u64>>,
    /// Where vector registers have been read.
    vectors: RefCell<Vec<u64>>,
    /// The bytes of code that what was done depends on.
    examined: Cell<usize>,
    /// Something was read that is neither a whole word nor code, or code that is not all there.
    odd: Cell<bool>,
}

/// The distance between symbols: a power of two.
const DISTANCE: u32 = 58;
/// The symbols of the registers are 1 to 16, those of places follow.
const FIRST_SLOT: u64 = 17;
/// How many places there can be below 2 to the 64th.
const SLOTS: usize = (64 - FIRST_SLOT) as usize - 1;

impl<'a> Symbols<'a> {
    fn new(at: Va, code: &'a dyn ReadMemory) -> Symbols<'a> {
        Symbols {
            at,
            code,
            slots: RefCell::default(),
            vectors: RefCell::default(),
            examined: Cell::new(0),
            odd: Cell::new(false),
        }
    }

    fn registers() -> Registers {
        let mut registers = Registers::default();
        for (register, number) in Gpr::ALL.into_iter().zip(1u64..) {
            registers.set(register, number << DISTANCE);
        }
        registers
    }

    /// All places that have been read, with their lengths in bytes.
    fn places(&self) -> Vec<(u64, i32)> {
        let (slots, vectors) = (self.slots.borrow(), self.vectors.borrow());
        let words = slots.iter().map(|place| (*place, 8));
        let vectors = vectors.iter().map(|place| (*place, 16));
        words.chain(vectors).collect()
    }

    /// The symbol that a value is made of, and what was added to it.
    fn read_off(&self, value: u64) -> Option<(Symbol, i32)> {
        let number = value.wrapping_add(1 << (DISTANCE - 1)) >> DISTANCE;
        let offset = value.wrapping_sub(number << DISTANCE) as i64;
        let offset = i32::try_from(offset).ok().filter(|it| *it != NOT_SAVED)?;
        let symbol = match number {
            0 => return None,
            1..FIRST_SLOT => Symbol::Register(Gpr::from_number((number - 1) as u8)),
            _ => Symbol::Slot((number - FIRST_SLOT) as usize),
        };
        Some((symbol, offset))
    }
}

impl ReadMemory for Symbols<'_> {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        if address == self.at {
            let read = self.code.read(address, buffer);
            match read {
                Ok(()) => self.examined.set(self.examined.get().max(buffer.len())),
                // What was done depends on there being no code, which bytes cannot say.
                Err(_) => self.odd.set(true),
            }
            return read;
        }
        if buffer.len() == 16 {
            // A vector register, whose value rules leave alone.
            self.vectors.borrow_mut().push(address.0);
            buffer.fill(0);
            return Ok(());
        }
        let mut slots = self.slots.borrow_mut();
        if buffer.len() != 8 || slots.len() == SLOTS {
            self.odd.set(true);
            return Err(MemoryFault {
                address,
                reason: FaultReason::NotPresent { level: 0 },
                done: 0,
            });
        }
        let known = slots.iter().position(|place| *place == address.0);
        let number = known.unwrap_or(slots.len());
        if known.is_none() {
            slots.push(address.0);
        }
        let symbol = (FIRST_SLOT + number as u64) << DISTANCE;
        buffer.copy_from_slice(&symbol.to_le_bytes());
        Ok(())
    }
}
