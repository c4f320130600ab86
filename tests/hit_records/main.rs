//! Hits and breakpoints that do not stop the guest: the same as if they did.

mod calls;
mod passing;
mod recording;
