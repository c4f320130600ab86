//! Hits: the places in a kernel where it compares a pool tag with `nt!PoolHitTag` and breaks, what is
//! known about a request there, and how hits are recorded while the guest runs on.
//!
//! A [`Recorder`] is a [`Probe`](crate::machine::probe::Probe): at each of the [`hit_sites`] it
//! captures the stack (a [`StackSource`]), looks it up among those it has seen (a [`StackDepot`]) and
//! appends a record of fixed size. [`Session::record_hits`](crate::Session::record_hits) sets one up.

pub mod argument;
mod depot;
mod record;
mod recorder;
mod request;
pub mod site;
mod source;

pub(crate) use argument::entry_of;
pub use argument::{ArgumentFlow, Location, Width};
pub use depot::{KeptStack, StackDepot, StackId};
pub use record::{Hit, Keep};
pub use recorder::{FRAME_LIMIT, Recorder, STACK_LIMIT};
pub(crate) use request::{Request, return_watch};
pub use site::{HitKind, HitSite, hit_sites, lab_sites, pool_call_sites};
pub use source::StackSource;
