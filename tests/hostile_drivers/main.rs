//! A driver that does what no driver may: loops at every level, stacks used up and overwritten, wild jumps
//! and writes, tables of the processor's destroyed, pool taken without end. It does so called from outside,
//! and in a request of the program's. Each ends in a bug check, or in a limit that says where the guest
//! is; the lab then goes on from a saved state, and the next one knows nothing of it.

mod driver;
mod ended;

mod jumps;
mod levels;
mod loops;
mod memory;
mod neighbours;
mod processor;
mod stacks;
mod structures;
mod writes;
