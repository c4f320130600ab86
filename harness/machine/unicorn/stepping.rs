//! Single steps, and memory and ports whose use stops the guest.
//!
//! Both need to stop behind an instruction, which is in front of the next one: a hook that sees every
//! instruction does it within a block of code, and the start of a block where the last one has left the
//! block. That hook makes the guest many times slower, so it is there only while it is needed.

use super::hooks::State;
use super::registers::Handle;
use super::{Engine, EngineError, Refusal};
use crate::address::{Pa, Va};
use crate::machine::exit::Exit;
use crate::machine::paging::{PAGE_SIZE, translate};
use unicorn_engine::{HookType, MemType, RegisterX86 as Reg, Unicorn};

/// The most bytes that one access of an instruction's has.
const WIDEST: u64 = 64;

/// How far a step is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// None is asked for.
    #[default]
    Off,
    /// Its instruction is still to come.
    Armed,
    /// The instruction at this address executes.
    At(u64),
}

/// What is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accesses {
    /// Writes to memory.
    Writes,
    /// Reads of memory and writes to it.
    ReadsAndWrites,
    /// Ports that are read or written.
    Ports,
}

/// Bytes whose use stops the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchedData {
    /// What the stop names it by.
    pub number: usize,
    /// The first byte, or the first port.
    pub address: u64,
    /// How many bytes.
    pub length: u64,
    /// Which uses.
    pub accesses: Accesses,
}

impl WatchedData {
    /// Whether an access touches it, by numbers of the same kind.
    fn overlaps(&self, first: u64, start: u64, length: u64) -> bool {
        start < first.saturating_add(self.length) && first < start.saturating_add(length)
    }
}

/// What the hooks know of steps.
#[derive(Default)]
pub struct Stepping {
    phase: Phase,
    watched: Vec<WatchedData>,
    /// What the instruction that executes has used.
    used: Option<usize>,
}

impl Stepping {
    #[inline]
    pub fn is_in_use(&self) -> bool {
        self.phase != Phase::Off || !self.watched.is_empty()
    }

    /// What the run ends with behind the instruction that has executed, if it does.
    fn end(&self, next: Option<u64>) -> Option<Exit> {
        if let Some(number) = self.used {
            return Some(Exit::DataBreakpoint { number });
        }
        match self.phase {
            Phase::At(at) if next != Some(at) => Some(Exit::Step),
            _ => None,
        }
    }
}

impl State {
    /// Whether an address is in the machine's own code, whose instructions are parts of others.
    fn is_machine_s(&self, address: u64) -> bool {
        let inside = |page: u64| address.wrapping_sub(page) < PAGE_SIZE;
        inside(self.syscall_target) || inside(self.behind_gate)
    }

    /// Whether the run ends in front of this instruction, so that nobody else is to see it yet.
    pub fn ends_in_front_of(&self, address: u64) -> bool {
        self.stepping.is_in_use()
            && !self.is_machine_s(address)
            && self.stepping.end(Some(address)).is_some()
    }
}

/// Whether the run ends in front of a block of code.
#[cold]
pub fn ends_at_block(uc: &mut Unicorn<'_, State>, address: u64) -> bool {
    let state = uc.get_data_mut();
    if state.aside || state.exit.is_some() || state.is_machine_s(address) {
        return false;
    }
    // An instruction that jumps to itself, or repeats itself, has executed.
    let Some(exit) = state.stepping.end(None) else {
        return false;
    };
    state.block = 0..0;
    state.exit = Some(exit);
    let _ = uc.emu_stop();
    true
}

/// An instruction is about to execute.
fn on_every(uc: &mut Unicorn<'_, State>, address: u64) {
    let state = uc.get_data_mut();
    if state.aside
        || state.exit.is_some()
        || state.panic.is_some()
        || !state.stepping.is_in_use()
        || state.is_machine_s(address)
    {
        return;
    }
    if let Some(exit) = state.stepping.end(Some(address)) {
        state.exit = Some(exit);
        let _ = uc.emu_stop();
    } else if state.stepping.phase == Phase::Armed {
        state.stepping.phase = Phase::At(address);
    }
}

/// Memory is read or written, at a physical address.
fn on_access(uc: &mut Unicorn<'_, State>, kind: MemType, at: u64, size: usize) {
    let state = uc.get_data();
    if state.aside || state.stepping.used.is_some() {
        return;
    }
    let size = size as u64;
    let writes = matches!(kind, MemType::WRITE);
    let near = |one: &&WatchedData| {
        let kind = match one.accesses {
            Accesses::Writes => writes,
            Accesses::ReadsAndWrites => true,
            Accesses::Ports => false,
        };
        // The offset in a page is the same for both kinds of addresses.
        kind && at.wrapping_sub(one.address).wrapping_add(WIDEST) % PAGE_SIZE
            < one.length + 2 * WIDEST
    };
    let found: Vec<WatchedData> = state
        .stepping
        .watched
        .iter()
        .filter(near)
        .copied()
        .collect();
    if found.is_empty() {
        return;
    }
    let root = Pa(Handle::of(uc).read(Reg::CR3));
    let state = uc.get_data_mut();
    let used = found.iter().find(|one| {
        let first = translate(&state.ram, root, Va(one.address));
        first.is_ok_and(|first| one.overlaps(first.physical.0, at, size))
    });
    state.stepping.used = used.map(|one| one.number);
}

/// A port is read or written.
pub fn on_port(state: &mut State, port: u32, size: usize) {
    let ports = state.stepping.watched.iter();
    let mut ports = ports.filter(|one| one.accesses == Accesses::Ports);
    let used = ports.find(|one| one.overlaps(one.address, port.into(), size as u64));
    if let Some(one) = used.filter(|_| !state.aside && state.stepping.used.is_none()) {
        state.stepping.used = Some(one.number);
    }
}

impl Engine {
    /// The next run is a single step.
    pub fn begin_step(&mut self) -> Result<(), EngineError> {
        self.see_every_instruction()?;
        self.uc.get_data_mut().stepping.phase = Phase::Armed;
        Ok(())
    }

    /// The step is over. Whether its instruction has executed, or begun to.
    pub fn end_step(&mut self) -> Option<u64> {
        let phase = &mut self.uc.get_data_mut().stepping.phase;
        match std::mem::take(phase) {
            Phase::At(at) => Some(at),
            Phase::Off | Phase::Armed => None,
        }
    }

    /// The next run is none: instructions need not be seen, if no data is watched.
    pub fn no_step(&mut self) -> Result<(), EngineError> {
        self.uc.get_data_mut().stepping.used = None;
        if !self.uc.get_data().stepping.watched.is_empty() {
            return self.see_every_instruction();
        }
        match self.every.take() {
            Some(hook) => self.remove_hook(hook),
            None => Ok(()),
        }
    }

    fn see_every_instruction(&mut self) -> Result<(), EngineError> {
        self.uc.get_data_mut().stepping.used = None;
        if self.every.is_none() {
            let hook = self
                .uc
                .add_code_hook(1, 0, |uc, address, _| on_every(uc, address));
            self.every = Some(hook.refused("see every instruction")?);
            self.code_changed()?;
        }
        Ok(())
    }

    /// Watches these bytes, in place of those before.
    pub fn watch_data(&mut self, watched: Vec<WatchedData>) -> Result<(), EngineError> {
        if let Some(hook) = self.accesses.take() {
            self.remove_hook(hook)?;
        }
        if watched.iter().any(|one| one.accesses != Accesses::Ports) {
            let kinds = HookType::MEM_READ | HookType::MEM_WRITE;
            let hook = self.uc.add_mem_hook(kinds, 1, 0, |uc, kind, at, size, _| {
                on_access(uc, kind, at, size);
                true
            });
            self.accesses = Some(hook.refused("watch memory")?);
            self.code_changed()?;
        }
        self.uc.get_data_mut().stepping.watched = watched;
        Ok(())
    }

    /// What is watched.
    pub fn watched_data(&self) -> &[WatchedData] {
        &self.uc.get_data().stepping.watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_overlap_by_any_byte() {
        let watched = WatchedData {
            number: 0,
            address: 0x1000,
            length: 4,
            accesses: Accesses::Writes,
        };
        for (start, length, expected) in [
            (0xfff, 1, false),
            (0xfff, 2, true),
            (0x1003, 1, true),
            (0x1004, 8, false),
            (0xff0, 0x40, true),
            (u64::MAX, 8, false),
        ] {
            assert_eq!(
                watched.overlaps(0x1000, start, length),
                expected,
                "{start:x}"
            );
        }
    }

    #[test]
    fn a_step_ends_in_front_of_another_instruction() {
        let mut stepping = Stepping::default();
        assert!(!stepping.is_in_use());
        stepping.phase = Phase::Armed;
        assert_eq!(stepping.end(Some(8)), None);
        stepping.phase = Phase::At(8);
        assert_eq!(stepping.end(Some(8)), None);
        assert_eq!(stepping.end(Some(9)), Some(Exit::Step));
        assert_eq!(stepping.end(None), Some(Exit::Step));
        stepping.used = Some(3);
        let used = Exit::DataBreakpoint { number: 3 };
        assert_eq!(stepping.end(Some(8)), Some(used));
    }
}
