//! What the engine calls while it runs: blocks of code, interrupts, faults and system calls.

use super::devices;
use super::observed::{Observed, RamView};
use super::registers::{Handle, Integers};
use super::stepping::{self, Stepping};
use super::task_priority::TaskPriority;
use super::watches::Watches;
use super::watching::{self, Watch, reach};
use super::{EngineError, Msr, Refusal, Uc};
use crate::address::Va;
use crate::machine::debug_port::DebugPort;
use crate::machine::exit::{Exit, Fault};
use crate::machine::page_set::PageSet;
use crate::machine::paging::PAGE_SIZE;
use crate::machine::pci::PciBus;
use crate::machine::probe::{Point, Probe, Tracer};
use crate::machine::timer::IntervalTimer;
use crate::memory::ReadMemory;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use unicorn_engine::{Prot, RegisterX86 as Reg, Unicorn, X86Insn};

/// What the hooks share with the code around the engine.
pub struct State {
    /// Bytes of code retired, counting the current block as done.
    pub work: u64,
    /// The current block.
    pub block: std::ops::Range<u64>,
    pub limit: u64,
    /// What probes have taken off limits so far.
    pub charged: u64,
    pub exit: Option<Exit>,
    /// The breakpoint that the run starts at, and must not stop at again.
    pub resume_at: Option<u64>,
    /// The breakpoint that the run ends at although it has been passed.
    pub passed_at: Option<u64>,
    /// The machine's own instructions run, not the guest's: breakpoints do not count.
    pub aside: bool,
    /// The far call that stands for `syscall`.
    pub syscall_target: u64,
    /// The first instruction behind the gate.
    pub behind_gate: u64,
    /// A `syscall` is on its way through the gate.
    pub calling: bool,
    /// Where the code behind that call goes.
    pub entry: u64,
    /// The run ended in front of a `syscall`, since the guest has moved its entry.
    pub entry_moved: bool,
    /// CR8, and who uses it.
    pub priority: Arc<TaskPriority>,
    pub port: DebugPort,
    /// The PCI bus.
    pub pci: PciBus,
    pub timer: IntervalTimer,
    /// Nanoseconds that the processor was halted.
    pub skipped: u64,
    /// The run ended since the timer interrupts.
    pub timer_fired: bool,
    /// Where the code that has run last goes on without a jump: the ends of the block that runs, and
    /// of the one before it.
    pub block_ends: [u64; 2],
    /// The work at which a block's start has more to look at: the limit, or the timer.
    pub look_at: u64,
    /// The registers at a port instruction that the processor refuses; see `devices.rs`.
    pub refused: Option<Integers>,
    pub ram: RamView,
    pub probe: Option<Box<dyn Probe>>,
    /// Where the probe looks.
    pub points: Vec<u64>,
    pub watches: Watches,
    pub watch: Watch,
    pub tracer: Option<Box<dyn Tracer>>,
    pub stepping: Stepping,
    /// What a probe or tracer has panicked with.
    pub panic: Option<Box<dyn Any + Send>>,
    /// The physical pages whose code the engine has translated since it last dropped all that.
    pub translated: PageSet,
    /// The engine has told of a translation.
    pub has_translated: bool,
    /// The engine knows of the addresses behind the end of memory.
    pub has_beyond: bool,
}

impl State {
    pub fn new(syscall_target: Va, behind_gate: Va, ram: RamView, pages: u64) -> State {
        State {
            work: 0,
            block: 0..0,
            limit: 0,
            charged: 0,
            exit: None,
            resume_at: None,
            passed_at: None,
            aside: false,
            syscall_target: syscall_target.0,
            behind_gate: behind_gate.0,
            calling: false,
            entry: 0,
            entry_moved: false,
            priority: Arc::default(),
            port: DebugPort::default(),
            pci: PciBus::default(),
            timer: IntervalTimer::default(),
            skipped: 0,
            timer_fired: false,
            block_ends: [0; 2],
            look_at: 0,
            refused: None,
            ram,
            probe: None,
            points: Vec::new(),
            watches: Watches::default(),
            watch: Watch::default(),
            tracer: None,
            stepping: Stepping::default(),
            panic: None,
            translated: PageSet::new(pages),
            has_translated: false,
            has_beyond: false,
        }
    }

    /// The work done when the processor is at `rip`, in the middle of the current block or behind
    /// it.
    pub fn work_at(&self, rip: u64) -> u64 {
        if self.block.contains(&rip) {
            self.work - (self.block.end - rip)
        } else {
            self.work
        }
    }

    /// When the start of a block has to look further.
    pub fn look_again(&mut self) {
        let due = self.timer.due().filter(|_| !self.aside);
        let due = due.map_or(u64::MAX, |due| due.saturating_sub(self.skipped));
        self.look_at = self.limit.min(due);
    }

    /// Takes the rest of the current block back: it is not going to run.
    pub fn leave_block_at(&mut self, rip: u64) {
        if self.block.contains(&rip) && !self.aside {
            let at_start = self.block.start == rip;
            self.block_ends[0] = if at_start { self.block_ends[1] } else { rip };
        }
        self.work = self.work_at(rip);
        self.block = 0..0;
    }
}

/// Makes the engine call all of it.
pub fn install(uc: &mut Uc) -> Result<(), EngineError> {
    let doing = "watch the guest";
    uc.add_block_hook(1, 0, on_block).refused(doing)?;
    uc.add_edge_gen_hook(1, 0, |uc, block, _| {
        on_translation(uc, block.pc, block.size.into());
    })
    .refused(doing)?;
    uc.add_intr_hook(on_interrupt).refused(doing)?;
    uc.add_insn_invalid_hook(|uc| {
        stop_with_fault(uc, 6);
        true
    })
    .refused(doing)?;
    uc.add_insn_sys_hook(X86Insn::SYSCALL, 1, 0, on_system_call)
        .refused(doing)?;
    uc.add_insn_sys_hook(X86Insn::SYSENTER, 1, 0, on_fast_system_call)
        .refused(doing)?;
    devices::install(uc).refused(doing)
}

/// A block of code is about to run.
fn on_block(uc: &mut Unicorn<'_, State>, address: u64, size: u32) {
    let state = uc.get_data_mut();
    if state.stepping.is_in_use() && stepping::ends_at_block(uc, address) {
        return;
    }
    let state = uc.get_data_mut();
    if state.work >= state.look_at && ends_run(uc, address) {
        return;
    }
    let state = uc.get_data_mut();
    if address == state.behind_gate {
        if !state.calling && !state.aside {
            // A far call of the guest's own through the machine's gate.
            stop_with_fault(uc, 13);
            return;
        }
    } else if address != state.syscall_target {
        state.calling = false;
    }
    let watched = state.watches.contains(address) || state.watch.calls.contains(address);
    state.work += u64::from(size);
    state.block = address..address.wrapping_add(u64::from(size));
    if !state.aside {
        state.block_ends = [state.block.end, state.block_ends[0]];
    }
    if watched {
        report_return(uc, address);
    }
}

/// Whether the limit is reached, or the timer interrupts. It does so where the guest has jumped, called
/// or returned to: where else blocks begin depends on where runs were stopped.
#[cold]
fn ends_run(uc: &mut Unicorn<'_, State>, address: u64) -> bool {
    const INTERRUPT_FLAG: u64 = 1 << 9;
    let state = uc.get_data_mut();
    if state.work < state.limit {
        let machine_s = address == state.behind_gate || address == state.syscall_target;
        let flags = Handle::of(uc).read(Reg::RFLAGS);
        let jumped = uc.get_data().block_ends[0] != address;
        if !jumped || machine_s || flags & INTERRUPT_FLAG == 0 {
            return false;
        }
        uc.get_data_mut().timer_fired = true;
    }
    let state = uc.get_data_mut();
    state.block = 0..0;
    state.exit.get_or_insert(Exit::Limit);
    let _ = uc.emu_stop();
    true
}

/// A call may have returned that the probe wants to see return: its return address is reached.
#[cold]
fn report_return(uc: &mut Unicorn<'_, State>, address: u64) {
    let stack = Handle::of(uc).read(Reg::RSP);
    if let Some(token) = uc.get_data_mut().watch.calls.take(address, stack) {
        watching::report_return(uc, address, token);
    }
    let Some(token) = uc.get_data_mut().watches.take(address, stack) else {
        return;
    };
    let Some(mut probe) = uc.get_data_mut().probe.take() else {
        return;
    };
    let guest = Observed::new(uc, address);
    let returned = catch_unwind(AssertUnwindSafe(|| probe.returned(&guest, token)));
    drop(guest);
    uc.get_data_mut().probe = Some(probe);
    if let Err(panic) = returned {
        stop_with_panic(uc, panic);
    }
}

/// A probe or tracer has panicked. The engine is no Rust, and cannot be unwound through: the panic
/// goes on when it has stopped.
#[cold]
pub(super) fn stop_with_panic(uc: &mut Unicorn<'_, State>, panic: Box<dyn Any + Send>) {
    uc.get_data_mut().panic.get_or_insert(panic);
    let _ = uc.emu_stop();
}

/// Offers the probe a point that the guest has come to; whether the guest goes on.
fn offer(uc: &mut Unicorn<'_, State>, point: Point) -> bool {
    let (Point::BreakInstruction { address } | Point::Breakpoint { address }) = point;
    let Some(mut probe) = uc.get_data_mut().probe.take() else {
        return false;
    };
    let guest = Observed::new(uc, address.0);
    let pass = catch_unwind(AssertUnwindSafe(|| probe.hit(&guest, point)));
    drop(guest);
    let state = uc.get_data_mut();
    state.probe = Some(probe);
    let pass = match pass {
        Ok(Some(pass)) => pass,
        Ok(None) => return false,
        Err(panic) => {
            stop_with_panic(uc, panic);
            return false;
        }
    };
    state.limit = state.limit.saturating_sub(pass.charge);
    state.look_again();
    state.charged = state.charged.saturating_add(pass.charge);
    if let Some(watch) = pass.watch {
        state.watches.add(watch);
    }
    !pass.stops
}

/// Whether an `int 3` that has just executed is a probe point, and has been passed.
#[inline]
fn pass_break_instruction(uc: &mut Unicorn<'_, State>) -> bool {
    const INT3: u8 = 0xcc;
    if uc.get_data().points.is_empty() {
        return false;
    }
    // Of all that comes with this vector, `int 3` in one byte or two, each ends a block.
    let state = uc.get_data();
    debug_assert_eq!(state.block.end, Handle::of(uc).read(Reg::RIP));
    let address = state.block.end.wrapping_sub(1);
    if !state.points.contains(&address) {
        return false;
    }
    // One byte that is a block of its own; in a longer one it could be the end of `int 3` in two.
    let is_short =
        state.block.start == address || Observed::new(uc, address).read_u8(Va(address)) == Ok(INT3);
    let point = Point::BreakInstruction {
        address: Va(address),
    };
    is_short && offer(uc, point)
}

/// An instruction is about to execute, and someone wants to see every one.
pub fn on_instruction(uc: &mut Unicorn<'_, State>, address: u64) {
    let state = uc.get_data_mut();
    if state.aside
        || state.exit.is_some()
        || state.panic.is_some()
        || state.ends_in_front_of(address)
    {
        return;
    }
    if let Some(mut tracer) = state.tracer.take() {
        let guest = Observed::new(uc, address);
        let seen = catch_unwind(AssertUnwindSafe(|| tracer.instruction(&guest)));
        drop(guest);
        uc.get_data_mut().tracer = Some(tracer);
        if let Err(panic) = seen {
            stop_with_panic(uc, panic);
        }
    }
}

/// A block of code has been translated, by way of the guest's tables as they are now.
fn on_translation(uc: &mut Unicorn<'_, State>, address: u64, size: u64) {
    uc.get_data_mut().has_translated = true;
    for page in [address, address.wrapping_add(size.max(1) - 1)] {
        if let Ok(page) = uc.vmem_translate(page, Prot::EXEC) {
            let state = uc.get_data_mut();
            state.translated.insert(page / PAGE_SIZE);
        }
    }
}

/// The engine does not execute `syscall`; a far call does instead (see `ring_gate`). From ring 0
/// there is no ring to change, so a jump will do.
fn on_system_call(uc: &mut Unicorn<'_, State>) {
    const LENGTH: u64 = 2;
    let rip = uc.reg_read(Reg::RIP).unwrap_or(0);
    let entry = Handle::of(uc).msr(Msr::Lstar);
    let kernel = uc.reg_read(Reg::CS).unwrap_or(0) & 3 == 0;
    let state = uc.get_data_mut();
    let target = if kernel {
        entry
    } else if entry == state.entry {
        state.calling = true;
        state.syscall_target
    } else {
        state.entry_moved = true;
        state.leave_block_at(rip);
        let _ = uc.emu_stop();
        rip
    };
    // The engine adds the instruction's length to this.
    let _ = uc.reg_write(Reg::RIP, target.wrapping_sub(LENGTH));
    if target != rip {
        let flags = uc.reg_read(Reg::RFLAGS).unwrap_or(2);
        let mask = Handle::of(uc).msr(Msr::Fmask);
        let _ = uc.reg_write(Reg::RCX, rip.wrapping_add(LENGTH));
        let _ = uc.reg_write(Reg::R11, flags);
        let _ = uc.reg_write(Reg::RFLAGS, flags & !mask);
    }
}

/// The engine does not execute `sysenter` either. No 64-bit Windows sets up what it needs, and
/// without that it is a general-protection fault.
fn on_fast_system_call(uc: &mut Unicorn<'_, State>) {
    const LENGTH: u64 = 2;
    let rip = uc.reg_read(Reg::RIP).unwrap_or(0);
    stop_with_fault(uc, 13);
    let _ = uc.reg_write(Reg::RIP, rip.wrapping_sub(LENGTH));
}

/// A breakpoint's instruction is about to execute.
pub fn on_breakpoint(uc: &mut Unicorn<'_, State>, address: u64) {
    let state = uc.get_data();
    if state.aside || state.ends_in_front_of(address) || stops_at_breakpoint(uc, address) {
        return;
    }
    if uc.get_data().watch.shared.contains(&address) {
        reach(uc, address);
    }
}

/// Whether the guest stops in front of a breakpoint's instruction.
fn stops_at_breakpoint(uc: &mut Unicorn<'_, State>, address: u64) -> bool {
    let state = uc.get_data_mut();
    if state.resume_at.take() == Some(address) {
        return false;
    }
    let point = Point::Breakpoint {
        address: Va(address),
    };
    if state.points.contains(&address) && offer(uc, point) {
        let state = uc.get_data_mut();
        if state.work_at(address) < state.limit {
            return false;
        }
        // What was charged has used the limit up.
        state.exit.get_or_insert(Exit::Limit);
        state.passed_at = Some(address);
    } else {
        let state = uc.get_data_mut();
        state.exit.get_or_insert(Exit::Breakpoint {
            address: Va(address),
        });
    }
    let _ = uc.emu_stop();
    true
}

/// Interrupts and exceptions: all of them end the run, `rip` being at the instruction.
fn on_interrupt(uc: &mut Unicorn<'_, State>, vector: u32) {
    if vector == 3 && pass_break_instruction(uc) {
        return;
    }
    let length = software_interrupt(uc, vector);
    if length > 0 {
        // The engine is behind the instruction; debuggers report the instruction itself.
        let rip = uc.reg_read(Reg::RIP).unwrap_or(0).wrapping_sub(length);
        let _ = uc.reg_write(Reg::RIP, rip);
        if vector == 3 {
            let state = uc.get_data_mut();
            state.leave_block_at(rip);
            state
                .exit
                .get_or_insert(Exit::HardcodedBreakpoint { address: Va(rip) });
            let _ = uc.emu_stop();
            return;
        }
    }
    stop_with_fault(uc, vector);
}

/// The length of the `int` instruction that has just executed, or 0 if the interrupt is an
/// exception. The engine does not tell; but `int` ends a block and leaves `rip` behind it, and
/// other than that only a fault on fetching what follows a block does.
fn software_interrupt(uc: &Unicorn<'_, State>, vector: u32) -> u64 {
    let rip = uc.reg_read(Reg::RIP).unwrap_or(0);
    let block = &uc.get_data().block;
    let fetching = vector == 14 && uc.reg_read(Reg::CR2) == Ok(rip);
    if block.is_empty() || block.end != rip || fetching {
        return 0;
    }
    let byte = |before: u64| {
        let mut byte = [0];
        let read = uc.vmem_read(rip.wrapping_sub(before), Prot::EXEC, &mut byte);
        read.map_or(0, |()| byte[0])
    };
    match byte(1) {
        number if u32::from(number) == vector && byte(2) == 0xcd => 2,
        _ if vector == 3 => 1,
        _ => 0,
    }
}

pub fn stop_with_fault(uc: &mut Unicorn<'_, State>, vector: u32) {
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
