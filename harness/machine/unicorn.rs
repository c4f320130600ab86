//! The engine: the one file that knows Unicorn.
//!
//! What Unicorn does and does not do (interrupts do not go through the IDT, `syscall` is only
//! hooked, a fault is remembered for ever) is dealt with here and in [`super::ring_gate`], so that
//! everything above sees a plain processor.
#![allow(unsafe_code)]

use super::debug_port::DebugPort;
use super::exit::{Exit, Fault};
use super::ram::GuestRam;
use crate::address::Va;
use crate::registers::Registers;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::fmt;
use unicorn_engine::hook::sys;
use unicorn_engine::{
    Arch, Context, HookType, Mode, Prot, RegisterX86 as Reg, UcHookId, Unicorn, X86Insn, uc_error,
};

type Uc = Unicorn<'static, State>;

/// No instruction is ever there: not a canonical address.
const NOWHERE: u64 = 0x7fff_0000_0000_0000;

/// What the hooks share with the code around the engine.
struct State {
    /// Bytes of code retired, counting the current block as done.
    work: u64,
    /// The current block.
    block: std::ops::Range<u64>,
    limit: u64,
    exit: Option<Exit>,
    /// The breakpoint that the run starts at, and must not stop at again.
    resume_at: Option<u64>,
    /// The far call that stands for `syscall`.
    syscall_target: u64,
    port: DebugPort,
}

impl State {
    /// The work done when the processor is at `rip`, in the middle of the current block or behind
    /// it.
    fn work_at(&self, rip: u64) -> u64 {
        if self.block.contains(&rip) {
            self.work - (self.block.end - rip)
        } else {
            self.work
        }
    }

    /// Takes the rest of the current block back: it is not going to run.
    fn leave_block_at(&mut self, rip: u64) {
        self.work = self.work_at(rip);
        self.block = 0..0;
    }
}

/// A system register that the machine reads or writes by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub(super) enum Msr {
    Efer = 0xC000_0080,
    Star = 0xC000_0081,
    Lstar = 0xC000_0082,
    Fmask = 0xC000_0084,
    FsBase = 0xC000_0100,
    GsBase = 0xC000_0101,
    KernelGsBase = 0xC000_0102,
    TscAux = 0xC000_0103,
}

impl Msr {
    const ALL: [Msr; 8] = [
        Msr::Efer,
        Msr::Star,
        Msr::Lstar,
        Msr::Fmask,
        Msr::FsBase,
        Msr::GsBase,
        Msr::KernelGsBase,
        Msr::TscAux,
    ];
}

/// A descriptor-table or task register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct TableRegister {
    pub selector: u16,
    pub base: u64,
    pub limit: u32,
    pub flags: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Table {
    Gdt,
    Idt,
    Task,
}

impl Table {
    fn register(self) -> Reg {
        match self {
            Table::Gdt => Reg::GDTR,
            Table::Idt => Reg::IDTR,
            Table::Task => Reg::TR,
        }
    }
}

const GPRS: [Reg; 16] = [
    Reg::RAX,
    Reg::RCX,
    Reg::RDX,
    Reg::RBX,
    Reg::RSP,
    Reg::RBP,
    Reg::RSI,
    Reg::RDI,
    Reg::R8,
    Reg::R9,
    Reg::R10,
    Reg::R11,
    Reg::R12,
    Reg::R13,
    Reg::R14,
    Reg::R15,
];

const XMMS: [Reg; 16] = [
    Reg::XMM0,
    Reg::XMM1,
    Reg::XMM2,
    Reg::XMM3,
    Reg::XMM4,
    Reg::XMM5,
    Reg::XMM6,
    Reg::XMM7,
    Reg::XMM8,
    Reg::XMM9,
    Reg::XMM10,
    Reg::XMM11,
    Reg::XMM12,
    Reg::XMM13,
    Reg::XMM14,
    Reg::XMM15,
];

const CONTROL: [Reg; 5] = [Reg::CR0, Reg::CR2, Reg::CR3, Reg::CR4, Reg::CR8];

/// The size of the engine's structure for a model-specific register.
const MSR_SIZE: usize = 16;
/// The size of the engine's structure for a descriptor-table register.
const TABLE_SIZE: usize = 24;

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// The engine refused something it is documented to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the processor emulator refused to {doing}: {reason}")]
pub struct EngineError {
    /// What was asked of it.
    pub doing: &'static str,
    /// Its own words.
    pub reason: &'static str,
}

trait Refusal<T> {
    fn refused(self, doing: &'static str) -> Result<T, EngineError>;
}

impl<T> Refusal<T> for Result<T, uc_error> {
    fn refused(self, doing: &'static str) -> Result<T, EngineError> {
        self.map_err(|error| EngineError {
            doing,
            reason: reason(error),
        })
    }
}

fn reason(error: uc_error) -> &'static str {
    match error {
        uc_error::NOMEM => "out of memory",
        uc_error::READ_UNMAPPED | uc_error::WRITE_UNMAPPED | uc_error::FETCH_UNMAPPED => {
            "the page tables lead behind the end of physical memory"
        }
        uc_error::INSN_INVALID => "an instruction it does not know",
        uc_error::EXCEPTION => "an exception nobody handles",
        uc_error::RESOURCE => "too many nested runs",
        uc_error::ARG => "an argument it does not accept",
        uc_error::VERSION | uc_error::ARCH | uc_error::MODE => "it was built without x86",
        _ => "an error of its own",
    }
}

/// One emulated x64 processor and the memory it runs on.
pub(super) struct Engine {
    // Declared before the memory, so that it is dropped first.
    uc: Uc,
    /// A ring 0 state from before any fault.
    clean: Context,
    breakpoints: BTreeMap<u64, UcHookId>,
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
        let state = State {
            work: 0,
            block: 0..0,
            limit: 0,
            exit: None,
            resume_at: None,
            // the engine adds the length of `syscall` to what the hook sets
            syscall_target: syscall_target.0.wrapping_sub(2),
            port: DebugPort::default(),
        };
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
            ram,
        };
        engine.start_paging(cr3)?;
        engine.set_table(Table::Gdt, gdt)?;
        engine.set_table(Table::Task, task)?;
        engine.uc.reg_write(Reg::CS, 0x10).refused("load CS")?;
        engine.uc.reg_write(Reg::SS, 0x18).refused("load SS")?;
        engine.add_hooks()?;
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

    fn add_hooks(&mut self) -> Result<(), EngineError> {
        let uc = &mut self.uc;
        let doing = "watch the guest";
        uc.add_block_hook(1, 0, |uc, address, size| {
            let state = uc.get_data_mut();
            if state.work >= state.limit {
                state.block = 0..0;
                state.exit.get_or_insert(Exit::Limit);
                let _ = uc.emu_stop();
                return;
            }
            state.work += u64::from(size);
            state.block = address..address.wrapping_add(u64::from(size));
        })
        .refused(doing)?;
        uc.add_intr_hook(on_interrupt).refused(doing)?;
        uc.add_insn_invalid_hook(|uc| {
            stop_with_fault(uc, 6);
            true
        })
        .refused(doing)?;
        uc.add_insn_sys_hook(X86Insn::SYSCALL, 1, 0, |uc| {
            let rip = uc.reg_read(Reg::RIP).unwrap_or(0);
            let flags = uc.reg_read(Reg::RFLAGS).unwrap_or(2);
            let target = uc.get_data().syscall_target;
            let _ = uc.reg_write(Reg::RCX, rip.wrapping_add(2));
            let _ = uc.reg_write(Reg::R11, flags);
            let _ = uc.reg_write(Reg::RIP, target);
        })
        .refused(doing)?;
        uc.add_insn_in_hook(|uc, port, _size| uc.get_data_mut().port.input(port))
            .refused(doing)?;
        uc.add_insn_out_hook(|_, _, _, _| {}).refused(doing)?;
        hook_time_stamp(uc, X86Insn::RDTSC).refused(doing)?;
        hook_time_stamp(uc, X86Insn::RDTSCP).refused(doing)
    }

    /// Runs from the current instruction until something stops it or the work reaches `limit`.
    pub fn run(&mut self, limit: u64) -> Exit {
        let rip = self.rip();
        let resume_at = self.breakpoints.contains_key(&rip).then_some(rip);
        let state = self.uc.get_data_mut();
        state.limit = limit;
        state.exit = None;
        state.resume_at = resume_at;
        state.block = 0..0;
        let result = self.uc.emu_start(rip, NOWHERE, 0, 0);
        let at = self.rip();
        let state = self.uc.get_data_mut();
        state.leave_block_at(at);
        match (state.exit.take(), result) {
            (Some(exit), _) => exit,
            (None, Ok(())) => Exit::Halt,
            (None, Err(error)) => Exit::Engine(reason(error)),
        }
    }

    /// Runs a few instructions of the machine's own from `start` on, up to one that stops it;
    /// nothing is counted.
    pub fn run_aside(&mut self, start: Va) -> Exit {
        let work = self.work();
        let exit = match self.uc.reg_write(Reg::RIP, start.0) {
            Ok(()) => self.run(u64::MAX),
            Err(error) => Exit::Engine(reason(error)),
        };
        self.uc.get_data_mut().work = work;
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

    pub fn rip(&self) -> u64 {
        self.register(Reg::RIP)
    }

    fn register(&self, register: Reg) -> u64 {
        // Reading a register by a valid number cannot fail.
        self.uc.reg_read(register).unwrap_or(0)
    }

    pub fn cr3(&self) -> u64 {
        self.register(Reg::CR3)
    }

    pub fn code_selector(&self) -> u16 {
        self.register(Reg::CS) as u16
    }

    pub fn stack_selector(&self) -> u16 {
        self.register(Reg::SS) as u16
    }

    pub fn registers(&self) -> Registers {
        let mut registers = Registers {
            gpr: GPRS.map(|register| self.register(register)),
            rip: self.rip(),
            rflags: self.register(Reg::RFLAGS),
            ..Registers::default()
        };
        for (value, register) in registers.xmm.iter_mut().zip(XMMS) {
            let bytes = self.uc.reg_read_long(register).unwrap_or_default();
            *value = bytes
                .iter()
                .take(16)
                .rev()
                .fold(0, |sum, &byte| sum << 8 | u128::from(byte));
        }
        registers
    }

    pub fn set_registers(&mut self, registers: &Registers) -> Result<(), EngineError> {
        let doing = "set a register";
        for (register, value) in GPRS.into_iter().zip(registers.gpr) {
            self.uc.reg_write(register, value).refused(doing)?;
        }
        self.uc.reg_write(Reg::RIP, registers.rip).refused(doing)?;
        self.uc
            .reg_write(Reg::RFLAGS, registers.rflags)
            .refused(doing)?;
        for (register, value) in XMMS.into_iter().zip(registers.xmm) {
            self.uc
                .reg_write_long(register, &value.to_le_bytes())
                .refused(doing)?;
        }
        Ok(())
    }

    /// Reads a register that is a structure, into a buffer of the structure's size.
    fn read_structure<const SIZE: usize>(
        &self,
        register: Reg,
        mut bytes: [u8; SIZE],
    ) -> [u8; SIZE] {
        const { assert!(SIZE == MSR_SIZE || SIZE == TABLE_SIZE) };
        // SAFETY: for these registers the engine reads and writes a structure of at most this
        // size: uc_x86_msr (u32 number, u64 value) or uc_x86_mmr (u16 selector, u64 base,
        // u32 limit, u32 flags). It fails only for a register that does not exist.
        let error = unsafe {
            sys::uc_reg_read(
                self.uc.get_handle(),
                register.into(),
                bytes.as_mut_ptr().cast(),
            )
        };
        debug_assert_eq!(error, uc_error::OK);
        bytes
    }

    pub fn msr(&self, msr: Msr) -> u64 {
        let mut bytes = [0; MSR_SIZE];
        bytes[..4].copy_from_slice(&(msr as u32).to_le_bytes());
        little_endian(&self.read_structure(Reg::MSR, bytes)[8..])
    }

    pub fn set_msr(&mut self, msr: Msr, value: u64) -> Result<(), EngineError> {
        let mut bytes = [0; MSR_SIZE];
        bytes[..4].copy_from_slice(&(msr as u32).to_le_bytes());
        bytes[8..].copy_from_slice(&value.to_le_bytes());
        self.uc
            .reg_write_long(Reg::MSR, &bytes)
            .refused("set a model-specific register")
    }

    pub fn table(&self, table: Table) -> TableRegister {
        let bytes = self.read_structure(table.register(), [0; TABLE_SIZE]);
        TableRegister {
            selector: little_endian(&bytes[..2]) as u16,
            base: little_endian(&bytes[8..16]),
            limit: little_endian(&bytes[16..20]) as u32,
            flags: little_endian(&bytes[20..]) as u32,
        }
    }

    pub fn set_table(&mut self, table: Table, value: TableRegister) -> Result<(), EngineError> {
        let mut bytes = [0; TABLE_SIZE];
        bytes[..2].copy_from_slice(&value.selector.to_le_bytes());
        bytes[8..16].copy_from_slice(&value.base.to_le_bytes());
        bytes[16..20].copy_from_slice(&value.limit.to_le_bytes());
        bytes[20..].copy_from_slice(&value.flags.to_le_bytes());
        self.uc
            .reg_write_long(table.register(), &bytes)
            .refused("load a descriptor table")
    }

    /// Makes the engine forget that an exception is being delivered: it never delivers one, and
    /// would take the next for a double fault. Afterwards the processor is in ring 0 with all
    /// other registers as they were.
    pub fn forget_fault(&mut self) -> Result<(), EngineError> {
        let doing = "go on after a fault";
        let registers = self.registers();
        let msrs = Msr::ALL.map(|msr| self.msr(msr));
        let control = CONTROL.map(|register| self.register(register));
        let mxcsr = self.register(Reg::MXCSR);
        let (gdt, idt, task) = (
            self.table(Table::Gdt),
            self.table(Table::Idt),
            self.table(Table::Task),
        );
        self.uc.context_restore(&self.clean).refused(doing)?;
        for (register, value) in CONTROL.into_iter().zip(control) {
            self.uc.reg_write(register, value).refused(doing)?;
        }
        for (msr, value) in Msr::ALL.into_iter().zip(msrs) {
            self.set_msr(msr, value)?;
        }
        self.uc.reg_write(Reg::MXCSR, mxcsr).refused(doing)?;
        self.set_table(Table::Gdt, gdt)?;
        self.set_table(Table::Idt, idt)?;
        self.set_table(Table::Task, task)?;
        self.set_registers(&registers)
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
                let state = uc.get_data_mut();
                if state.resume_at.take() == Some(address) {
                    return;
                }
                state.exit.get_or_insert(Exit::Breakpoint {
                    address: Va(address),
                });
                let _ = uc.emu_stop();
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

/// Interrupts and exceptions: all of them end the run, `rip` being at the instruction.
fn on_interrupt(uc: &mut Unicorn<'_, State>, vector: u32) {
    if vector == 3 {
        // The engine is behind the instruction; debuggers report the instruction itself.
        let rip = uc.reg_read(Reg::RIP).unwrap_or(0).wrapping_sub(1);
        let _ = uc.reg_write(Reg::RIP, rip);
        let state = uc.get_data_mut();
        state.leave_block_at(rip);
        state
            .exit
            .get_or_insert(Exit::HardcodedBreakpoint { address: Va(rip) });
        let _ = uc.emu_stop();
    } else {
        stop_with_fault(uc, vector);
    }
}

fn stop_with_fault(uc: &mut Unicorn<'_, State>, vector: u32) {
    let rip = uc.reg_read(Reg::RIP).unwrap_or(0);
    let accessed = (vector == 14).then(|| Va(uc.reg_read(Reg::CR2).unwrap_or(0)));
    let state = uc.get_data_mut();
    state.leave_block_at(rip);
    state.exit.get_or_insert(Exit::Fault(Fault {
        vector,
        address: Va(rip),
        accessed,
    }));
    let _ = uc.emu_stop();
}

/// Gives `rdtsc` and `rdtscp` the work done so far; the engine's own would be the host's clock.
fn hook_time_stamp(uc: &mut Uc, instruction: X86Insn) -> Result<(), uc_error> {
    /// For these two instructions the engine wants an answer, whether to skip its own doing. The
    /// binding's closures for instruction hooks cannot answer, so this goes past them.
    unsafe extern "C" fn time_stamp(uc: *mut sys::uc_engine, state: *mut c_void) -> c_int {
        let mut rip = 0u64;
        // SAFETY: `state` is the engine's own data, which lives in one place as long as the
        // engine; the engine calls back on the thread that runs it, and no reference to the data
        // is alive then. The registers read and written here are 64 bits wide.
        unsafe {
            sys::uc_reg_read(uc, Reg::RIP.into(), (&raw mut rip).cast());
            let time = (*state.cast::<State>()).work_at(rip);
            let (low, high) = (time & 0xffff_ffff, time >> 32);
            sys::uc_reg_write(uc, Reg::RAX.into(), (&raw const low).cast());
            sys::uc_reg_write(uc, Reg::RDX.into(), (&raw const high).cast());
        }
        1
    }
    let state: *mut State = uc.get_data_mut();
    let mut hook: sys::uc_hook = 0;
    // SAFETY: the callback has the form that the engine's manual gives for these instructions;
    // the hook is never removed, and `state` outlives it.
    let error = unsafe {
        sys::uc_hook_add(
            uc.get_handle(),
            &raw mut hook,
            HookType::INSN.0 as c_int,
            time_stamp as *mut c_void,
            state.cast(),
            1u64,
            0u64,
            instruction,
        )
    };
    if error == uc_error::OK {
        Ok(())
    } else {
        Err(error)
    }
}
