//! Reports of leaks, in every form: one file each.
//!
//! | for | |
//! |---|---|
//! | people | [`write_text`], and [`LeakReport`](crate::leaks::LeakReport)'s `Display` |
//! | programs | [`to_json`] |

mod assert;
mod json;
mod text;
mod words;

pub use assert::{Leaks, assert_none};
pub use json::{JSON_VERSION, to_json};
pub use text::write_text;
