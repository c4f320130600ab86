//! Reports of leaks, in every form: one file each.
//!
//! | for | |
//! |---|---|
//! | people | [`write_text`], and [`LeakReport`](crate::leaks::LeakReport)'s `Display` |
//! | browsers | [`to_html`]: one page with sortable tables and pictures |
//! | programs | [`to_json`] |
//! | profilers | [`to_pprof`], [`to_folded`], [`to_flame_graph`] |
//! | GitHub Actions | [`to_github`], [`to_github_in`] |
//! | tests | [`assert_no_leaks!`](crate::assert_no_leaks) |
//!
//! What has leaked is told from what is kept in all of them. Profiles have values of their own for it, and
//! show it first. Folded stacks and flame graphs begin with a frame `leaked` or `kept`: whoever sums them up
//! has what is outstanding, and whoever looks for leaks, one part of the picture or one `grep`.
//!
//! A run that something has stopped says so first, in each form that has words: what it has leaked until then
//! is not all that it would have. Requests that a driver never completes have no memory of the driver's, and
//! profiles do not show them.
//!
//! The same report gives the same bytes. Names of modules and symbols come from images, PDBs and guest
//! memory: none can be more than text in any of the forms.

mod assert;
mod chart;
mod end;
mod flame;
mod folded;
mod github;
mod html;
mod json;
mod left_behind;
mod markup;
mod pprof;
mod protobuf;
mod requests;
mod source_path;
mod text;
mod words;

pub use assert::{Leaks, assert_none};
pub use flame::to_flame_graph;
pub use folded::to_folded;
pub use github::{ANNOTATIONS, to_github, to_github_in};
pub use html::to_html;
pub use json::{JSON_VERSION, to_json};
pub use pprof::to_pprof;
pub use text::write_text;
