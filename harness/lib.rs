//! A Windows kernel that fits in `cargo test`.
//!
//! A [`Lab`] is a guest: a kernel, a driver and a user-mode program, as real PE images in an
//! emulated x64 machine, booted to a debugger's first prompt. A [`Session`] is a debugger attached
//! to it.
//!
//! ```
//! use poolhit::{Lab, Session, StopReason};
//!
//! let mut session = Session::new(Lab::builder().build()?);
//! session.execute("ed nt!PoolHitTag 3261654c")?;
//! assert_eq!(session.go()?.reason, StopReason::BreakInstruction);
//! println!("{}", session.execute("k")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod address;
pub mod commands;
pub mod debugger;
pub mod disasm;
pub mod frontends;
pub mod guest;
pub mod hits;
pub mod image;
pub mod leaks;
pub mod machine;
pub mod memory;
pub mod registers;
pub mod report;
pub mod scenario;
pub mod stack;
pub mod symbols;
pub mod tag;

pub use debugger::{QueuedRequest, Session, Stop, StopReason};
pub use frontends::transcript;
pub use guest::Lab;
