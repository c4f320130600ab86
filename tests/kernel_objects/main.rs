//! Objects, names, handles, security, sections, and what drivers are told of processes. WDK: "Managing
//! Kernel Objects", and the pages of the routines.

mod beyond_ram;
mod bug_checks;
mod driver;
mod executive;
mod guest;
mod handles;
mod memory;
mod names;
mod processors;
mod requests;
mod security;
mod system;
mod tracing;
mod waits;
