//! A Windows kernel that fits in `cargo test`.
#![deny(unsafe_code)]

pub mod address;
pub mod debugger;
pub mod disasm;
pub mod guest;
pub mod image;
pub mod machine;
pub mod memory;
pub mod registers;
pub mod stack;
pub mod symbols;

pub use guest::Lab;
