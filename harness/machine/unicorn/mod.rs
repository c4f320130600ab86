//! The engine: the one file that knows Unicorn.
//!
//! What Unicorn does and does not do (interrupts do not go through the IDT, `syscall` is only
//! hooked, a fault is remembered for ever) is dealt with here and in [`super::ring_gate`], so that
//! everything above sees a plain processor.
#![allow(unsafe_code)]

mod error;
mod hooks;
mod registers;

pub use error::EngineError;
use error::{Refusal, reason};
use hooks::{State, on_breakpoint};
pub(super) use registers::{Msr, Table, TableRegister};

use super::debug_port::DebugPort;
use super::exit::Exit;
use super::ram::GuestRam;
use crate::address::Va;
use std::collections::BTreeMap;
use std::fmt;
use unicorn_engine::{Arch, Context, Mode, Prot, RegisterX86 as Reg, UcHookId, Unicorn};

type Uc = Unicorn<'static, State>;

/// No instruction is ever there: not a canonical address.
const NOWHERE: u64 = 0x7fff_0000_0000_0000;

/// One emulated x64 processor and the memory it runs on.
pub(super) struct Engine {
    // Declared before the memory, so that it is dropped first.
    uc: Uc,
    /// A ring 0 state from before any fault.
    clean: Context,
    breakpoints: BTreeMap<u64, UcHookId>,
    /// Where the last run stopped, unless by its limit.
    stopped_at: Option<u64>,
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
        syscall_target: Va,
    ) -> Result<Engine, EngineError> {
        let state = State::new(syscall_target);
        let mut uc =
            Unicorn::new_with_data(Arch::X86, Mode::MODE_64, state).refused("make a processor")?;
        // SAFETY: the mapping is `ram.size()` bytes long, page-aligned, and lives as long as the
        // engine, since both are fields of the same struct and the engine is dropped first.
        unsafe {
            uc.mem_map_ptr(0, ram.size(), Prot::ALL, ram.host_pointer().cast())
                .refused("map the guest's memory")?;
        }
        let mut engine = Engine {
            clean: uc.context_init().refused("keep its state")?,
            uc,
            breakpoints: BTreeMap::new(),
            stopped_at: None,
            ram,
        };
        engine.start_paging(cr3)?;
        engine.set_table(Table::Gdt, gdt)?;
        engine.set_table(Table::Task, task)?;
        engine.uc.reg_write(Reg::CS, 0x10).refused("load CS")?;
        engine.uc.reg_write(Reg::SS, 0x18).refused("load SS")?;
        hooks::install(&mut engine.uc)?;
        engine
            .uc
            .context_save(&mut engine.clean)
            .refused("keep its state")?;
        Ok(engine)
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
        // A limit that ended the last run in front of a breakpoint must not hide it.
        let resume_at = self.stopped_at.filter(|stop| *stop == rip);
        let state = self.uc.get_data_mut();
        state.limit = limit;
        state.exit = None;
        state.resume_at = resume_at;
        state.block = 0..0;
        let result = self.uc.emu_start(rip, NOWHERE, 0, 0);
        let at = self.rip();
        let state = self.uc.get_data_mut();
        state.leave_block_at(at);
        let exit = match (state.exit.take(), result) {
            (Some(exit), _) => exit,
            (None, Ok(())) => Exit::Halt,
            (None, Err(error)) => Exit::Engine(reason(error)),
        };
        if exit != Exit::Limit {
            self.stopped_at = Some(at);
        } else if self.work() != work {
            self.stopped_at = None;
        }
        exit
    }

    /// Runs a few instructions of the machine's own from `start` on, up to one that stops it;
    /// nothing is counted.
    pub fn run_aside(&mut self, start: Va) -> Exit {
        let (work, stopped_at) = (self.work(), self.stopped_at);
        let exit = match self.uc.reg_write(Reg::RIP, start.0) {
            Ok(()) => self.run(u64::MAX),
            Err(error) => Exit::Engine(reason(error)),
        };
        self.uc.get_data_mut().work = work;
        self.stopped_at = stopped_at;
        exit
    }

    pub fn work(&self) -> u64 {
        self.uc.get_data().work
    }

    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    pub fn port(&mut self) -> &mut DebugPort {
        &mut self.uc.get_data_mut().port
    }

    /// Drops all translated code: what is in memory now is what will run.
    pub fn code_changed(&mut self) -> Result<(), EngineError> {
        self.uc.ctl_flush_tb().refused("drop translated code")
    }

    pub fn set_breakpoint(&mut self, address: Va) -> Result<(), EngineError> {
        if self.breakpoints.contains_key(&address.0) {
            return Ok(());
        }
        let hook = self
            .uc
            .add_code_hook(address.0, address.0, |uc, address, _| {
                on_breakpoint(uc, address)
            })
            .refused("set a breakpoint")?;
        self.breakpoints.insert(address.0, hook);
        self.code_changed()
    }

    pub fn clear_breakpoint(&mut self, address: Va) -> Result<(), EngineError> {
        let Some(hook) = self.breakpoints.remove(&address.0) else {
            return Ok(());
        };
        self.uc.remove_hook(hook).refused("remove a breakpoint")?;
        self.code_changed()
    }
}
