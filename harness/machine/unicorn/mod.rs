//! The engine: the one file that knows Unicorn.
//!
//! What Unicorn does and does not do (interrupts do not go through the IDT, `syscall` is only
//! hooked, a fault is remembered for ever) is dealt with here and in [`super::ring_gate`], so that
//! everything above sees a plain processor.
#![allow(unsafe_code)]

mod beyond_ram;
mod devices;
mod engine_state;
mod error;
mod hooks;
mod observed;
mod registers;
mod stepping;
mod system_registers;
mod task_priority;
mod watches;
mod watching;

pub(super) use engine_state::EngineState;
use engine_state::SavedContext;
pub use error::EngineError;
use error::{Refusal, reason};
use hooks::{State, on_breakpoint, on_instruction};
use observed::RamView;
pub use observed::{Observed, Words};
pub(super) use registers::{Msr, Table, TableRegister};
pub use stepping::Accesses;
pub(super) use stepping::WatchedData;
pub use task_priority::{TaskPriority, find_sites};
pub use watches::RETURN_LIMIT;
pub(super) use watching::Watch;

use super::debug_port::DebugPort;
use super::exit::Exit;
use super::paging::{PAGE_SIZE, translate};
use super::pci::PciBus;
use super::probe::{Probe, Tracer};
use super::ram::GuestRam;
use super::ring_gate::RingGate;
use super::timer::IntervalTimer;
use crate::address::{Pa, Va};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use unicorn_engine::{Arch, Mode, Prot, RegisterX86 as Reg, UcHookId, Unicorn, X86CpuModel};

type Uc = Unicorn<'static, State>;

/// One emulated x64 processor and the memory it runs on.
pub(super) struct Engine {
    // Declared before the memory, so that it is dropped first.
    uc: Uc,
    /// A ring 0 state from before any fault.
    clean: Arc<SavedContext>,
    breakpoints: BTreeMap<u64, UcHookId>,
    /// Calls the tracer, if there is one.
    trace: Option<UcHookId>,
    /// Sees every instruction, for steps and watched data.
    every: Option<UcHookId>,
    /// Sees accesses to watched data.
    accesses: Option<UcHookId>,
    /// Calls the watcher, at each of its points.
    watch: Vec<UcHookId>,
    /// Where the processor has stopped, and a breakpoint has been reported if there is one: going on
    /// passes it.
    stopped_at: Option<u64>,
    /// The engine has hardware breakpoints that the debug registers do not name any more.
    forgotten_breakpoints: bool,
    ram: GuestRam,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("ram", &self.ram)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// A processor in 64-bit mode with paging on, the tables at `cr3` and the GDT in place.
    pub fn new(
        ram: GuestRam,
        cr3: u64,
        gdt: TableRegister,
        task: TableRegister,
        gate: &RingGate,
    ) -> Result<Engine, EngineError> {
        let uc = Engine::processor(&ram, gate)?;
        let mut engine = Engine {
            clean: Arc::new(SavedContext::of(&uc)?),
            uc,
            breakpoints: BTreeMap::new(),
            trace: None,
            every: None,
            accesses: None,
            watch: Vec::new(),
            stopped_at: None,
            forgotten_breakpoints: false,
            ram,
        };
        engine.start_paging(cr3)?;
        engine.start_floats()?;
        engine.set_table(Table::Gdt, gdt)?;
        engine.set_table(Table::Task, task)?;
        engine.uc.reg_write(Reg::CS, 0x10).refused("load CS")?;
        engine.uc.reg_write(Reg::SS, 0x18).refused("load SS")?;
        hooks::install(&mut engine.uc)?;
        engine.clean = Arc::new(SavedContext::of(&engine.uc)?);
        Ok(engine)
    }

    /// Runs the code that loads the data segments. The bases of FS and GS are then what their descriptors say.
    pub fn load_segments(&mut self, code: Va) -> Result<(), EngineError> {
        if self.run_aside(code)? != Exit::Halt {
            return Err(EngineError {
                doing: "load the data segments",
                reason: "the descriptor table does not have them",
            });
        }
        self.clean = Arc::new(SavedContext::of(&self.uc)?);
        Ok(())
    }

    /// An engine with the guest's memory, and nothing else set up.
    fn processor(ram: &GuestRam, gate: &RingGate) -> Result<Uc, EngineError> {
        // SAFETY: as for the engine's own mapping below. What is given to the hooks is used by the
        // thread that runs the engine, in its runs.
        let view = unsafe { RamView::new(ram.host_pointer(), ram.size()) };
        let state = State::new(gate.user_page, gate.behind_gate(), view, ram.page_count());
        let doing = "make a processor";
        let mut uc = Unicorn::new_with_data(Arch::X86, Mode::MODE_64, state).refused(doing)?;
        // Of Windows 7's time, and the last one without `rdrand`, which would ask the host.
        uc.ctl_set_cpu_model(X86CpuModel::SANDYBRIDGE as i32)
            .refused(doing)?;
        // SAFETY: the mapping is `ram.size()` bytes long, page-aligned, and lives as long as the
        // engine, since both are fields of the same struct and the engine is dropped first.
        unsafe {
            uc.mem_map_ptr(0, ram.size(), Prot::ALL, ram.host_pointer().cast())
                .refused("map the guest's memory")?;
        }
        // With a list of addresses to end a run at, empty, no address ends one. The other way, one
        // address given to each run, makes the engine look that address up after the run, and where
        // it cannot be reached remember an exception.
        uc.ctl_exits_enable().refused("run without an end")?;
        Ok(uc)
    }

    fn start_paging(&mut self, cr3: u64) -> Result<(), EngineError> {
        const PAE: u64 = 1 << 5;
        const PGE: u64 = 1 << 7;
        const OSFXSR: u64 = 3 << 9;
        const PAGING_WRITE_PROTECT_PROTECTED: u64 = 1 << 31 | 1 << 16 | 1;
        const SYSCALL_LONG_ACTIVE_NO_EXECUTE: u64 = 1 | 1 << 8 | 1 << 10 | 1 << 11;
        let doing = "turn paging on";
        let cr4 = self.uc.reg_read(Reg::CR4).refused(doing)?;
        let cr0 = self.uc.reg_read(Reg::CR0).refused(doing)?;
        self.uc.reg_write(Reg::CR3, cr3).refused(doing)?;
        self.uc
            .reg_write(Reg::CR4, cr4 | PAE | PGE | OSFXSR)
            .refused(doing)?;
        self.uc
            .reg_write(Reg::CR0, cr0 | PAGING_WRITE_PROTECT_PROTECTED)
            .refused(doing)?;
        self.set_msr(Msr::Efer, SYSCALL_LONG_ACTIVE_NO_EXECUTE)
    }

    /// Runs from the current instruction until something stops it or the work reaches `limit`.
    pub fn run(&mut self, limit: u64) -> Exit {
        let rip = self.rip();
        let work = self.work();
        self.ram.about_to_write();
        self.expect_first_translation(rip);
        let resume_at = self.stopped_at.filter(|&at| at == rip);
        let state = self.uc.get_data_mut();
        state.limit = limit;
        state.exit = None;
        state.resume_at = resume_at;
        state.passed_at = None;
        state.block = 0..0;
        state.timer_fired = false;
        state.look_again();
        let mut result = self.uc.emu_start(rip, 0, 0, 0);
        while self.has_learnt_of_beyond(result) {
            let state = self.uc.get_data();
            if state.exit.is_some() || state.panic.is_some() {
                break;
            }
            result = self.uc.emu_start(self.rip(), 0, 0, 0);
        }
        if let Some(panic) = self.uc.get_data_mut().panic.take() {
            resume_unwind(panic);
        }
        if let Some(kept) = self.uc.get_data_mut().refused.take() {
            kept.write(&mut self.uc);
        }
        let at = self.rip();
        let state = self.uc.get_data_mut();
        state.leave_block_at(at);
        let exit = match (state.exit.take(), result) {
            (Some(exit), _) => exit,
            (None, Ok(())) => Exit::Halt,
            (None, Err(error)) => Exit::Engine(reason(error)),
        };
        self.stopped_at = match exit {
            // a run that did nothing
            Exit::Limit if self.work() == work => self.stopped_at,
            Exit::Limit | Exit::Halt => self.uc.get_data().passed_at,
            // A breakpoint at the next instruction is still to come.
            Exit::DataBreakpoint { .. } => None,
            // in front of an instruction whose breakpoint has been reported, now or before
            _ => Some(at),
        };
        exit
    }

    pub fn breakpoints(&self) -> impl Iterator<Item = u64> {
        self.breakpoints.keys().copied()
    }

    /// The timer.
    pub fn timer(&self) -> &IntervalTimer {
        &self.uc.get_data().timer
    }

    /// Whether the last run ended for the timer's interrupt.
    pub fn timer_fired(&self) -> bool {
        self.uc.get_data().timer_fired
    }

    /// The timer's interrupt has been delivered.
    pub fn take_timer(&mut self) {
        self.uc.get_data_mut().timer.taken();
    }

    /// Whether a `syscall` is on its way through the gate.
    pub fn calling(&self) -> bool {
        self.uc.get_data().calling
    }

    /// The guest's time, in nanoseconds.
    pub fn time(&self) -> u64 {
        let state = self.uc.get_data();
        state.work.saturating_add(state.skipped)
    }

    /// The processor has been halted until then, if that is to come.
    pub fn skip_to(&mut self, time: u64) {
        let skip = time.saturating_sub(self.time());
        let state = self.uc.get_data_mut();
        state.skipped = state.skipped.saturating_add(skip);
    }

    /// Whether the last run ended only because the system call entry is not the one published.
    pub fn entry_moved(&mut self) -> bool {
        std::mem::take(&mut self.uc.get_data_mut().entry_moved)
    }

    /// Says where the code behind the ring gate goes.
    pub fn publish_entry(&mut self, entry: u64) {
        self.uc.get_data_mut().entry = entry;
    }

    /// Runs a few instructions of the machine's own from `start` on, up to one that stops it;
    /// nothing is counted, breakpoints are passed, and CR2 stays as it was.
    pub fn run_aside(&mut self, start: Va) -> Result<Exit, EngineError> {
        /// More than those instructions have: what is behind it is the guest's doing.
        const BYTES: u64 = 0x40;
        let doing = "change the privilege level";
        let (work, stopped_at) = (self.work(), self.stopped_at);
        let accessed = self.uc.reg_read(Reg::CR2).refused(doing)?;
        self.uc.reg_write(Reg::RIP, start.0).refused(doing)?;
        self.uc.get_data_mut().aside = true;
        let exit = self.run(work.saturating_add(BYTES));
        let state = self.uc.get_data_mut();
        state.aside = false;
        state.work = work;
        self.stopped_at = stopped_at;
        self.uc.reg_write(Reg::CR2, accessed).refused(doing)?;
        Ok(exit)
    }

    pub fn work(&self) -> u64 {
        self.uc.get_data().work
    }

    pub fn charge(&mut self, work: u64) {
        let state = self.uc.get_data_mut();
        state.charged = state.charged.saturating_add(work);
    }

    pub fn charged(&self) -> u64 {
        self.uc.get_data().charged
    }

    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// What the guest has not read from the debug port yet.
    pub fn waiting_input(&self) -> Vec<u8> {
        self.uc.get_data().port.waiting()
    }

    /// The PCI bus.
    pub fn pci(&self) -> PciBus {
        self.uc.get_data().pci
    }

    /// The debug port, to look at what has been sent.
    pub fn sent(&self) -> &DebugPort {
        &self.uc.get_data().port
    }

    /// The debug port.
    pub fn port(&mut self) -> &mut DebugPort {
        &mut self.uc.get_data_mut().port
    }

    /// The engine tells of each piece of code that it translates, but for the very first.
    fn expect_first_translation(&mut self, rip: u64) {
        if !self.uc.get_data().has_translated {
            let root = Pa(self.cr3());
            for page in [rip, rip.wrapping_add(PAGE_SIZE)] {
                if let Ok(page) = translate(&self.ram, root, Va(page)) {
                    let state = self.uc.get_data_mut();
                    state.translated.insert(page.physical.0 / PAGE_SIZE);
                }
            }
        }
    }

    /// Whether code from the page at a physical address may have been translated.
    pub fn has_translated(&self, address: Pa) -> bool {
        let state = self.uc.get_data();
        state.translated.contains(address.0 / PAGE_SIZE)
    }

    /// Drops all translated code: what is in memory now is what will run.
    pub fn code_changed(&mut self) -> Result<(), EngineError> {
        self.uc.get_data_mut().translated.clear();
        self.uc.ctl_flush_tb().refused("drop translated code")
    }

    /// Drops cached translations of addresses: the page tables may have changed.
    pub fn tables_changed(&mut self) -> Result<(), EngineError> {
        self.uc
            .ctl_flush_tlb()
            .refused("drop cached translations of addresses")
    }

    /// One set where the processor is stands for having stopped there.
    pub fn set_breakpoint(&mut self, address: Va) -> Result<(), EngineError> {
        if address.0 == self.rip() {
            self.stopped_at = Some(address.0);
        }
        if self.breakpoints.contains_key(&address.0) {
            return Ok(());
        }
        self.add_breakpoint(address.0)?;
        self.share_points();
        self.code_changed()
    }

    fn add_breakpoint(&mut self, address: u64) -> Result<(), EngineError> {
        let hook = self
            .uc
            .add_code_hook(address, address, |uc, address, _| {
                on_breakpoint(uc, address)
            })
            .refused("set a breakpoint")?;
        self.breakpoints.insert(address, hook);
        Ok(())
    }

    pub fn clear_breakpoint(&mut self, address: Va) -> Result<(), EngineError> {
        match self.breakpoints.remove(&address.0) {
            Some(hook) => {
                self.share_points();
                self.remove_hook(hook)
            }
            None => Ok(()),
        }
    }

    fn remove_hook(&mut self, hook: UcHookId) -> Result<(), EngineError> {
        let doing = "remove a hook";
        // The engine looks the address up, and where that cannot be reached remembers an
        // exception: put the processor back to where it was.
        self.ram.about_to_write();
        let before = self.uc.context_init().refused(doing)?;
        self.uc.remove_hook(hook).refused(doing)?;
        self.uc.context_restore(&before).refused(doing)?;
        self.code_changed()
    }

    /// Where [`probe_mut`](Engine::probe_mut)'s probe looks.
    pub fn probe_points(&mut self) -> &mut Vec<u64> {
        &mut self.uc.get_data_mut().points
    }

    pub fn probe(&self) -> Option<&dyn Probe> {
        self.uc.get_data().probe.as_deref()
    }

    pub fn probe_mut(&mut self) -> &mut Option<Box<dyn Probe>> {
        &mut self.uc.get_data_mut().probe
    }

    pub fn forget_calls(&mut self) {
        self.uc.get_data_mut().watches.clear();
    }

    /// Has a tracer called for every instruction, or none.
    pub fn set_tracer(
        &mut self,
        tracer: Option<Box<dyn Tracer>>,
    ) -> Result<Option<Box<dyn Tracer>>, EngineError> {
        if tracer.is_some() && self.trace.is_none() {
            let hook = self
                .uc
                .add_code_hook(1, 0, |uc, address, _| on_instruction(uc, address))
                .refused("see every instruction")?;
            self.trace = Some(hook);
            self.code_changed()?;
        } else if tracer.is_none()
            && let Some(hook) = self.trace.take()
        {
            self.remove_hook(hook)?;
        }
        Ok(std::mem::replace(
            &mut self.uc.get_data_mut().tracer,
            tracer,
        ))
    }
}
