//! Walking a whole stack.
//!
//! A walk lists what WinDbg's `k` lists, a frame a row: [`Frame::child_sp`],
//! [`Frame::return_address`], and the symbol of [`Frame::code`]. A frame that returns to address zero
//! is the last (threads start so), and is listed; so is one that returns to code outside the guest
//! ([`UnwindModules::is_outside`]). Behind a machine frame address zero is a place like any other: a null
//! pointer has been called. An address that lies in no image, or in a function
//! without unwind data below another, does not end the walk: WinDbg takes what is at the stack
//! pointer for the return address and lists on, raw addresses if it must, and so does this;
//! [`FrameTrust::Guess`] marks the frames that were found so.
//!
//! Whatever the stack and the images hold, a walk ends: the stack pointer has to rise from frame to
//! frame, except across machine frames, which may change stacks a limited number of times.

use super::frame::{Frame, FrameTrust};
use super::modules::UnwindModules;
use super::unwinder::{UnwindError, Unwound, unwind};
use crate::address::{CodeAddress, Va};
use crate::image::unwind_info::UnwindInfoError;
use crate::memory::{MemoryFault, ReadMemory};
use crate::registers::Registers;

/// The most frames that a walk yields, whatever limit it is given.
pub const MAX_FRAMES: usize = 0xffff;

/// The most machine frames that may lead to a stack pointer that is not higher: interrupts nest as
/// deep as there are interrupt levels (16), so twice that is no real stack.
pub const MAX_STACK_SWITCHES: usize = 32;

/// Why a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WalkEnd {
    /// The last frame returns to address zero: the stack is complete.
    #[error("the last frame returns to address zero")]
    ReturnAddressZero,
    /// The last frame returns to code that is not the guest's: the host called the function.
    #[error("the last frame returns to the host, which called it")]
    Outside,
    /// As many frames as were asked for.
    #[error("the limit of frames is reached")]
    Limit,
    /// The stack cannot be read.
    #[error("{0}")]
    Fault(#[from] MemoryFault),
    /// An image's unwind data is broken.
    #[error("in the image at {base}, {reason}")]
    BadUnwindInfo {
        /// Where the image is loaded.
        base: Va,
        /// What is wrong.
        #[source]
        reason: UnwindInfoError,
    },
    /// The caller's stack pointer would not be above its callee's.
    #[error("the stack pointer does not rise: from {from} to {to}")]
    NoProgress {
        /// The stack pointer in the last frame.
        from: Va,
        /// The stack pointer that its caller would have.
        to: Va,
    },
    /// More than [`MAX_STACK_SWITCHES`] machine frames led downwards.
    #[error("machine frames switch stacks more than {MAX_STACK_SWITCHES} times")]
    StackSwitches,
}

impl From<UnwindError> for WalkEnd {
    fn from(error: UnwindError) -> WalkEnd {
        match error {
            UnwindError::Stack(fault) => WalkEnd::Fault(fault),
            UnwindError::UnwindInfo { base, reason } => WalkEnd::BadUnwindInfo { base, reason },
        }
    }
}

/// A walked stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// The frames, the top of the stack first.
    pub frames: Vec<Frame>,
    /// Why there are no more.
    pub end: WalkEnd,
}

/// Walks the stack that `start` describes, for at most `limit` frames ([`MAX_FRAMES`] at most).
///
/// ```
/// # use poolhit::image::function_table::ImageBytes;
/// # use poolhit::memory::{FaultReason, MemoryFault, ReadMemory};
/// # use poolhit::{address::Va, registers::{Gpr, Registers}};
/// # use poolhit::stack::{modules::UnwindModules, walk::{WalkEnd, walk}};
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
/// let walk = walk(&start, &stack, &NoImages, 20);
/// let rows: Vec<_> = walk.frames.iter().map(|f| (f.child_sp.0, f.return_address.0)).collect();
/// assert_eq!(rows, [(0, 0x11), (8, 0x22), (16, 0)]);
/// assert_eq!(walk.end, WalkEnd::ReturnAddressZero);
/// ```
pub fn walk(
    start: &Registers,
    memory: &dyn ReadMemory,
    modules: &dyn UnwindModules,
    limit: usize,
) -> Walk {
    let mut walker = Walker::new(start, memory, modules);
    let frames = walker.by_ref().take(limit).collect();
    Walk {
        frames,
        end: walker.end().unwrap_or(WalkEnd::Limit),
    }
}

/// A walk, frame by frame.
pub struct Walker<'a> {
    memory: &'a dyn ReadMemory,
    modules: &'a dyn UnwindModules,
    next: Option<Unwound>,
    number: usize,
    switches: usize,
    end: Option<WalkEnd>,
}

impl<'a> Walker<'a> {
    /// A walk from a processor's (or a stopped thread's) registers.
    ///
    /// ```
    /// # use poolhit::image::function_table::ImageBytes;
    /// # use poolhit::memory::{FaultReason, MemoryFault, ReadMemory};
    /// # use poolhit::{address::Va, registers::Registers};
    /// # use poolhit::stack::{modules::UnwindModules, walk::{Walker, WalkEnd}};
    /// # struct Nothing;
    /// # impl UnwindModules for Nothing {
    /// #     fn find(&self, _: Va) -> Option<(Va, &dyn ImageBytes)> { None }
    /// # }
    /// # impl ReadMemory for Nothing {
    /// #     fn read(&self, address: Va, _: &mut [u8]) -> Result<(), MemoryFault> {
    /// #         let reason = FaultReason::NotPresent { level: 0 };
    /// #         Err(MemoryFault { address, reason, done: 0 })
    /// #     }
    /// # }
    /// // Where no memory can be read, the frame of the registers themselves is left.
    /// let mut walker = Walker::new(&Registers::default(), &Nothing, &Nothing);
    /// assert_eq!(walker.next().unwrap().number, 0);
    /// assert!(walker.next().is_none());
    /// assert!(matches!(walker.end(), Some(WalkEnd::Fault(_))));
    /// ```
    pub fn new(
        start: &Registers,
        memory: &'a dyn ReadMemory,
        modules: &'a dyn UnwindModules,
    ) -> Walker<'a> {
        let next = Some(Unwound {
            registers: start.clone(),
            code: CodeAddress::InstructionPointer(start.rip()),
            trust: FrameTrust::Context,
        });
        Walker {
            memory,
            modules,
            next,
            number: 0,
            switches: 0,
            end: None,
        }
    }

    /// Why the walk has ended, once it has; see [`Walker::new`] for an example.
    pub fn end(&self) -> Option<WalkEnd> {
        self.end
    }

    /// Why the walk must not go on from a frame at `from` to its caller, if it must not.
    fn end_before(&mut self, from: Va, caller: &Unwound) -> Option<WalkEnd> {
        let to = caller.registers.rsp();
        // Code that was interrupted at address zero has called it.
        if caller.registers.rip == 0 && caller.trust != FrameTrust::MachineFrame {
            return Some(WalkEnd::ReturnAddressZero);
        }
        if to > from {
            return (self.number >= MAX_FRAMES).then_some(WalkEnd::Limit);
        }
        if caller.trust != FrameTrust::MachineFrame {
            return Some(WalkEnd::NoProgress { from, to });
        }
        self.switches += 1;
        (self.switches > MAX_STACK_SWITCHES).then_some(WalkEnd::StackSwitches)
    }
}

impl Iterator for Walker<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let Unwound {
            registers,
            code,
            trust,
        } = self.next.take()?;
        let child_sp = registers.rsp();
        let number = self.number;
        self.number += 1;
        let return_address = match unwind(&registers, code, self.memory, self.modules) {
            Ok(caller) => {
                let return_address = caller.registers.rip();
                self.end = self.end_before(child_sp, &caller);
                if self.end.is_none() && self.modules.is_outside(return_address) {
                    self.end = Some(WalkEnd::Outside);
                }
                if self.end.is_none() {
                    self.next = Some(caller);
                }
                return_address
            }
            Err(error) => {
                self.end = Some(error.into());
                Va(0)
            }
        };
        Some(Frame {
            number,
            code,
            registers,
            child_sp,
            return_address,
            trust,
        })
    }
}
