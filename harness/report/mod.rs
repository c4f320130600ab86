//! Values turned into the text that WinDbg shows for them.

pub mod date;
pub mod environment;
pub mod exception;
pub mod float;
pub mod formats;
pub mod json;
pub mod leaks;
pub mod location;
pub mod memory;
pub mod modules;
pub mod objects;
pub mod page_table;
pub mod pool;
pub mod pool_used;
pub mod printf;
pub mod processes;
pub mod processors;
pub mod registers;
pub mod stack;
pub mod stack_columns;
pub mod stop;
pub mod symbols;
pub mod target;
pub mod typed;
pub mod variable_row;
pub mod variables;
