//! Exceptions, and modules that come and go, as the debugger sees them: where the guest's kernel comes by.
//!
//! Windows' kernel tells its debugger of these. This one does not, so the debugger looks itself: at
//! `nt!RtlDispatchException`, where the search for a handler begins, at `nt!KiSecondChance`, where it
//! has found none, at `nt!IopCreateDriver` behind a module's loading and at `nt!MmUnloadSystemImage`. It
//! looks for what a filter has been set for: like a Windows without FLG_STOP_ON_EXCEPTION ("Stop on
//! exception" in the manual of GFlags), whose kernel tells of no first chance in kernel mode.

use super::event_filter::{BreakStatus, EventFilter, EventFilters};
use super::exception::ExceptionRecord;
use super::session::{Session, SessionError};
use super::stop::{ModuleEvent, StopReason};
use crate::address::Va;
use crate::guest::Lab;
use crate::machine::{EngineError, Exit};
use crate::memory::ReadMemory;
use crate::registers::{Gpr, Registers};

const DISPATCH: &str = "RtlDispatchException";
const SECOND_CHANCE: &str = "KiSecondChance";
const LOADED: &str = "IopCreateDriver";
const UNLOADED: &str = "MmUnloadSystemImage";
const PLACES: [&str; 4] = [DISPATCH, SECOND_CHANCE, LOADED, UNLOADED];
const MODULE_PLACES: [&str; 2] = [LOADED, UNLOADED];
/// `_LDR_DATA_TABLE_ENTRY`.
mod entry {
    pub const BASE: u64 = 0x30;
    pub const SIZE: u64 = 0x40;
    pub const PATH: u64 = 0x48;
    pub const NAME: u64 = 0x58;
}
/// The deepest that a trap frame of a second chance is looked for.
const FRAMES: usize = 64;

/// What the guest has come by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub reason: StopReason,
    /// Whether the guest stops.
    pub breaks: bool,
    /// Whether there is a message.
    pub shown: bool,
    /// The commands to execute.
    pub command: String,
    /// The guest stands at the start of the search for a handler.
    pub first_chance: bool,
    /// The exception is taken for handled when the guest goes on.
    pub handled: bool,
}

impl Event {
    fn new(reason: StopReason, filter: &EventFilter, first_chance: bool) -> Event {
        let second = matches!(
            reason,
            StopReason::Exception {
                first_chance: false,
                ..
            }
        );
        Event {
            breaks: match filter.status {
                BreakStatus::Break => true,
                BreakStatus::SecondChance => second,
                BreakStatus::Output | BreakStatus::Ignore => false,
            },
            shown: filter.status != BreakStatus::Ignore,
            command: match second {
                true => filter.second_command.clone(),
                false => filter.command.clone(),
            },
            first_chance,
            handled: filter.handled && first_chance,
            reason,
        }
    }

    /// Whether somebody is to be told of it.
    pub fn is_of_interest(&self) -> bool {
        self.breaks || self.shown || !self.command.is_empty() || self.handled
    }
}

/// The registers that a function keeps for its caller, and that are not in an exception's trap frame.
const KEPT: [Gpr; 7] = [
    Gpr::Rbx,
    Gpr::Rsi,
    Gpr::Rdi,
    Gpr::R12,
    Gpr::R13,
    Gpr::R14,
    Gpr::R15,
];

impl Session {
    /// Has the machine stop where events are seen; gives the places that it has not stopped at before.
    pub(super) fn watch_events(&mut self) -> Result<Vec<Va>, EngineError> {
        let mut added = Vec::new();
        let places: &[&str] = if self.control.filters.are_set() {
            &PLACES
        } else if self.follows_modules() {
            &MODULE_PLACES
        } else {
            &[]
        };
        for name in places {
            let Some(address) = self.lab.kernel_symbol(name) else {
                continue;
            };
            let machine = self.lab.machine_mut();
            if !machine.breakpoints().any(|one| one == address) {
                machine.set_breakpoint(address)?;
                added.push(address);
            }
        }
        Ok(added)
    }

    /// Whether a breakpoint is set by a symbol: it is looked for again when modules come and go.
    fn follows_modules(&self) -> bool {
        self.breakpoints.iter().any(|one| one.symbol.is_some())
    }

    /// Undoes that.
    pub(super) fn unwatch_events(&mut self, added: Vec<Va>) -> Result<(), EngineError> {
        for address in added {
            // a breakpoint may have come there meanwhile
            if self.breakpoints.at(address).is_none() {
                self.lab.machine_mut().clear_breakpoint(address)?;
            }
        }
        Ok(())
    }

    /// Whether the guest has come by an event that nobody wants to know of, and goes on. Others are
    /// noted down.
    pub(super) fn passes_event(&mut self, exit: &Exit) -> Result<bool, SessionError> {
        if !(self.control.filters.are_set() || self.follows_modules()) || self.forced_break {
            return Ok(false);
        }
        let hit = matches!(exit, Exit::HardcodedBreakpoint { .. });
        if let Some(event) = event_at(&self.lab, &self.control.filters, exit)
            .filter(|one| hit || one.is_of_interest())
        {
            self.control.event = Some(event);
            return Ok(false);
        }
        let Exit::Breakpoint { address } = exit else {
            return Ok(false);
        };
        let wanted =
            self.breakpoints.at(*address).is_some() || self.control.going_to.contains(address);
        let passes = !wanted && is_watched(&self.lab, *address);
        if passes && modules_change(&self.lab, *address) {
            self.modules = self.lab.modules();
            self.resolve_breakpoints()?;
        }
        Ok(passes)
    }

    /// The registers where an exception has come, of which the guest has told the debugger: the context
    /// record at its first chance, the innermost trap frame of the kernel's own at its second.
    pub(super) fn exception_context(&self, event: &Event) -> Option<(Registers, [u16; 6])> {
        if !matches!(event.reason, StopReason::Exception { .. }) {
            return None;
        }
        let here = self.lab.machine().registers();
        if event.first_chance {
            let at = Va(here.get(Gpr::Rdx));
            return self.context_registers(at).zip(self.context_segments(at));
        }
        let frames = self.stack_frames(&here, FRAMES);
        let trap = frames.iter().position(|frame| frame.trap_frame.is_some())?;
        let behind = frames.get(trap + 1)?;
        let at = frames[trap]
            .trap_frame
            .filter(|_| behind.site.address.is_kernel())?;
        let mut registers = self.trap_frame_registers(at)?;
        // what the trap frame does not have, the stack has
        for register in KEPT {
            registers.set(register, behind.registers.get(register));
        }
        Some(registers).zip(self.trap_frame_segments(at))
    }

    /// Takes the exception that has stopped the guest at its first chance for handled: when it goes on,
    /// it does so where the exception has come (`gh`). `false` if there is none.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// assert!(!session.handle_exception()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle_exception(&mut self) -> Result<bool, SessionError> {
        let first_chance = matches!(
            self.last_stop().map(|stop| &stop.reason),
            Some(StopReason::Exception {
                first_chance: true,
                ..
            })
        );
        if !first_chance {
            return Ok(false);
        }
        leave_search(&mut self.lab)
    }
}

/// Whether events are seen here.
pub(super) fn is_watched(lab: &Lab, address: Va) -> bool {
    is_one_of(lab, address, &PLACES)
}

/// Whether modules come or go at this address.
pub(super) fn modules_change(lab: &Lab, address: Va) -> bool {
    is_one_of(lab, address, &MODULE_PLACES)
}

fn is_one_of(lab: &Lab, address: Va, places: &[&str]) -> bool {
    let mut places = places.iter();
    places.any(|name| lab.kernel_symbol(name) == Some(address))
}

/// The event that a lab has come by, if a filter has been set for it.
pub(super) fn event_at(lab: &Lab, filters: &EventFilters, exit: &Exit) -> Option<Event> {
    let machine = lab.machine();
    let registers = machine.registers();
    let here = match exit {
        Exit::Breakpoint { address } => *address,
        Exit::HardcodedBreakpoint { .. } => {
            let reason = StopReason::of_break_instruction(lab);
            let filter = filters.of_exception(super::exception::STATUS_BREAKPOINT);
            let hit = reason == StopReason::BreakInstruction;
            return (hit && filter.is_set).then(|| Event::new(reason, filter, false));
        }
        _ => return None,
    };
    let is = |name: &str| lab.kernel_symbol(name) == Some(here);
    if is(DISPATCH) || is(SECOND_CHANCE) {
        let record = ExceptionRecord::read(machine, Va(registers.get(Gpr::Rcx))).ok()?;
        let filter = filters.of_exception(record.code);
        if !filter.is_set {
            return None;
        }
        let first_chance = is(DISPATCH);
        let reason = StopReason::Exception {
            record: Box::new(record),
            first_chance,
        };
        return Some(Event::new(reason, filter, first_chance));
    }
    let loaded = is(LOADED);
    if !loaded && !is(UNLOADED) {
        return None;
    }
    let argument = if loaded { Gpr::Rdx } else { Gpr::Rcx };
    let module = module_event(machine, Va(registers.get(argument)))?;
    let filter = filters.of_module(&module.name, loaded)?;
    if !filter.is_set {
        return None;
    }
    let reason = match loaded {
        true => StopReason::ModuleLoad(Box::new(module)),
        false => StopReason::ModuleUnload(Box::new(module)),
    };
    Some(Event::new(reason, filter, false))
}

/// A module by its `_LDR_DATA_TABLE_ENTRY`.
fn module_event(memory: &dyn ReadMemory, at: Va) -> Option<ModuleEvent> {
    let base = memory.read_va(at.wrapping_add(entry::BASE)).ok()?;
    let size = memory.read_u32(at.wrapping_add(entry::SIZE)).ok()?;
    let text =
        |offset: u64| crate::guest::read_unicode_string(memory, at.wrapping_add(offset)).ok();
    Some(ModuleEvent {
        name: text(entry::NAME)?,
        path: text(entry::PATH).unwrap_or_default(),
        base,
        end: base.wrapping_add(size.into()),
    })
}

/// Has the guest go on, from the start of the search for a handler, as if one had been found that takes the
/// exception for handled. `false` if it does not stand there.
pub(super) fn leave_search(lab: &mut Lab) -> Result<bool, SessionError> {
    let mut registers = lab.machine().registers();
    if lab.kernel_symbol(DISPATCH) != Some(registers.rip()) {
        return Ok(false);
    }
    let stack = registers.get(Gpr::Rsp);
    let back = lab.machine().read_u64(Va(stack))?;
    registers.set(Gpr::Rax, 1);
    registers.set(Gpr::Rsp, stack.wrapping_add(8));
    registers.rip = back;
    lab.machine_mut().set_registers(&registers)?;
    Ok(true)
}
