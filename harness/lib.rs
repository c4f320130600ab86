//! A Windows kernel that fits in `cargo test`.
#![deny(unsafe_code)]

pub mod address;
pub mod commands;
pub mod debugger;
pub mod disasm;
pub mod frontends;
pub mod guest;
pub mod image;
pub mod machine;
pub mod memory;
pub mod registers;
pub mod report;
pub mod stack;
pub mod symbols;

pub use debugger::{Session, Stop, StopReason};
pub use guest::Lab;
