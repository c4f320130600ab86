//! Probes: code of the host's that looks at the guest in the middle of a run and lets it go on.
//!
//! A stop costs the engine some microseconds; a probe costs what it does itself. It sees the guest as
//! [`Observed`] and cannot change it, so a run with a probe is the same run as without, but for where
//! the probe says stop.
//!
//! A probe or tracer may panic, as an assertion in a test does: the run stops, and the panic goes on
//! in whoever has run the machine. What the machine does afterwards is not defined.
//!
//! A machine has one probe. A [`Session`](crate::Session) that records hits, or has breakpoints whose
//! commands go on, sets its own in place of it.

pub use super::unicorn::{Observed, RETURN_LIMIT, Words};

use crate::address::Va;
use std::any::Any;

/// What looks at the guest at the machine's probe points.
///
/// A probe point is the address of an instruction that would stop the guest: an `int 3`, or one with
/// a breakpoint on it. Elsewhere a point has no effect.
pub trait Probe: Any + Send {
    /// The guest is at a probe point: `None` stops it there, as if there were no probe.
    fn hit(&mut self, guest: &Observed<'_>, point: Point) -> Option<Pass>;

    /// A call that was to be watched has returned; the guest is at its return address.
    fn returned(&mut self, guest: &Observed<'_>, token: u64) {
        let _ = (guest, token);
    }
}

/// What would stop the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// An `int 3` of the guest's own, which has executed.
    BreakInstruction {
        /// Its address.
        address: Va,
    },
    /// A breakpoint, in front of the instruction it is on. An `int 3` there is a point of its own.
    Breakpoint {
        /// Its address.
        address: Va,
    },
}

/// What comes of a probe point.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pass {
    /// Work taken from the limit of the run, in bytes of code: what bounds the output of probes.
    pub charge: u64,
    /// A call to be watched until it returns.
    pub watch: Option<ReturnWatch>,
    /// The guest does not go on, but stops as if there were no probe.
    pub stops: bool,
}

/// A call in progress that a probe wants to see return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReturnWatch {
    /// The return address.
    pub address: Va,
    /// The stack pointer behind the `ret`.
    pub stack: Va,
    /// What [`Probe::returned`] is told.
    pub token: u64,
}

/// What sees the guest reach chosen instructions, whoever else looks at it: breakpoints, a
/// [`Probe`] and a session's own are not in its way, nor is it in theirs. It can neither stop the guest
/// nor charge it.
///
/// What it knows is about the guest's past, so it goes where the guest goes: a lab that is saved keeps
/// a copy of it, and brings that back ([`copy`](Watcher::copy)).
pub trait Watcher: Any + Send + Sync {
    /// The instruction at `address`, one of its points, is about to execute. A call can be named whose
    /// return it wants to see.
    fn reached(&mut self, guest: &Observed<'_>, address: Va) -> Option<ReturnWatch>;

    /// A call that was to be watched has returned; the guest is at its return address.
    fn returned(&mut self, guest: &Observed<'_>, token: u64) {
        let _ = (guest, token);
    }

    /// The guest has started up, and is at the debugger's first prompt.
    fn started(&mut self) {}

    /// A driver is loaded, or given a device, until [`started`](Watcher::started) is told again.
    fn starting(&mut self) {}

    /// The driver with this file name has been unloaded.
    fn unloaded(&mut self, image_name: &str) {
        let _ = image_name;
    }

    /// Another one that knows the same.
    fn copy(&self) -> Box<dyn Watcher>;
}

/// What looks at every instruction before it executes. Some hundred times slower than a run without.
///
/// It sees those of the machine's [gate](super::RingGate) too, which lie in no module: system calls go
/// through it.
pub trait Tracer: Any + Send {
    /// The instruction at RIP is about to execute.
    fn instruction(&mut self, guest: &Observed<'_>);
}
