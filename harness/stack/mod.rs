//! Walking x64 stacks from unwind data, across images and from kernel to user mode.
//!
//! [`unwinder`] undoes one frame, [`walk`] repeats it. Both see a stack through
//! [`ReadMemory`](crate::memory::ReadMemory) and images through [`modules::UnwindModules`].
//! [`capture`] gives the same rows at a fraction of the cost, by the [`rule`]s that the unwinder's
//! doing amounts to.

pub mod capture;
mod epilogue;
pub mod frame;
pub mod modules;
mod prologue;
mod records;
pub mod rule;
#[cfg(test)]
mod tests;
pub mod unwinder;
pub mod walk;
