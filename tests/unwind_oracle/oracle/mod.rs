//! An oracle for stacks. It sees every instruction that the machine executes, so it knows every call
//! and every return, and need not guess: at each instruction the unwinder has to say what it knows.
//!
//! [`shadow`] keeps the call stack that the machine's doing amounts to, [`compare`] holds a walk
//! against it, and [`watch`] does both at every instruction of a run.

#![allow(dead_code, reason = "two test programs use it, each a part")]

pub mod compare;
pub mod context;
pub mod shadow;
pub mod watch;
