//! Values turned into the text that WinDbg shows for them.

pub mod location;
pub mod stack;
pub mod stop;
pub mod typed;
