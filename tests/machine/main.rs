//! The machine through its public interface, with guests of a few instructions: rings, exceptions,
//! interrupts, breakpoints, changed code, and the laws of time and determinism.

mod breakpoints;
mod code;
mod double_faults;
mod exits;
mod guest;
mod interrupts;
mod paging;
mod patches;
mod rings;
mod snapshots;
mod time;
mod work;
