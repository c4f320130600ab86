//! Leaks: which of a driver's code paths allocate pool and do not free it.
//!
//! A lab that [tracks leaks](crate::guest::LabBuilder::track_leaks) enters every pool call into a
//! [`Ledger`], with its whole stack, whatever its tag, from the kernel's first instruction on. At any
//! stop, [`Lab::leaks`](crate::Lab::leaks) says what is outstanding, by which ways it came about, and
//! whether it [grows](Growth) from one repetition of a request to the next; and
//! [`assert_no_leaks!`](crate::assert_no_leaks) makes a test of that:
//!
//! ```should_panic
//! use poolhit::{Lab, Session, assert_no_leaks};
//!
//! let mut session = Session::new(Lab::builder().track_leaks().build().unwrap());
//! session.go().unwrap(); // the program asks the driver for leaks, and gets them
//! assert_no_leaks!(session, "Lea*");
//! ```
//!
//! The test fails, and shows the tags, the bytes and the stacks. [`report::leaks`](crate::report::leaks)
//! writes the same as text, JSON, HTML, flame graphs and profiles.
//!
//! A request that a driver never completes leaks, too: one that it has neither completed nor marked
//! pending, and one that is pending still when the last handle to its file is closed.
//!
//! So does what a driver has with the kernel when it is unloaded: a timer that is set, a routine that is
//! registered, pages that are locked ([`LeftBehind`]).
//!
//! What drivers leave in their lookaside lists is outstanding until the lists are deleted, and what
//! the kernel allocates for a driver's calls (a device, a symbolic link) belongs to the driver, too.
//!
//! Nothing in the guest changes, and no block is marked: [`LeakTracker`] looks where the kernel compares
//! a tag with `nt!PoolHitTag`, whose value does not matter.

mod account;
mod bad_free;
mod blamed;
mod callers;
mod counted;
mod driver_set;
mod end;
mod error;
mod freed;
mod growth;
mod key_map;
mod lab;
mod leaked;
mod ledger;
mod left_behind;
mod limits;
mod path;
mod report;
mod requests;
mod source;
mod timeline;
mod tracker;
mod unload;

pub use account::{Account, Held, LARGEST_BLOCK, Pools, SIZES, Sizes, Totals};
pub use bad_free::{BadFree, BadFreeKind, LastFree};
pub use blamed::{BlameKind, BlamedBlock};
pub use callers::Driver;
pub use driver_set::DriverSet;
pub use end::{RunEnd, RunStop};
pub use error::LeakError;
pub use growth::{Growth, WINDOWS};
pub use ledger::Ledger;
pub use left_behind::LeftBehind;
pub use limits::{LedgerLimits, Lost};
pub use path::{CallPath, LiveBlock, PoolCall, TagAccount};
pub use report::{
    BLOCKS_LISTED, BadFreeReport, LeakFilter, LeakReport, ModuleReport, PathReport, TagReport,
};
pub use requests::{LeakedIrp, RequestFault, RequestReport};
pub use timeline::POINTS;
pub use tracker::LeakTracker;
pub use unload::Unload;
