//! The debugger: how command lines, expressions and address ranges are read.

pub mod command_line;
pub mod cursor;
pub mod expression;
pub mod range;
