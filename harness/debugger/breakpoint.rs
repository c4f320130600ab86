//! Breakpoints, as a session keeps them. Guest memory does not show them.

use crate::address::Va;

/// The most breakpoints that a session keeps.
pub const BREAKPOINT_LIMIT: usize = 1024;

/// A breakpoint on an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breakpoint {
    /// The number that commands name it by.
    pub number: usize,
    /// The address it stops at.
    pub address: Va,
    /// The commands to execute there; empty for none.
    pub command: String,
}

/// The breakpoints of a session, by number.
#[derive(Clone, Debug, Default)]
pub struct Breakpoints {
    list: Vec<Breakpoint>,
}

impl Breakpoints {
    /// Adds a breakpoint with the lowest number that is free; one at the same address is
    /// redefined, and keeps its number. Gives the number, and whether it was there before; `None`
    /// when there are [`BREAKPOINT_LIMIT`] already.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoints};
    /// let mut breakpoints = Breakpoints::default();
    /// assert_eq!(breakpoints.set(Va(0x1000), "k;g"), Some((0, false)));
    /// assert_eq!(breakpoints.set(Va(0x1000), ""), Some((0, true)));
    /// ```
    pub fn set(&mut self, address: Va, command: &str) -> Option<(usize, bool)> {
        let command = command.to_string();
        if let Some(found) = self
            .list
            .iter_mut()
            .find(|breakpoint| breakpoint.address == address)
        {
            found.command = command;
            return Some((found.number, true));
        }
        if self.list.len() == BREAKPOINT_LIMIT {
            return None;
        }
        let taken = self
            .list
            .iter()
            .zip(0..)
            .take_while(|(one, at)| one.number == *at)
            .count();
        self.list.insert(
            taken,
            Breakpoint {
                number: taken,
                address,
                command,
            },
        );
        Some((taken, false))
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
        let at = self
            .list
            .iter()
            .position(|breakpoint| breakpoint.number == number)?;
        Some(self.list.remove(at))
    }

    /// The breakpoint at an address.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::Breakpoints};
    /// assert!(Breakpoints::default().at(Va(0)).is_none());
    /// ```
    pub fn at(&self, address: Va) -> Option<&Breakpoint> {
        self.list
            .iter()
            .find(|breakpoint| breakpoint.address == address)
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
    }
}
