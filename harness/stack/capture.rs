//! Walking stacks often: the same rows as [`walk`](super::walk), by rules that are kept.
//!
//! A program's stacks go through the same few call sites again and again. A [`Capturer`] keeps the
//! [`Rule`] of each, so that a frame costs a look-up and a read from the stack. Where a rule does not
//! apply (unwind data that does not make one, memory that cannot be read), the whole walk is made
//! again by [`walk`](super::walk), so the rows are always its.
//!
//! Rules are right for the images they were made with: [`Capturer::clear`] forgets them.

use super::frame::{Frame, FrameTrust};
use super::modules::UnwindModules;
use super::rule::{NONVOLATILE, Rule};
use super::walk::{MAX_FRAMES, MAX_STACK_SWITCHES, WalkEnd, walk};
use crate::address::{CodeAddress, Va};
use crate::memory::ReadMemory;
use crate::registers::{Gpr, Registers};

/// The processor's registers at the moment of a capture, each read only if it is needed.
pub trait LiveRegisters {
    /// The instruction pointer.
    fn rip(&self) -> u64;
    /// A general-purpose register.
    fn get(&self, register: Gpr) -> u64;
}

impl LiveRegisters for Registers {
    fn rip(&self) -> u64 {
        self.rip
    }

    fn get(&self, register: Gpr) -> u64 {
        Registers::get(self, register)
    }
}

/// A row of a captured stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapturedFrame {
    /// The stack pointer in the frame: WinDbg's `Child-SP`.
    pub child_sp: Va,
    /// Where the frame returns to: WinDbg's `RetAddr`. The next row's code is there.
    pub return_address: Va,
    /// How the frame was found.
    pub trust: FrameTrust,
}

impl CapturedFrame {
    /// A row from its parts.
    pub fn new(child_sp: Va, return_address: Va, trust: FrameTrust) -> CapturedFrame {
        CapturedFrame {
            child_sp,
            return_address,
            trust,
        }
    }
}

/// The number of rules kept: a power of two.
const RULES: usize = 1024;
/// The number of rules kept for instruction pointers: a power of two.
const POINTER_RULES: usize = 64;
/// The most code that a rule for an instruction pointer depends on, in bytes.
const CODE_BYTES: usize = 48;

/// The granularity of what can be read.
const PAGE_SIZE: u64 = 0x1000;
/// The most pages that what a frame has saved may lie on, for its rule to be used.
const EXTENT_PAGES: u64 = 8;

/// A rule in its place in the table.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Kept {
    /// The address it is for; [`NO_CODE`] for none.
    at: u64,
    rule: Rule,
}

/// An address that no code has: it is not canonical. Stacks may hold it all the same.
const NO_CODE: u64 = 0x8000_0000_0000_0000;

impl Kept {
    /// No rule of an image's: the one for [`NO_CODE`], which is right there.
    const NONE: Kept = Kept {
        at: NO_CODE,
        rule: Rule::GUESS,
    };
}

/// A rule for an instruction pointer, with the code it holds for.
#[derive(Clone, Copy)]
struct KeptPointer {
    kept: Kept,
    code: [u8; CODE_BYTES],
    code_length: usize,
}

/// What a frame of the walk in progress was found by.
#[derive(Clone, Copy)]
struct Step {
    base: u64,
    rule: Rule,
}

/// Captures stacks, and keeps what it learns on the way. See the [module](self).
pub struct Capturer {
    rules: Box<[Kept]>,
    pointers: Box<[KeptPointer]>,
    frames: Vec<CapturedFrame>,
    steps: Vec<Step>,
}

/// Why rules do not lead to the caller.
struct NoRule;

impl Default for Capturer {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Capturer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.rules.iter().filter(|kept| kept.at != NO_CODE).count();
        write!(f, "Capturer({kept} rules)")
    }
}

impl Capturer {
    /// One that has seen nothing yet.
    ///
    /// ```
    /// # use poolhit::image::function_table::ImageBytes;
    /// # use poolhit::memory::{FaultReason, MemoryFault, ReadMemory};
    /// # use poolhit::{address::Va, registers::Registers};
    /// # use poolhit::stack::{capture::Capturer, modules::UnwindModules, walk::WalkEnd};
    /// # struct NoImages;
    /// # impl UnwindModules for NoImages {
    /// #     fn find(&self, _: Va) -> Option<(Va, &dyn ImageBytes)> { None }
    /// # }
    /// # struct Stack([u64; 3]);
    /// # impl ReadMemory for Stack {
    /// #     fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
    /// #         let reason = FaultReason::NotPresent { level: 0 };
    /// #         let fault = MemoryFault { address, reason, done: 0 };
    /// #         let value = self.0.get((address.0 / 8) as usize).ok_or(fault)?;
    /// #         buffer.copy_from_slice(&value.to_le_bytes()[..buffer.len()]);
    /// #         Ok(())
    /// #     }
    /// # }
    /// // A stack at address 0 that holds three return addresses, none of them in an image.
    /// let stack = Stack([0x11, 0x22, 0]);
    /// let start = Registers { rip: 0x1000, ..Default::default() };
    /// let mut capturer = Capturer::new();
    /// let end = capturer.capture(&start, &stack, &NoImages, 20);
    /// let returns: Vec<_> = capturer.frames().iter().map(|row| row.return_address.0).collect();
    /// assert_eq!((returns, end), (vec![0x11, 0x22, 0], WalkEnd::ReturnAddressZero));
    /// ```
    pub fn new() -> Capturer {
        let kept = Kept::NONE;
        let pointer = KeptPointer {
            kept,
            code: [0; CODE_BYTES],
            code_length: 0,
        };
        Capturer {
            rules: vec![kept; RULES].into(),
            pointers: vec![pointer; POINTER_RULES].into(),
            frames: Vec::with_capacity(64),
            steps: Vec::with_capacity(64),
        }
    }

    /// Forgets all rules: the images are not the same any more.
    pub fn clear(&mut self) {
        self.rules.fill(Kept::NONE);
        let pointers = self.pointers.iter_mut();
        pointers.for_each(|pointer| {
            pointer.kept = Kept::NONE;
            pointer.code_length = 0;
        });
    }

    /// The rows of the last capture, the top of the stack first.
    pub fn frames(&self) -> &[CapturedFrame] {
        &self.frames
    }

    /// Captures the stack that the registers describe, at most `limit` rows of it, and says why
    /// there are no more. The rows are then [`frames`](Capturer::frames). See
    /// [`Capturer::new`] for an example.
    pub fn capture<R: LiveRegisters + ?Sized, M: ReadMemory>(
        &mut self,
        registers: &R,
        memory: &M,
        modules: &dyn UnwindModules,
        limit: usize,
    ) -> WalkEnd {
        match self.by_rules(registers, memory, modules, limit) {
            Ok(end) => end,
            Err(NoRule) => self.by_unwinding(registers, memory, modules, limit),
        }
    }

    /// Walks as [`walk`] does, whose `Walker` says why it ends where it ends.
    fn by_rules<R: LiveRegisters + ?Sized, M: ReadMemory>(
        &mut self,
        registers: &R,
        memory: &M,
        modules: &dyn UnwindModules,
        limit: usize,
    ) -> Result<WalkEnd, NoRule> {
        self.frames.clear();
        self.steps.clear();
        let limit = limit.min(MAX_FRAMES);
        let mut sp = registers.get(Gpr::Rsp);
        let mut code = CodeAddress::InstructionPointer(Va(registers.rip()));
        let mut switches = 0;
        let mut trust = FrameTrust::Context;
        while self.frames.len() < limit {
            let rule = match code {
                CodeAddress::ReturnAddress(at) => self.rule(at, memory, modules)?,
                CodeAddress::InstructionPointer(at) => self.pointer_rule(at, memory, modules)?,
            };
            let base = match rule.base {
                Gpr::Rsp => sp,
                register => self.value_of(register, registers, memory)?,
            };
            let place = |offset: i32| base.wrapping_add(i64::from(offset) as u64);
            let word = |offset| memory.read_u64(Va(place(offset))).map_err(|_| NoRule);
            let return_address = word(rule.rip)?;
            let is_machine_frame = rule.trust == FrameTrust::MachineFrame;
            let caller_sp = match is_machine_frame {
                true => word(rule.rsp)?,
                false => place(rule.rsp),
            };
            check_extent(&rule, base, memory)?;
            let frame = CapturedFrame::new(Va(sp), Va(return_address), trust);
            self.frames.push(frame);
            trust = rule.trust;
            if return_address == 0 && !is_machine_frame {
                return Ok(WalkEnd::ReturnAddressZero);
            }
            if caller_sp <= sp {
                if !is_machine_frame {
                    let (from, to) = (Va(sp), Va(caller_sp));
                    return Ok(WalkEnd::NoProgress { from, to });
                }
                switches += 1;
                if switches > MAX_STACK_SWITCHES {
                    return Ok(WalkEnd::StackSwitches);
                }
            }
            self.steps.push(Step { base, rule });
            sp = caller_sp;
            code = match is_machine_frame {
                true => CodeAddress::InstructionPointer(Va(return_address)),
                false => CodeAddress::ReturnAddress(Va(return_address)),
            };
        }
        // The last frame returns there: it might be the last of all, too.
        let is_last = limit < MAX_FRAMES && limit > 0 && modules.is_outside(code.address());
        Ok(match is_last {
            true => WalkEnd::Outside,
            false => WalkEnd::Limit,
        })
    }

    #[inline]
    fn rule<M: ReadMemory>(
        &mut self,
        at: Va,
        memory: &M,
        modules: &dyn UnwindModules,
    ) -> Result<Rule, NoRule> {
        let kept = &mut self.rules[slot(at.0, RULES)];
        if kept.at != at.0 {
            let code = CodeAddress::ReturnAddress(at);
            // Behind code outside the guest there is no frame: such an address never gets a rule.
            if modules.is_outside(at) {
                return Err(NoRule);
            }
            let (rule, _) = Rule::of(code, memory, modules).ok_or(NoRule)?;
            *kept = Kept { at: at.0, rule };
        }
        Ok(kept.rule)
    }

    #[inline]
    fn pointer_rule<M: ReadMemory>(
        &mut self,
        at: Va,
        memory: &M,
        modules: &dyn UnwindModules,
    ) -> Result<Rule, NoRule> {
        let pointer = &mut self.pointers[slot(at.0, POINTER_RULES)];
        if pointer.kept.at != at.0 || !pointer.holds(memory) {
            let code = CodeAddress::InstructionPointer(at);
            let (rule, code_length) = Rule::of(code, memory, modules).ok_or(NoRule)?;
            let mut code = [0; CODE_BYTES];
            let bytes = code.get_mut(..code_length).ok_or(NoRule)?;
            memory.read(at, bytes).map_err(|_| NoRule)?;
            let kept = Kept { at: at.0, rule };
            *pointer = KeptPointer {
                kept,
                code,
                code_length,
            };
        }
        Ok(pointer.kept.rule)
    }

    /// A register's value in the frame that the walk has come to: the frame below that saved it
    /// last has it on the stack, or it still is what the processor holds.
    #[cold]
    fn value_of<R: LiveRegisters + ?Sized, M: ReadMemory>(
        &self,
        register: Gpr,
        registers: &R,
        memory: &M,
    ) -> Result<u64, NoRule> {
        let saved = self.steps.iter().rev().find_map(|step| {
            let offset = step.rule.saved(register)?;
            Some(step.base.wrapping_add(i64::from(offset) as u64))
        });
        match saved {
            Some(place) => memory.read_u64(Va(place)).map_err(|_| NoRule),
            None => Ok(registers.get(register)),
        }
    }

    #[cold]
    fn by_unwinding<R: LiveRegisters + ?Sized, M: ReadMemory>(
        &mut self,
        registers: &R,
        memory: &M,
        modules: &dyn UnwindModules,
        limit: usize,
    ) -> WalkEnd {
        let mut start = Registers {
            rip: registers.rip(),
            ..Registers::default()
        };
        for register in Gpr::ALL {
            start.set(register, registers.get(register));
        }
        let walk = walk(&start, memory, modules, limit);
        self.frames.clear();
        let row =
            |frame: &Frame| CapturedFrame::new(frame.child_sp, frame.return_address, frame.trust);
        let rows = walk.frames.iter().map(row);
        self.frames.extend(rows);
        walk.end
    }
}

impl KeptPointer {
    fn holds(&self, memory: &impl ReadMemory) -> bool {
        let mut code = [0; CODE_BYTES];
        let present = memory.read_partial(Va(self.kept.at), &mut code[..self.code_length]);
        present == self.code_length && code == self.code
    }
}

/// Unwinding reads all that a frame has saved, and ends where it cannot. The word at the frame's
/// return address has been read; the rest is on the same page as a rule.
#[inline]
fn check_extent(rule: &Rule, base: u64, memory: &impl ReadMemory) -> Result<(), NoRule> {
    let page = |offset: i32| base.wrapping_add(i64::from(offset) as u64) / PAGE_SIZE;
    let (first, last) = (page(rule.extent.0), page(rule.extent.1 - 1));
    match first == last {
        true => Ok(()),
        false => check_pages(first, last, memory),
    }
}

#[cold]
fn check_pages(first: u64, last: u64, memory: &impl ReadMemory) -> Result<(), NoRule> {
    if last.wrapping_sub(first) >= EXTENT_PAGES {
        return Err(NoRule);
    }
    for page in first..=last {
        let start = Va(page.wrapping_mul(PAGE_SIZE));
        memory.read_u64(start).map_err(|_| NoRule)?;
    }
    Ok(())
}

/// The place in a table for an address.
fn slot(at: u64, size: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    (at.wrapping_mul(GOLDEN) >> 40) as usize & (size - 1)
}

const _: () = assert!(RULES.is_power_of_two() && POINTER_RULES.is_power_of_two());
const _: () = assert!(NONVOLATILE.len() == 8 && size_of::<Kept>() == 64);
