//! Walking x64 stacks from unwind data, across images and from kernel to user mode.
//!
//! [`unwinder`] undoes one frame, [`walk`] repeats it. Both see a stack through
//! [`ReadMemory`](crate::memory::ReadMemory), images through [`modules::UnwindModules`], and neither
//! allocates per step, so that rules compiled from the same records can later take the place of
//! reading them again.

mod epilogue;
pub mod frame;
pub mod modules;
mod prologue;
mod records;
#[cfg(test)]
mod tests;
pub mod unwinder;
pub mod walk;
