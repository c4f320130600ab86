//! Synthetic functions of every form that unwind data can describe, executed by the machine in both
//! rings under the oracle of the tests of the built-in guest: random chains of them call each other,
//! interrupts and faults come in front of random instructions, and at every instruction boundary the
//! whole stack that is unwound, with all non-volatile registers, XMM6 to XMM15 among them, is the one
//! that calls and returns have made.
//!
//! The built-in images alone would not show this: they save no vector register, and have neither
//! large frames nor saves behind a frame register.

mod guest;
#[path = "../unwind_oracle/oracle/mod.rs"]
mod oracle;
mod program;
mod runs;
#[path = "../../harness/stack/tests/shape.rs"]
mod shape;
