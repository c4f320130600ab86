//! What a person at a terminal, or a script, uses: the golden session as a demonstration, and the
//! debugger's prompt.

pub mod console;
pub mod demo;
pub mod options;

pub use options::{DebugOptions, FrontendError, debug, demo};
