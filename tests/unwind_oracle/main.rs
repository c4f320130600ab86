//! The unwinder against the machine: at every instruction boundary of the built-in guest's runs (boot,
//! driver, requests on every path of the pool, system calls in and out, interrupts, page faults, threads
//! that take turns, requests that are pending and cancelled, services called by the kernel itself) the
//! whole stack that is unwound is the one that calls and returns have made.
//!
//! Tests look at boundaries that are the same but for data only so often ([`VISITS`]); those that are
//! ignored by default look at every one: `cargo test --release --test unwind_oracle -- --ignored`.

mod damage;
mod exceptions;
mod guest;
mod interruptions;
mod oracle;
mod requests;
mod runs;
mod second_opinion;
mod services;
mod threads;

/// How often a boundary is compared that has the same callers, in tests that have to be quick.
const VISITS: u32 = 2;
