//! The engine's state, to be saved and brought back, in the same engine or in another one.

use super::registers::RareRegisters;
use super::task_priority::TaskPriority;
use super::{Engine, EngineError, Refusal, Uc, hooks};
use crate::machine::GuestRam;
use crate::machine::debug_port::DebugPort;
use crate::machine::pci::PciBus;
use crate::machine::ring_gate::RingGate;
use crate::machine::saved_memory::SavedMemory;
use crate::machine::timer::IntervalTimer;
use std::collections::BTreeMap;
use std::sync::Arc;
use unicorn_engine::{Context, RegisterX86 as Reg};

/// The engine's copy of a processor's registers, and of what else a run depends on.
///
/// It is the first part of the engine's processor (all up to `end_reset_fields` of its
/// `CPUX86State`), copied byte for byte. Every engine here has the same processor model, so that it
/// fits another one as well as its own; that part has no pointers but to hardware breakpoints
/// (see [`Engine::has_hardware_breakpoints`]).
pub(super) struct SavedContext(Context);

// SAFETY: a context is a piece of memory that the engine's library has allocated; it is bound to no
// thread. After it has been made, it is only read, by `uc_context_restore`, until it is freed.
unsafe impl Send for SavedContext {}
// SAFETY: as above: nothing changes it behind a shared reference.
unsafe impl Sync for SavedContext {}

// SAFETY: the engine keeps nothing for a thread (its random numbers apart, which this processor model
// has no instruction for), and runs on the thread that calls it. All owners of what it shares (its
// hooks refer to it) are inside, so everything moves together. On Apple's processors, whether
// translated code may be written is a matter of the thread, so there it stays.
#[cfg(not(target_vendor = "apple"))]
unsafe impl Send for Engine {}

impl SavedContext {
    pub fn of(uc: &Uc) -> Result<SavedContext, EngineError> {
        let context = uc.context_init().refused("keep the processor's state")?;
        Ok(SavedContext(context))
    }

    pub fn restore(&self, uc: &Uc) -> Result<(), EngineError> {
        uc.context_restore(&self.0)
            .refused("restore the processor's state")
    }
}

/// A processor's state, kept to come back to.
pub struct EngineState {
    context: SavedContext,
    /// As in [`Engine`].
    clean: Arc<SavedContext>,
    rare: RareRegisters,
    work: u64,
    entry: u64,
    calling: bool,
    priority: Arc<TaskPriority>,
    port: DebugPort,
    pci: PciBus,
    timer: IntervalTimer,
    skipped: u64,
    stopped_at: Option<u64>,
    block_ends: [u64; 2],
    has_beyond: bool,
}

impl Engine {
    /// Another engine for the memory and state of a processor.
    pub fn from_state(
        ram: GuestRam,
        gate: &RingGate,
        saved: &EngineState,
    ) -> Result<Engine, EngineError> {
        let mut engine = Engine {
            uc: Engine::processor(&ram, gate)?,
            clean: Arc::clone(&saved.clean),
            breakpoints: BTreeMap::new(),
            trace: None,
            every: None,
            accesses: None,
            watch: Vec::new(),
            stopped_at: None,
            forgotten_breakpoints: false,
            ram,
        };
        hooks::install(&mut engine.uc)?;
        engine.watch_task_priority(Arc::clone(&saved.priority))?;
        engine.restore_registers(saved)?;
        Ok(engine)
    }

    /// Whether the guest has set breakpoints in the debug registers. The engine keeps those in
    /// lists of its own, which no context has.
    pub(super) fn has_hardware_breakpoints(&self) -> bool {
        self.forgotten_breakpoints || self.register(Reg::DR7) & 0xff != 0
    }

    /// Keeps the processor's state and what counts with it.
    pub fn save(&self) -> Result<EngineState, EngineError> {
        if self.has_hardware_breakpoints() {
            return Err(EngineError {
                doing: "keep the processor's state",
                reason: "the guest has breakpoints in the debug registers",
            });
        }
        let state = self.uc.get_data();
        Ok(EngineState {
            context: SavedContext::of(&self.uc)?,
            clean: Arc::clone(&self.clean),
            rare: RareRegisters::read(&self.uc),
            work: state.work,
            entry: state.entry,
            calling: state.calling,
            priority: Arc::clone(&state.priority),
            port: state.port.clone(),
            pci: state.pci,
            timer: state.timer,
            skipped: state.skipped,
            stopped_at: self.stopped_at,
            block_ends: state.block_ends,
            has_beyond: state.has_beyond,
        })
    }

    /// Keeps the memory.
    pub fn save_memory(&mut self) -> Result<SavedMemory, EngineError> {
        self.ram.save().map_err(|_| EngineError {
            doing: "keep the guest's memory",
            reason: "the host refuses",
        })
    }

    /// Brings memory and the processor's state back. Translated code is dropped only if the bytes
    /// that it was made from have changed.
    pub fn restore(
        &mut self,
        gate: &RingGate,
        memory: &SavedMemory,
        saved: &EngineState,
    ) -> Result<(), EngineError> {
        let known = &self.uc.get_data().priority;
        let is_other = !Arc::ptr_eq(known, &saved.priority) && *known != saved.priority;
        let knows_more = self.has_beyond() && !saved.has_beyond;
        if is_other || knows_more || self.has_hardware_breakpoints() {
            self.renew(gate, &saved.priority)?;
        }
        let code = &self.uc.get_data().translated;
        let restored = self.ram.restore(memory, code);
        let code_changed = restored.map_err(|_| EngineError {
            doing: "restore the guest's memory",
            reason: "the host refuses",
        })?;
        self.restore_registers(saved)?;
        if code_changed {
            self.code_changed()?;
        }
        self.tables_changed()
    }

    fn restore_registers(&mut self, saved: &EngineState) -> Result<(), EngineError> {
        if saved.has_beyond {
            self.map_beyond()?;
        }
        saved.context.restore(&self.uc)?;
        saved.rare.write(&mut self.uc);
        self.stopped_at = saved.stopped_at;
        let state = self.uc.get_data_mut();
        state.work = saved.work;
        state.entry = saved.entry;
        state.calling = saved.calling;
        state.port.clone_from(&saved.port);
        state.pci = saved.pci;
        state.timer = saved.timer;
        state.skipped = saved.skipped;
        state.block_ends = saved.block_ends;
        state.block = 0..0;
        state.entry_moved = false;
        state.watches.clear();
        Ok(())
    }

    /// Starts with an engine that remembers nothing, but for the breakpoints.
    fn renew(&mut self, gate: &RingGate, priority: &Arc<TaskPriority>) -> Result<(), EngineError> {
        let before = self.uc.get_data_mut();
        let (probe, points) = (before.probe.take(), std::mem::take(&mut before.points));
        let (tracer, charged) = (before.tracer.take(), before.charged);
        let watched = self.watched_data().to_vec();
        self.uc = Engine::processor(&self.ram, gate)?;
        self.forgotten_breakpoints = false;
        hooks::install(&mut self.uc)?;
        self.watch_task_priority(Arc::clone(priority))?;
        let state = self.uc.get_data_mut();
        state.probe = probe;
        state.points = points;
        state.charged = charged;
        self.trace = None;
        self.set_tracer(tracer)?;
        (self.every, self.accesses) = (None, None);
        self.watch_data(watched)?;
        for address in std::mem::take(&mut self.breakpoints).into_keys() {
            self.add_breakpoint(address)?;
        }
        Ok(())
    }
}
