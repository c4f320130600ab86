//! The machine: one x64 processor with its memory, real page tables and real privilege levels.
//!
//! Time is *work*: the bytes of code retired. Unlike a count of blocks it does not depend on where
//! a run was stopped and started again, and unlike a count of instructions it costs nothing. One
//! byte takes a nanosecond. A processor that halts until its [timer] is due takes no work for
//! that: the guest's [time](Machine::time) goes on, budgets do not.

pub mod debug_port;
mod exit;
mod fault_code;
mod interrupt;
mod page_set;
pub mod paging;
pub mod pci;
mod physical;
pub mod probe;
mod ram;
mod ring_gate;
mod saved_memory;
mod snapshot;
mod state_hash;
mod step;
pub mod system_registers;
pub mod timer;
mod unicorn;
mod virtual_memory;
mod watching;
mod written_pages;

pub use exit::{Exit, Fault};
use interrupt::INTERRUPT_FLAG;
pub use interrupt::InterruptError;
pub use physical::{PageTableEntry, PhysicalFault};
pub use ram::{GuestRam, MAXIMUM_RAM};
pub use ring_gate::RingGate;
pub use snapshot::Snapshot;
pub use step::{DataAccess, Stepped};
pub use unicorn::EngineError;
pub(crate) use watching::SavedWatch;

use crate::address::{Pa, Va};
use crate::memory::MemoryFault;
use crate::registers::{Gpr, Registers};
use paging::translate;
use probe::{Probe, Tracer};
use std::any::Any;
pub(crate) use unicorn::find_sites as find_task_priority_sites;
use unicorn::{Engine, Msr, TableRegister, TaskPriority};

/// What the loader sets up before the processor starts.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The top page table: the value of CR3.
    pub root: Pa,
    /// The global descriptor table.
    pub gdt: Va,
    /// Its length in bytes.
    pub gdt_length: u16,
    /// The selector of the task state segment.
    pub task_selector: u16,
    /// The task state segment, whose Rsp0 is the stack of ring 0.
    pub task: Va,
    /// The pages through which system calls go.
    pub gate: RingGate,
    /// The base of GS in ring 0.
    pub gs_base: Va,
    /// The first instruction.
    pub entry: Va,
    /// The stack pointer at it.
    pub stack: Va,
    /// The first argument (RCX).
    pub argument: u64,
}

/// One processor and its memory. See the [module](self).
#[derive(Debug)]
pub struct Machine {
    engine: Engine,
    gate: RingGate,
    /// CR3, as of the last stop.
    root: Pa,
    /// LSTAR, as of the last run.
    system_call_entry: u64,
    /// The engine may remember a fault.
    fault_pending: bool,
    /// The guest is in the wrong ring, and there is no way back.
    broken: Option<EngineError>,
}

impl Machine {
    /// A processor in ring 0 at the start's entry, with interrupts off.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do.
    pub fn new(ram: GuestRam, start: &Start) -> Result<Machine, EngineError> {
        let gdt = TableRegister {
            base: start.gdt.0,
            limit: u32::from(start.gdt_length).wrapping_sub(1),
            ..TableRegister::default()
        };
        let task = TableRegister {
            selector: start.task_selector,
            base: start.task.0,
            limit: 0x67,
            flags: 0x8b00, // present, busy, a 64-bit TSS
        };
        let mut engine = Engine::new(ram, start.root.0, gdt, task, &start.gate)?;
        engine.load_segments(start.gate.segments())?;
        engine.set_msr(Msr::GsBase, start.gs_base.0)?;
        let mut registers = Registers {
            rip: start.entry.0,
            rflags: 2,
            ..Registers::default()
        };
        registers.set(Gpr::Rsp, start.stack.0);
        registers.set(Gpr::Rcx, start.argument);
        engine.set_registers(&registers)?;
        Ok(Machine {
            engine,
            gate: start.gate,
            root: start.root,
            system_call_entry: 0,
            fault_pending: false,
            broken: None,
        })
    }

    /// Keeps CR8, the task-priority register, in a byte of memory, for the instructions at these addresses;
    /// without that, the engine loses what is written to it. For a machine that has not run yet.
    ///
    /// The processor has no interrupt controller: what interrupts may come does not depend on CR8.
    ///
    /// # Errors
    /// There is no memory at the byte's address, or the engine refuses.
    pub(crate) fn set_task_priority(
        &mut self,
        byte: Va,
        sites: Vec<Va>,
    ) -> Result<(), EngineError> {
        let byte = self.translate(byte, 0).map_err(|_| EngineError {
            doing: "keep the task priority",
            reason: "there is no memory for it",
        })?;
        let byte = byte.physical;
        self.engine.set_task_priority(TaskPriority { byte, sites })
    }

    /// Runs the guest until it stops or has done `work_limit` units of work in all.
    ///
    /// A breakpoint that the guest stopped at, or that was set while it stood there, is passed, as
    /// debuggers do when they go on. One that the guest stands at for another reason (the limit, an
    /// interrupt's handler) has not been reported, and stops it.
    ///
    /// # Errors
    /// The engine refuses what it is documented to do. What the guest does is never an error but
    /// an [`Exit`].
    pub fn run(&mut self, work_limit: u64) -> Result<Exit, EngineError> {
        self.broken.map_or(Ok(()), Err)?;
        self.settle_fault()?;
        self.engine.no_step()?;
        let charged = self.charged();
        loop {
            let limit = work_limit.saturating_sub(self.charged() - charged);
            let exit = self.run_to_exit(limit)?;
            if !self.take_timer_interrupt(exit)? {
                return Ok(exit);
            }
        }
    }

    /// Runs to what ends the engine's run: the timer's interrupt, too.
    fn run_to_exit(&mut self, work_limit: u64) -> Result<Exit, EngineError> {
        let charged = self.charged();
        let mut exit = self.engine.run(work_limit);
        while self.engine.entry_moved() {
            // The guest has moved its entry in this very run, and is about to call it. The call
            // belongs to a block that was begun within the limit.
            self.root = Pa(self.engine.cr3());
            self.publish_system_call_entry();
            let limit = work_limit.saturating_sub(self.charged() - charged);
            exit = self.engine.run(limit.max(self.work().saturating_add(1)));
        }
        self.root = Pa(self.engine.cr3());
        self.fault_pending = matches!(exit, Exit::Fault(_));
        if self.fault_pending && self.engine.calling() {
            let ring = self.privilege_level();
            exit = self
                .gate
                .fault_of_call(exit, ring, self.instruction_pointer());
        }
        // Behind the run and not in front of it: a run that does nothing changes nothing.
        self.publish_system_call_entry();
        Ok(exit)
    }

    /// Keeps the address that the code behind the gate jumps to equal to LSTAR.
    fn publish_system_call_entry(&mut self) {
        let entry = self.engine.msr(Msr::Lstar);
        if entry != self.system_call_entry {
            self.system_call_entry = entry;
            self.engine.publish_entry(entry);
            // Memory that the loader mapped; were it gone, the call itself would fault.
            let _ = self.write_gate(self.gate.entry(), &entry.to_le_bytes());
        }
    }

    /// A return address that ends a run with [`Exit::Halt`]: for calling a function of the guest's
    /// in ring 0.
    pub fn return_landing(&self) -> Va {
        self.gate.halt()
    }

    /// Work done since the machine was made, in bytes of code retired.
    pub fn work(&self) -> u64 {
        self.engine.work()
    }

    /// The guest's time since the machine was made, in nanoseconds: one for each byte of code
    /// retired, and what has been skipped while the processor was halted. `rdtsc` gives it.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert_eq!(lab.machine().time(), lab.machine().work());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn time(&self) -> u64 {
        self.engine.time()
    }

    /// The current privilege level: 0 for the kernel, 3 for user mode.
    pub fn privilege_level(&self) -> u8 {
        (self.engine.code_selector() & 3) as u8
    }

    /// Whether the guest would take an interrupt now.
    pub fn interrupts_enabled(&self) -> bool {
        self.engine.registers().rflags & INTERRUPT_FLAG != 0
    }

    /// The instruction pointer alone: cheaper than all registers.
    pub fn instruction_pointer(&self) -> Va {
        Va(self.engine.rip())
    }

    /// The processor's registers.
    pub fn registers(&self) -> Registers {
        self.engine.registers()
    }

    /// Sets the processor's registers.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn set_registers(&mut self, registers: &Registers) -> Result<(), EngineError> {
        self.engine.set_registers(registers)
    }

    /// The base of GS: the processor's control region in ring 0, the thread's environment block in
    /// ring 3.
    pub fn gs_base(&self) -> Va {
        Va(self.engine.msr(Msr::GsBase))
    }

    /// The base that `swapgs` would bring.
    pub fn kernel_gs_base(&self) -> Va {
        Va(self.engine.msr(Msr::KernelGsBase))
    }

    /// Stops the guest in front of an address from now on; guest memory does not show it.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn set_breakpoint(&mut self, address: Va) -> Result<(), EngineError> {
        self.engine.set_breakpoint(address)
    }

    /// The addresses where the guest is stopped, in ascending order.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let function = lab.kernel_symbol("NtClose").unwrap();
    /// lab.machine_mut().set_breakpoint(function)?;
    /// assert!(lab.machine().breakpoints().eq([function]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn breakpoints(&self) -> impl Iterator<Item = Va> {
        self.engine.breakpoints().map(Va)
    }

    /// Takes such a stop away.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn clear_breakpoint(&mut self, address: Va) -> Result<(), EngineError> {
        self.engine.clear_breakpoint(address)
    }

    /// Lets a probe look at the guest at the given addresses from now on, in place of the one before;
    /// gives that one back. Calls that were being watched are not any more. See [`probe`].
    ///
    /// ```
    /// use poolhit::{Lab, address::Va, machine::Exit};
    /// use poolhit::machine::probe::{Observed, Pass, Point, Probe};
    ///
    /// struct Count(u32);
    /// impl Probe for Count {
    ///     fn hit(&mut self, _: &Observed<'_>, _: Point) -> Option<Pass> {
    ///         self.0 += 1;
    ///         (self.0 < 3).then(Pass::default)
    ///     }
    /// }
    /// let mut lab = Lab::builder().build()?;
    /// let function = lab.kernel_symbol("NtDeviceIoControlFile").unwrap();
    /// let machine = lab.machine_mut();
    /// machine.set_breakpoint(function)?;
    /// machine.set_probe(Some(Box::new(Count(0))), &[function]);
    /// let mut registers = machine.registers();
    /// registers.rip += 1; // behind the initial break instruction
    /// machine.set_registers(&registers)?;
    /// assert_eq!(machine.run(u64::MAX)?, Exit::Breakpoint { address: function });
    /// assert_eq!(machine.probe::<Count>().unwrap().0, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_probe(
        &mut self,
        probe: Option<Box<dyn Probe>>,
        points: &[Va],
    ) -> Option<Box<dyn Probe>> {
        self.set_probe_points(points);
        // Their tokens are the other probe's.
        self.forget_calls();
        std::mem::replace(self.engine.probe_mut(), probe)
    }

    /// Has the probe look at other addresses.
    pub(crate) fn set_probe_points(&mut self, points: &[Va]) {
        let kept = self.engine.probe_points();
        kept.clear();
        kept.extend(points.iter().map(|point| point.0));
    }

    /// Watches none of the calls in progress any more.
    pub(crate) fn forget_calls(&mut self) {
        self.engine.forget_calls();
    }

    /// What has been taken off the limits of runs so far, in bytes of code: by probes (see
    /// [`Pass::charge`](probe::Pass::charge)), and by [`charge`](Machine::charge).
    pub fn charged(&self) -> u64 {
        self.engine.charged()
    }

    /// Notes that something done for the guest outside a run takes of its budget, in bytes of code.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let before = lab.machine().charged();
    /// lab.machine_mut().charge(1000);
    /// assert_eq!(lab.machine().charged(), before + 1000);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn charge(&mut self, work: u64) {
        self.engine.charge(work);
    }

    /// The probe, if it is of this type. See [`set_probe`](Machine::set_probe) for an example.
    pub fn probe<P: Probe>(&self) -> Option<&P> {
        let probe: &dyn Any = self.engine.probe()?;
        probe.downcast_ref()
    }

    /// The probe, if it is of this type.
    pub fn probe_mut<P: Probe>(&mut self) -> Option<&mut P> {
        let probe: &mut dyn Any = self.engine.probe_mut().as_deref_mut()?;
        probe.downcast_mut()
    }

    /// Has a tracer see every instruction from now on, in place of the one before, and gives that one
    /// back.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// use poolhit::{Lab, machine::probe::{Observed, Tracer}};
    ///
    /// struct Print;
    /// impl Tracer for Print {
    ///     fn instruction(&mut self, guest: &Observed<'_>) {
    ///         println!("{:x}", guest.rip());
    ///     }
    /// }
    /// let mut lab = Lab::builder().build()?;
    /// lab.machine_mut().set_tracer(Some(Box::new(Print)))?;
    /// lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, 0x74736554])?;
    /// assert!(lab.machine_mut().set_tracer(None)?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_tracer(
        &mut self,
        tracer: Option<Box<dyn Tracer>>,
    ) -> Result<Option<Box<dyn Tracer>>, EngineError> {
        self.engine.set_tracer(tracer)
    }

    /// Whether code at an address could be fetched in the current ring.
    fn can_execute(&self, address: Va) -> bool {
        let ring = self.privilege_level();
        let page = self.translate(address, 0);
        page.is_ok_and(|page| page.execute && (ring == 0 || page.user))
    }

    fn translate(&self, address: Va, done: usize) -> Result<paging::Translation, MemoryFault> {
        translate(self.engine.ram(), self.root, address).map_err(|reason| MemoryFault {
            address,
            reason,
            done,
        })
    }
}
