//! Breakpoints, as a session keeps them. Guest memory does not show them.

use crate::address::Va;
use crate::machine::DataAccess;

/// The most breakpoints that a session keeps, and one more than the highest number of one.
pub const BREAKPOINT_LIMIT: usize = 1024;

/// What a breakpoint stops at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BreakpointKind {
    /// The instruction at the address, in front of it.
    #[default]
    Code,
    /// The same, as `ba e` sets it: as one of the processor's breakpoints, and not by a break
    /// instruction. Here both are the machine's, and nothing tells them apart but the listing.
    Execute {
        /// The size that was given: 1.
        size: u64,
    },
    /// An instruction that uses the bytes at the address, behind it.
    Data {
        /// Which use.
        access: DataAccess,
        /// How many bytes: 1, 2, 4 or 8.
        size: u64,
    },
}

impl BreakpointKind {
    /// Whether the guest is stopped in front of an instruction.
    ///
    /// ```
    /// use poolhit::debugger::breakpoint::BreakpointKind;
    /// assert!(BreakpointKind::Code.is_code());
    /// ```
    pub fn is_code(&self) -> bool {
        !matches!(self, BreakpointKind::Data { .. })
    }
}

/// How deep the stack has to be for a breakpoint to count, in frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StackDepth {
    /// Less than that (`/c`).
    Below(u64),
    /// More than that (`/C`).
    Above(u64),
}

/// When a breakpoint counts, and how often: the options of `bp` and its kin in the debugger's manual,
/// "bp, bu, bm (Set Breakpoint)".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BreakpointOptions {
    /// Only in this process, by the address of its `_EPROCESS` (`/p`).
    pub process: Option<Va>,
    /// Only in this thread, by the address of its `_ETHREAD` (`/t`).
    pub thread: Option<Va>,
    /// Only on a stack that is so deep (`/c`, `/C`).
    pub depth: Option<StackDepth>,
    /// Only where this expression has another value than 0 (`/w`).
    pub condition: Option<String>,
    /// It is removed when it has stopped the guest (`/1`).
    pub once: bool,
    /// The number of the pass that it counts at first; 0 is as 1.
    pub passes: u32,
}

/// A breakpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breakpoint {
    /// The number that commands name it by.
    pub number: usize,
    /// The address it stops at; zero while it is not resolved.
    pub address: Va,
    /// What it stops at there.
    pub kind: BreakpointKind,
    /// When it counts.
    pub options: BreakpointOptions,
    /// The passes left until it counts; 1 if it does at the next.
    pub passes_left: u32,
    /// Whether it counts at all.
    pub enabled: bool,
    /// The expression whose value is its address, whenever modules come and go (`bu`).
    pub symbol: Option<String>,
    /// The expression of a `bu` has an address now.
    pub resolved: bool,
    /// The commands to execute there; empty for none.
    pub command: String,
}

impl Breakpoint {
    /// One on an instruction, with nothing else to it.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoint};
    /// let breakpoint = Breakpoint::new(Va(0x1000), "k;g");
    /// assert!(breakpoint.enabled && breakpoint.is_plain());
    /// ```
    pub fn new(address: Va, command: &str) -> Breakpoint {
        Breakpoint {
            number: 0,
            address,
            kind: BreakpointKind::Code,
            options: BreakpointOptions::default(),
            passes_left: 1,
            enabled: true,
            symbol: None,
            resolved: true,
            command: command.to_string(),
        }
    }

    /// Whether it stops the guest each time that its address is come to.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoint};
    /// let mut breakpoint = Breakpoint::new(Va(0x1000), "");
    /// breakpoint.options.once = true;
    /// assert!(!breakpoint.is_plain());
    /// ```
    pub fn is_plain(&self) -> bool {
        let options = BreakpointOptions {
            passes: self.options.passes,
            ..BreakpointOptions::default()
        };
        self.is_set() && self.kind.is_code() && self.passes_left <= 1 && self.options == options
    }

    /// Whether the machine has it.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoint};
    /// let mut breakpoint = Breakpoint::new(Va(0x1000), "");
    /// breakpoint.enabled = false;
    /// assert!(!breakpoint.is_set());
    /// ```
    pub fn is_set(&self) -> bool {
        self.enabled && self.resolved
    }
}

/// The breakpoints of a session, by number.
#[derive(Clone, Debug, Default)]
pub struct Breakpoints {
    list: Vec<Breakpoint>,
}

impl Breakpoints {
    /// Adds a breakpoint with the lowest number that is free; one on an instruction at the same
    /// address is redefined, and keeps its number. Gives the number, and whether it was there before;
    /// `None` when there are [`BREAKPOINT_LIMIT`] already.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoints};
    /// let mut breakpoints = Breakpoints::default();
    /// assert_eq!(breakpoints.set(Va(0x1000), "k;g"), Some((0, false)));
    /// assert_eq!(breakpoints.set(Va(0x1000), ""), Some((0, true)));
    /// ```
    pub fn set(&mut self, address: Va, command: &str) -> Option<(usize, bool)> {
        self.add(Breakpoint::new(address, command), None)
    }

    /// Adds a breakpoint with this number, in place of the one that has it, or as
    /// [`set`](Breakpoints::set) does.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::{Breakpoint, Breakpoints}};
    /// let mut breakpoints = Breakpoints::default();
    /// let one = Breakpoint::new(Va(0x1000), "");
    /// assert_eq!(breakpoints.add(one.clone(), Some(7)), Some((7, false)));
    /// assert_eq!(breakpoints.add(one, None), Some((7, true)));
    /// ```
    pub fn add(
        &mut self,
        mut breakpoint: Breakpoint,
        number: Option<usize>,
    ) -> Option<(usize, bool)> {
        breakpoint.passes_left = breakpoint.options.passes.max(1);
        let same = |one: &Breakpoint| match number {
            Some(number) => one.number == number,
            None => {
                one.kind == breakpoint.kind
                    && one.resolved
                    && breakpoint.resolved
                    && one.address == breakpoint.address
            }
        };
        if let Some(at) = self.list.iter().position(same) {
            breakpoint.number = self.list[at].number;
            self.list[at] = breakpoint;
            return Some((self.list[at].number, true));
        }
        let taken = self.list.iter().zip(0..);
        let free = taken.take_while(|(one, at)| one.number == *at).count();
        breakpoint.number = number.unwrap_or(free);
        if self.list.len() >= BREAKPOINT_LIMIT || breakpoint.number >= BREAKPOINT_LIMIT {
            return None;
        }
        let number = breakpoint.number;
        let at = self.list.partition_point(|one| one.number < number);
        self.list.insert(at, breakpoint);
        Some((number, false))
    }

    /// Removes the breakpoint with this number.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoints};
    /// let mut breakpoints = Breakpoints::default();
    /// breakpoints.set(Va(0x1000), "");
    /// assert_eq!(breakpoints.remove(0).unwrap().address, Va(0x1000));
    /// assert!(breakpoints.remove(0).is_none());
    /// ```
    pub fn remove(&mut self, number: usize) -> Option<Breakpoint> {
        let at = self.list.iter().position(|one| one.number == number)?;
        Some(self.list.remove(at))
    }

    /// Gives the breakpoint with the number `old` the number `new`; `false` if there is none, or the
    /// new number is taken or too high.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoints};
    /// let mut breakpoints = Breakpoints::default();
    /// breakpoints.set(Va(0x1000), "");
    /// assert!(breakpoints.renumber(0, 5));
    /// assert!(!breakpoints.renumber(0, 6));
    /// ```
    pub fn renumber(&mut self, old: usize, new: usize) -> bool {
        if new >= BREAKPOINT_LIMIT || self.get(new).is_some() {
            return false;
        }
        let Some(mut breakpoint) = self.remove(old) else {
            return false;
        };
        breakpoint.number = new;
        let at = self.list.partition_point(|one| one.number < new);
        self.list.insert(at, breakpoint);
        true
    }

    /// The breakpoint with this number.
    ///
    /// ```
    /// assert!(poolhit::debugger::Breakpoints::default().get(0).is_none());
    /// ```
    pub fn get(&self, number: usize) -> Option<&Breakpoint> {
        self.list.iter().find(|one| one.number == number)
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Breakpoint> {
        self.list.iter_mut().find(|one| one.number == number)
    }

    /// The breakpoint that stops the guest in front of the instruction at an address: the first, if
    /// there are several.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoints};
    /// assert!(Breakpoints::default().at(Va(0)).is_none());
    /// ```
    pub fn at(&self, address: Va) -> Option<&Breakpoint> {
        let here = |one: &&Breakpoint| one.address == address && one.kind.is_code() && one.is_set();
        self.list.iter().find(here)
    }

    /// All of them, by number.
    ///
    /// ```
    /// assert_eq!(poolhit::debugger::Breakpoints::default().iter().count(), 0);
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Breakpoint> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_number_is_used_again() {
        let mut breakpoints = Breakpoints::default();
        for address in 0..3 {
            breakpoints.set(Va(address), "");
        }
        breakpoints.remove(1);
        assert_eq!(breakpoints.set(Va(9), ""), Some((1, false)));
        let numbers: Vec<_> = breakpoints
            .iter()
            .map(|one| (one.number, one.address.0))
            .collect();
        assert_eq!(numbers, [(0, 0), (1, 9), (2, 2)]);
    }

    #[test]
    fn there_is_a_limit() {
        let mut breakpoints = Breakpoints::default();
        for address in 0..BREAKPOINT_LIMIT as u64 {
            assert!(breakpoints.set(Va(address), "").is_some());
        }
        assert_eq!(breakpoints.set(Va(u64::MAX), ""), None);
        let one = Breakpoint::new(Va(0), "");
        assert_eq!(
            Breakpoints::default().add(one, Some(BREAKPOINT_LIMIT)),
            None
        );
    }

    #[test]
    fn numbers_stay_in_order() {
        let mut breakpoints = Breakpoints::default();
        for (address, number) in [(1, 9), (2, 3), (3, 5)] {
            breakpoints.add(Breakpoint::new(Va(address), ""), Some(number));
        }
        assert!(breakpoints.renumber(3, 20) && !breakpoints.renumber(5, 9));
        assert_eq!(breakpoints.set(Va(4), ""), Some((0, false)));
        let numbers: Vec<_> = breakpoints.iter().map(|one| one.number).collect();
        assert_eq!(numbers, [0, 5, 9, 20]);
    }
}
