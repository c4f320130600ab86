//! PE images, their unwind data, and PDB files.

pub mod function_table;
pub mod unwind_code;
pub mod unwind_info;
