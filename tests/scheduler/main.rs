//! Threads, waits, timers, deferred procedure calls, work items and locks of the guest's kernel: what a
//! driver sees of them is what Microsoft's documentation says.

mod executive;
mod guest;
mod laws;
mod model;
mod objects;
mod scenarios;
mod steps;
mod stops;
mod waits;
mod world;
