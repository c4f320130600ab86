//! Threads (`_ETHREAD`).

use super::ObjectError;
use super::fields::Fields;
use super::list::{List, entries, ring};
use crate::address::Va;
use crate::guest::Lab;
use crate::registers::{Gpr, Registers};

mod field {
    pub const INITIAL_STACK: u64 = 0x28;
    pub const STACK_LIMIT: u64 = 0x30;
    pub const KERNEL_STACK: u64 = 0x38;
    pub const APC_PROCESS: u64 = 0x70;
    pub const PRIORITY: u64 = 0x7b;
    pub const WAIT_BLOCK_LIST: u64 = 0x98;
    pub const TEB: u64 = 0xb8;
    pub const MISCELLANEOUS: u64 = 0x4c;
    pub const CONTEXT_SWITCHES: u64 = 0x134;
    pub const STATE: u64 = 0x164;
    pub const WAIT_MODE: u64 = 0x167;
    pub const WAIT_TIME: u64 = 0x194;
    pub const BASE_PRIORITY: u64 = 0x1f1;
    pub const PRIORITY_DECREMENT: u64 = 0x1f2;
    pub const PROCESS: u64 = 0x210;
    pub const IDEAL_PROCESSOR: u64 = 0x228;
    pub const WAIT_REASON: u64 = 0x26b;
    pub const STACK_BASE: u64 = 0x278;
    pub const START_ADDRESS: u64 = 0x388;
    pub const CLIENT_ID: u64 = 0x3b0;
    pub const IRP_LIST: u64 = 0x3e8;
    pub const WIN32_START_ADDRESS: u64 = 0x410;
}
/// A bit of `_KTHREAD.MiscFlags`.
const ALERTABLE: u32 = 0x20;
/// `_IRP.ThreadListEntry`.
const IRP_LINKS: u64 = 0x20;
/// `_KWAIT_BLOCK.Object`, `NextWaitBlock`.
const BLOCK_OBJECT: u64 = 0x18;
const BLOCK_NEXT: u64 = 0x20;

/// What a thread does (`_KTHREAD.State`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    /// It has not begun.
    Initialized,
    /// It wants a processor.
    Ready,
    /// It has one.
    Running,
    /// It is about to have one.
    Standby,
    /// It has ended.
    Terminated,
    /// It waits.
    Waiting,
    /// Any other number.
    Other(u8),
}

/// One of the objects that a thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitBlock {
    /// The object: an event, a mutex, a thread …
    pub object: Va,
    /// `_DISPATCHER_HEADER.Type`; `None` if it cannot be read.
    pub kind: Option<u8>,
    /// A semaphore's limit.
    pub limit: u32,
    /// Who has a mutex.
    pub owner: Va,
}

/// A thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// Its `_ETHREAD`.
    pub address: Va,
    /// Its process' number and its own.
    pub client_id: [u64; 2],
    /// Its `_TEB`; NULL for a thread of the system's.
    pub teb: Va,
    /// The process that it is of.
    pub process: Va,
    /// The process whose memory it has.
    pub attached_process: Va,
    /// What it does.
    pub state: ThreadState,
    /// What it waits for.
    pub wait_blocks: List<WaitBlock>,
    /// Why it waits (`KWAIT_REASON`).
    pub wait_reason: u8,
    /// It waits on user mode's behalf.
    pub waits_for_user: bool,
    /// It can be alerted meanwhile (`_KTHREAD.Alertable`).
    pub alertable: bool,
    /// The tick count when its last wait began.
    pub wait_time: u32,
    /// How often it has been given a processor.
    pub context_switches: u32,
    /// The processor that it would like to have.
    pub ideal_processor: u32,
    /// Where it began, for user mode where that is another place.
    pub start_address: Va,
    /// The stack's bounds, and where it starts: `InitialStack`, `KernelStack`, `StackBase`, `StackLimit`.
    pub stack: [Va; 4],
    /// Its priority, its base priority, and what of a boost is to be taken away again.
    pub priority: [i8; 3],
    /// Its requests.
    pub irps: List,
}

impl Lab {
    /// The thread with this `_ETHREAD`.
    ///
    /// # Errors
    /// There is none.
    ///
    /// ```
    /// use poolhit::guest::objects::ThreadState;
    /// let lab = poolhit::Lab::builder().build()?;
    /// let program = lab.processes()?.pop().unwrap();
    /// let thread = lab.thread(program.threads[0])?;
    /// assert_eq!((thread.process, thread.client_id[0]), (program.address, program.id));
    /// assert_eq!(thread.state, ThreadState::Running);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn thread(&self, address: Va) -> Result<Thread, ObjectError> {
        // The first thread has a header too, and is no block of the pool.
        if !self.is_of_type(address, "Thread") {
            return Err(ObjectError::NotThread(address));
        }
        let memory = self.machine();
        let fields = Fields {
            memory,
            at: address,
        };
        let state = match fields.u8(field::STATE)? {
            0 => ThreadState::Initialized,
            1 => ThreadState::Ready,
            2 => ThreadState::Running,
            3 => ThreadState::Standby,
            4 => ThreadState::Terminated,
            5 => ThreadState::Waiting,
            other => ThreadState::Other(other),
        };
        let start = match fields.va(field::WIN32_START_ADDRESS)? {
            Va(0) => fields.va(field::START_ADDRESS)?,
            start => start,
        };
        let mut wait_blocks = List::empty();
        if state == ThreadState::Waiting {
            wait_blocks = self.wait_blocks(fields.va(field::WAIT_BLOCK_LIST)?);
        }
        let signed = |offset| fields.u8(offset).map(|byte| byte as i8);
        let irps = address.wrapping_add(field::IRP_LIST);
        Ok(Thread {
            address,
            client_id: [
                fields.u64(field::CLIENT_ID)?,
                fields.u64(field::CLIENT_ID + 8)?,
            ],
            teb: fields.va(field::TEB)?,
            process: fields.va(field::PROCESS)?,
            attached_process: fields.va(field::APC_PROCESS)?,
            state,
            wait_blocks,
            wait_reason: fields.u8(field::WAIT_REASON)?,
            waits_for_user: fields.u8(field::WAIT_MODE)? != 0,
            alertable: fields.u32(field::MISCELLANEOUS)? & ALERTABLE != 0,
            wait_time: fields.u32(field::WAIT_TIME)?,
            context_switches: fields.u32(field::CONTEXT_SWITCHES)?,
            ideal_processor: fields.u32(field::IDEAL_PROCESSOR)?,
            start_address: start,
            stack: [
                fields.va(field::INITIAL_STACK)?,
                fields.va(field::KERNEL_STACK)?,
                fields.va(field::STACK_BASE)?,
                fields.va(field::STACK_LIMIT)?,
            ],
            priority: [
                signed(field::PRIORITY)?,
                signed(field::BASE_PRIORITY)?,
                signed(field::PRIORITY_DECREMENT)?,
            ],
            irps: entries(memory, irps, IRP_LINKS),
        })
    }

    /// The blocks of a wait, which lead to each other in a ring.
    fn wait_blocks(&self, first: Va) -> List<WaitBlock> {
        let memory = self.machine();
        ring(memory, first, BLOCK_NEXT).map(|at| {
            let object = Fields { memory, at }.va(BLOCK_OBJECT).unwrap_or_default();
            let header = Fields { memory, at: object };
            WaitBlock {
                object,
                kind: header.u8(0).ok(),
                limit: header.u32(0x18).unwrap_or(0),
                owner: header.va(0x28).unwrap_or_default(),
            }
        })
    }

    /// The registers with which the walk of a thread's stack begins that does not run: where
    /// `nt!KiSwapContext` has left it. `None` if the kernel has no such function, or the thread no stack.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let system = lab.processes()?.remove(0);
    /// let thread = lab.thread(system.threads[0])?;
    /// assert_eq!(lab.switched_registers(&thread).unwrap().rsp(), thread.stack[1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn switched_registers(&self, thread: &Thread) -> Option<Registers> {
        let [_, stack, base, limit] = thread.stack;
        (stack >= limit && stack < base).then_some(())?;
        let mut registers = Registers {
            rip: self.switch_place()?.0,
            ..Registers::default()
        };
        registers.set(Gpr::Rsp, stack.0);
        Some(registers)
    }

    /// The instruction of `nt!KiSwapContext` behind the one that takes the new thread's stack.
    fn switch_place(&self) -> Option<Va> {
        // mov rsp, [rdx + 38h]: _KTHREAD.KernelStack
        const SWITCH: [u8; 4] = [0x48, 0x8b, 0x62, 0x38];
        const LENGTH: usize = 0x100;
        let start = self.kernel_symbol("KiSwapContext")?;
        let mut code = [0; LENGTH];
        let length = crate::memory::ReadMemory::read_partial(self.machine(), start, &mut code);
        let at = code[..length]
            .windows(4)
            .position(|bytes| bytes == SWITCH)?;
        Some(start.wrapping_add(at as u64 + 4))
    }
}
