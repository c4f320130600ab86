//! The kernel's run-time library (`Rtl*`, the C run-time library, and what else only computes) against
//! models written here in Rust from what Microsoft documents; each file says where.

mod acl;
mod ansi;
mod ansi_strings;
mod avl;
mod bitmaps;
mod case;
mod compiler;
mod coverage;
mod crt_numbers;
mod crt_printf;
mod crt_printf_ends;
mod crt_secure;
mod crt_text;
mod generic_table;
mod guest;
mod guid;
mod memory;
mod names;
mod numbers;
mod random;
mod security;
mod sid;
mod sorting;
mod splay;
mod status;
mod structures;
mod table_guest;
mod time;
mod unicode;
mod unicode_duplicates;
mod utf8;
mod version;
