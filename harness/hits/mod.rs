//! Hits: the places in a kernel where it compares a pool tag with `nt!PoolHitTag` and breaks, and
//! what is known about a request there.

pub mod argument;
pub mod site;

pub use argument::{ArgumentFlow, Location, Width};
pub use site::{HitKind, HitSite, hit_sites};
