//! What a person at a terminal, a script or a test uses: the golden session as a demonstration, the
//! debugger's prompt, and transcripts.

mod complain;
pub mod console;
pub mod demo;
pub mod imports;
mod leak_format;
mod leak_plan;
pub mod leaks;
pub mod options;
pub mod prompt;
pub mod transcript;

pub use complain::complain;
pub use imports::{ImportsOptions, imports};
pub use leak_format::LeakFormat;
pub use leaks::{LeaksError, LeaksOptions, leaks};
pub use options::{DebugOptions, FrontendError, debug, demo};
