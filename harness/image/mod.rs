//! PE images, their unwind data, and PDB files.

pub mod binding;
pub mod debug_directory;
mod delay_imports;
mod directories;
pub mod error;
pub mod exports;
pub mod function_table;
mod headers;
pub mod imports;
pub mod layout;
pub mod lines;
pub mod load_config;
pub mod locals;
pub mod pdb;
mod pdb_address;
mod pdb_source;
pub mod pe;
pub mod relocations;
pub mod section;
#[cfg(test)]
mod tests;
mod text;
pub mod types;
pub mod unwind_code;
pub mod unwind_info;

pub use error::ImageError;
pub use pe::PeImage;
