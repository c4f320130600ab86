//! Setting and changing breakpoints: what the session keeps, and what the machine has of it.

use super::breakpoint::{Breakpoint, BreakpointKind};
use super::expression::evaluate;
use super::session::{Session, SessionError};
use crate::address::Va;

impl Session {
    /// Sets a breakpoint with the commands that [`execute`](Session::execute) executes at it
    /// ([`go`](Session::go) stops there in any case), or redefines the one at this address.
    /// Gives its number, and whether it was there before.
    ///
    /// # Errors
    /// There are too many, or the engine refuses.
    ///
    /// ```
    /// # use poolhit::{Lab, Session, StopReason};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let address = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    /// session.set_breakpoint(address, "")?;
    /// assert_eq!(session.go()?.reason, StopReason::Breakpoint { number: 0 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_breakpoint(
        &mut self,
        address: Va,
        command: &str,
    ) -> Result<(usize, bool), SessionError> {
        self.add_breakpoint(Breakpoint::new(address, command), None)
    }

    /// Sets a breakpoint of any kind, with this number if one is given: then it takes the place of the
    /// one that has it. Gives its number, and whether it was there before.
    ///
    /// # Errors
    /// As for [`set_breakpoint`](Session::set_breakpoint).
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason};
    /// use poolhit::debugger::{Breakpoint, breakpoint::BreakpointKind};
    /// use poolhit::machine::DataAccess;
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let tag = session.resolve("nt!PoolHitTag").unwrap();
    /// let read = BreakpointKind::Data { access: DataAccess::ReadWrite, size: 4 };
    /// session.add_breakpoint(Breakpoint { kind: read, ..Breakpoint::new(tag, "") }, Some(3))?;
    /// assert_eq!(session.go()?.reason, StopReason::Breakpoint { number: 3 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_breakpoint(
        &mut self,
        breakpoint: Breakpoint,
        number: Option<usize>,
    ) -> Result<(usize, bool), SessionError> {
        let before = number.and_then(|number| self.breakpoints.get(number).cloned());
        let added = self.breakpoints.add(breakpoint, number);
        let set = added.ok_or(SessionError::TooManyBreakpoints)?;
        if let Some(before) = before {
            self.tell_machine(&before)?;
        }
        if let Some(now) = self.breakpoints.get(set.0).cloned() {
            self.tell_machine(&now)?;
        }
        Ok(set)
    }

    /// Removes a breakpoint by its number.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// # use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// assert!(session.clear_breakpoint(7)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear_breakpoint(&mut self, number: usize) -> Result<Option<Breakpoint>, SessionError> {
        let removed = self.breakpoints.remove(number);
        if let Some(breakpoint) = &removed {
            self.tell_machine(breakpoint)?;
        }
        Ok(removed)
    }

    /// Lets a breakpoint count, or not; `false` if there is none with this number.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// # use poolhit::{Lab, Session, StopReason};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let address = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    /// session.set_breakpoint(address, "")?;
    /// assert!(session.enable_breakpoint(0, false)?);
    /// assert_eq!(session.go()?.reason, StopReason::Idle { exit_status: Some(0) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn enable_breakpoint(
        &mut self,
        number: usize,
        enabled: bool,
    ) -> Result<bool, SessionError> {
        let Some(breakpoint) = self.breakpoints.get_mut(number) else {
            return Ok(false);
        };
        breakpoint.enabled = enabled;
        let now = breakpoint.clone();
        self.tell_machine(&now)?;
        Ok(true)
    }

    /// Gives the breakpoint with the number `old` the number `new`; `false` if there is none, or the
    /// new number is taken or too high.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// # use poolhit::{Lab, Session, address::Va};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.set_breakpoint(Va(0x1000), "")?;
    /// assert!(session.renumber_breakpoint(0, 9)?);
    /// assert_eq!(session.breakpoints().get(9).unwrap().address, Va(0x1000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn renumber_breakpoint(&mut self, old: usize, new: usize) -> Result<bool, SessionError> {
        let Some(before) = self.breakpoints.get(old).cloned() else {
            return Ok(false);
        };
        if !self.breakpoints.renumber(old, new) {
            return Ok(false);
        }
        self.tell_machine(&before)?;
        if let Some(now) = self.breakpoints.get(new).cloned() {
            self.tell_machine(&now)?;
        }
        Ok(true)
    }

    /// Has the machine stop where the session's breakpoints are now that this one has come, gone or
    /// changed.
    fn tell_machine(&mut self, changed: &Breakpoint) -> Result<(), SessionError> {
        let known = self.breakpoints.get(changed.number);
        match changed.kind {
            BreakpointKind::Data { access, size } => {
                let machine = self.lab.machine_mut();
                match known.filter(|one| one.is_set() && one.kind == changed.kind) {
                    Some(one) => machine.watch_data(one.number, one.address, size, access)?,
                    None => machine.unwatch_data(changed.number)?,
                }
            }
            _ => {
                let wanted = self.breakpoints.at(changed.address).is_some();
                let machine = self.lab.machine_mut();
                match wanted {
                    true => machine.set_breakpoint(changed.address)?,
                    false => machine.clear_breakpoint(changed.address)?,
                }
            }
        }
        Ok(())
    }

    /// Looks where the breakpoints are that follow a symbol, now that modules may have come or gone.
    pub(super) fn resolve_breakpoints(&mut self) -> Result<(), SessionError> {
        let symbols = self.breakpoints.iter();
        let symbols = symbols.filter_map(|one| Some((one.number, one.symbol.clone()?)));
        let symbols: Vec<(usize, String)> = symbols.collect();
        for (number, symbol) in symbols {
            let now = evaluate(&symbol, self).ok().map(Va);
            let Some(one) = self.breakpoints.get_mut(number) else {
                continue;
            };
            let was = one.resolved.then_some(one.address);
            if was == now {
                continue;
            }
            let before = one.clone();
            one.resolved = now.is_some();
            one.address = now.unwrap_or_default();
            let after = one.clone();
            self.tell_machine(&before)?;
            if after.resolved {
                self.tell_machine(&after)?;
            }
        }
        Ok(())
    }
}
