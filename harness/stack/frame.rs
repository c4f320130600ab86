//! One frame of a walked stack.

use crate::address::{CodeAddress, Va};
use crate::registers::Registers;

/// How a frame was found, and so how far to trust it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FrameTrust {
    /// The registers the walk started with.
    Context,
    /// Its callee's unwind data led to it.
    UnwindInfo,
    /// Its callee is a leaf function at the top of the stack or at the point of an interruption:
    /// the return address was at the stack pointer.
    Leaf,
    /// The processor pushed its state when an interrupt, exception or system call left it.
    MachineFrame,
    /// Its callee has no unwind data though it made a call (or lies in no image at all), so it is no
    /// true leaf function: whatever was at the stack pointer was taken for the return address, as
    /// WinDbg does.
    Guess,
}

/// A function's activation: where its code is, and the registers as they were there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The frame's number, counted from 0 at the top of the stack.
    pub number: usize,
    /// Where the frame's code is: the instruction pointer in the top frame and behind a machine
    /// frame, a return address in every other.
    pub code: CodeAddress,
    /// The registers in this frame. Only non-volatile ones are right in a frame that was found by
    /// unwinding: a function does not say what it does to the others.
    pub registers: Registers,
    /// The stack pointer in this frame: WinDbg's `Child-SP`.
    pub child_sp: Va,
    /// Where the frame returns to: WinDbg's `RetAddr`. Zero where the frame could not be unwound.
    pub return_address: Va,
    /// How the frame was found.
    pub trust: FrameTrust,
}
