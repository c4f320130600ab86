//! The debugger: a session over a lab, its breakpoints and stops, and how command lines,
//! expressions and address ranges are read.

pub mod alias;
pub mod analysis;
mod attachment;
pub mod breakpoint;
mod breakpoint_hit;
mod breakpoint_set;
pub mod call_site;
pub mod command_line;
mod context;
pub(crate) mod control;
pub mod cursor;
pub mod elements;
pub mod expression;
mod linked_list;
pub(crate) mod log;
pub(crate) mod printed;
pub(crate) mod probes;
mod pseudo_register;
pub mod range;
pub mod register_name;
pub mod registers;
mod requests;
mod run;
pub(crate) mod scripting;
pub mod search;
pub mod search_strings;
pub mod session;
mod source;
pub mod stack_frame;
pub mod state;
mod step;
pub mod steps;
pub mod stop;
pub mod string;
mod symbol_files;
pub mod target_text;

pub use breakpoint::{Breakpoint, Breakpoints};
pub use call_site::{CallSite, CallStack};
pub use printed::PRINTED_LIMIT;
pub use session::{STOP_WORK, Session, SessionError};
pub use stack_frame::StackFrame;
pub use steps::{StepEnd, Steps};
pub use stop::{Stop, StopReason};
