//! The I/O manager, by requests of a real program to a driver that does what a test asks for, and by what
//! happens to drivers and devices from outside.

mod device_stack;
mod driver_life;
mod files;
mod guest;
mod left_behind;
mod lifetimes;
mod lists;
mod misuse;
mod model;
mod outstanding;
mod pending;
mod plug_and_play;
mod raising;
mod rules;
mod second;
mod services;
mod stops;
mod structures;
mod transfers;
