//! Hits and breakpoints that do not stop the guest: the same as if they did.

mod calls;
mod kept_walks;
mod panics;
mod passing;
mod recording;
mod watched_calls;
