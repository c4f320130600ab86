//! A driver that does what no driver may: loops at every level, stacks used up, wild jumps and
//! writes, pool taken without end. Each ends in a bug check, or in a limit that says where the guest
//! is; the lab then goes on from a saved state, and the next one knows nothing of it.

mod driver;

mod explore;
mod loops;
mod memory;
