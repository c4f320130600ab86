//! Objects, names, handles, security, sections, and what drivers are told of processes. WDK: "Managing
//! Kernel Objects", and the pages of the routines.

mod driver;
mod guest;
mod handles;
mod memory;
mod names;
mod security;
mod system;
mod waits;
