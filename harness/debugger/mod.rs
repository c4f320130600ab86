//! The debugger: a session over a lab, its breakpoints and stops, and how command lines,
//! expressions and address ranges are read.

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
pub mod expression;
pub(crate) mod printed;
pub(crate) mod probes;
pub mod range;
mod requests;
mod run;
pub mod search;
pub mod session;
mod source;
pub mod stack_frame;
mod step;
pub mod steps;
pub mod stop;

pub use breakpoint::{Breakpoint, Breakpoints};
pub use call_site::{CallSite, CallStack};
pub use printed::PRINTED_LIMIT;
pub use session::{STOP_WORK, Session, SessionError};
pub use stack_frame::StackFrame;
pub use steps::{StepEnd, Steps};
pub use stop::{Stop, StopReason};
