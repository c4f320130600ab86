//! Processes and threads as `!process` and `!thread` show them.
//!
//! The forms are those of the debugger's manual ("!process", "!thread", "!handle") and of the sessions in
//! "Debug Universal Drivers" and "Getting Started with WinDbg (Kernel-Mode)". Lines about what this
//! kernel's structures do not hold are left out: times, working sets, address ranges, device maps. There
//! are no sessions.

use super::objects::write_damage;
use super::stack_columns::{StackColumns, write_columns};
use crate::address::Va;
use crate::debugger::Session;
use crate::guest::objects::{Process, Thread, ThreadState, WaitBlock};
use crate::memory::ReadMemory;
use std::fmt::{self, Write};

/// The frames of a thread that are shown.
const FRAMES: usize = 64;
/// A tick of the clock in microseconds (15.625 ms).
const TICK: u64 = 15_625;

/// `KWAIT_REASON` (wdm.h).
const WAIT_REASONS: [&str; 38] = [
    "Executive",
    "FreePage",
    "PageIn",
    "PoolAllocation",
    "DelayExecution",
    "Suspended",
    "UserRequest",
    "WrExecutive",
    "WrFreePage",
    "WrPageIn",
    "WrPoolAllocation",
    "WrDelayExecution",
    "WrSuspended",
    "WrUserRequest",
    "WrEventPair",
    "WrQueue",
    "WrLpcReceive",
    "WrLpcReply",
    "WrVirtualMemory",
    "WrPageOut",
    "WrRendezvous",
    "WrKeyedEvent",
    "WrTerminated",
    "WrProcessInSwap",
    "WrCpuRateControl",
    "WrCalloutStack",
    "WrKernel",
    "WrResource",
    "WrPushLock",
    "WrMutex",
    "WrQuantumEnd",
    "WrDispatchInt",
    "WrPreempted",
    "WrYieldExecution",
    "WrFastMutex",
    "WrGuardedMutex",
    "WrRundown",
    "WrAlertByThreadId",
];

/// Writes the lines that every listing of a process begins with.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let lab = poolhit::Lab::builder().build()?;
/// let mut text = String::new();
/// poolhit::report::processes::write_process(&mut text, &lab.processes()?[0])?;
/// assert!(text.ends_with("    Image: System\n"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_process(out: &mut dyn Write, process: &Process) -> fmt::Result {
    writeln!(out, "PROCESS {:016x}", process.address.0)?;
    writeln!(
        out,
        "    SessionId: none  Cid: {:04x}    Peb: {:08x}  ParentCid: {:04x}",
        process.id, process.peb.0, process.parent_id
    )?;
    write!(
        out,
        "    DirBase: {:08x}  ObjectTable: {:08x}  HandleCount: ",
        process.directory_base, process.object_table.0
    )?;
    match process.handle_count {
        Some(count) => writeln!(out, "{count:3}.")?,
        None => writeln!(out, "<Data Not Accessible>")?,
    }
    writeln!(out, "    Image: {}", process.image)
}

/// Writes what `!process` adds with flag 1.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let lab = poolhit::Lab::builder().build()?;
/// let mut text = String::new();
/// poolhit::report::processes::write_statistics(&mut text, &lab.processes()?[0])?;
/// assert!(text.contains("    Token                             fffff8a0"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_statistics(out: &mut dyn Write, process: &Process) -> fmt::Result {
    let [nonpaged, paged] = process.quota_usage;
    let mut line = |name: &str, value: &dyn fmt::Display| writeln!(out, "    {name:33} {value}");
    line("Token", &format_args!("{:016x}", process.token.0))?;
    line("QuotaPoolUsage[PagedPool]", &paged)?;
    line("QuotaPoolUsage[NonPagedPool]", &nonpaged)?;
    line("LockedPages", &process.locked_pages)?;
    line("CommitCharge", &process.commit_charge)
}

/// Writes a thread, each line behind `indent`: its first line, with flag 2 all of it, and with 4 its stack;
/// 8 leaves the arguments out.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::processes::write_thread};
/// let session = Session::new(Lab::builder().build()?);
/// let thread = session.lab().thread(session.current_thread().unwrap())?;
/// let mut text = String::new();
/// write_thread(&mut text, &session, &thread, 0, "")?;
/// assert!(text.ends_with(" RUNNING on processor 1\n"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_thread(
    out: &mut dyn Write,
    session: &Session,
    thread: &Thread,
    flags: u64,
    indent: &str,
) -> fmt::Result {
    let [process, own] = thread.client_id;
    write!(
        out,
        "{indent}THREAD {:016x}  Cid {process:04x}.{own:04x}  Teb: {:016x} Win32Thread: {:016x} ",
        thread.address.0, thread.teb.0, 0
    )?;
    write_state(out, session, thread)?;
    if flags & 2 == 0 {
        return Ok(());
    }
    for block in &thread.wait_blocks {
        let kind = wait_object(block);
        writeln!(out, "{indent}    {:016x}  {kind}", block.object.0)?;
    }
    write_damage(out, thread.wait_blocks.damage(), &format!("{indent}    "))?;
    if flags & 4 == 0 {
        return Ok(());
    }
    write_requests(out, session, thread, indent)?;
    write_details(out, session, thread, indent)?;
    let machine = session.lab().machine();
    let runs = session.current_thread() == Some(thread.address);
    let registers = match runs {
        true => Some(machine.registers()),
        // the stack of one that has ended is another's by now, or nobody's
        false if thread.state == ThreadState::Terminated => None,
        false => session.lab().switched_registers(thread),
    };
    let Some(registers) = registers else {
        return writeln!(out);
    };
    let frames = session.stack_frames(&registers, FRAMES);
    let columns = StackColumns {
        home: flags & 8 == 0,
        trap_frames: true,
        ..StackColumns::default()
    };
    let mut text = String::new();
    write_columns(&mut text, &frames, &columns)?;
    for line in text.lines() {
        writeln!(out, "{indent}{line}")?;
    }
    writeln!(out)
}

fn write_state(out: &mut dyn Write, session: &Session, thread: &Thread) -> fmt::Result {
    match thread.state {
        ThreadState::Initialized => writeln!(out, "INITIALIZED"),
        ThreadState::Ready => writeln!(out, "READY"),
        ThreadState::Standby => writeln!(out, "STANDBY"),
        ThreadState::Terminated => writeln!(out, "TERMINATED"),
        ThreadState::Other(state) => writeln!(out, "Unknown State ({state})"),
        ThreadState::Running => {
            let processors = session.lab().processors();
            let runs =
                |one: &&crate::guest::objects::Processor| one.current_thread == thread.address;
            match processors.iter().find(runs) {
                Some(processor) => writeln!(out, "RUNNING on processor {:x}", processor.number),
                None => writeln!(out, "RUNNING"),
            }
        }
        ThreadState::Waiting => {
            let reason = usize::from(thread.wait_reason);
            let reason = WAIT_REASONS.get(reason).unwrap_or(&"Unknown");
            let mode = if thread.waits_for_user {
                "User"
            } else {
                "Kernel"
            };
            let alertable = if thread.alertable { "" } else { "Non-" };
            writeln!(out, "WAIT: ({reason}) {mode}Mode {alertable}Alertable")
        }
    }
}

/// What a thread waits for, by `_DISPATCHER_HEADER.Type`.
fn wait_object(block: &WaitBlock) -> String {
    match block.kind {
        Some(0) => "NotificationEvent".to_string(),
        Some(1) => "SynchronizationEvent".to_string(),
        Some(2) => match block.owner {
            Va(0) => "Mutant - not owned".to_string(),
            owner => format!("Mutant - owning thread {:016x}", owner.0),
        },
        Some(3) => "ProcessObject".to_string(),
        Some(4) => "QueueObject".to_string(),
        Some(5) => format!("Semaphore Limit {:#x}", block.limit),
        Some(6) => "Thread".to_string(),
        Some(7) => "Gate".to_string(),
        Some(8) => "NotificationTimer".to_string(),
        Some(9) => "SynchronizationTimer".to_string(),
        _ => "Unknown".to_string(),
    }
}

fn write_requests(
    out: &mut dyn Write,
    session: &Session,
    thread: &Thread,
    indent: &str,
) -> fmt::Result {
    if thread.irps.is_empty() && thread.irps.damage().is_none() {
        return Ok(());
    }
    writeln!(out, "{indent}IRP List:")?;
    for at in &thread.irps {
        match session.lab().irp(*at) {
            Ok(irp) => writeln!(
                out,
                "{indent}    {:016x}: ({:04x},{:04x}) Flags: {:08x}  Mdl: {:08x}",
                at.0, 6, irp.size, irp.flags, irp.mdl.0
            )?,
            Err(_) => writeln!(out, "{indent}    {:016x}: Could not read Irp", at.0)?,
        }
    }
    write_damage(out, thread.irps.damage(), &format!("{indent}    "))
}

/// What the lines about a thread say that is not in its structures.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surroundings {
    /// The program of its process.
    pub image: String,
    /// The program of the process that it is attached to, if that is another one.
    pub attached_image: Option<String>,
    /// For how many ticks it has waited, or run since its last wait.
    pub ticks: u64,
    /// The symbol that its start address is near to.
    pub start: Option<String>,
}

fn write_details(
    out: &mut dyn Write,
    session: &Session,
    thread: &Thread,
    indent: &str,
) -> fmt::Result {
    let lab = session.lab();
    let image = |process: Va| lab.process(process).map_or(String::new(), |one| one.image);
    let attached = Some(thread.attached_process).filter(|process| *process != thread.process);
    let ticks = lab.kernel_symbol("KeTickCount");
    let ticks = ticks.and_then(|at| lab.machine().read_u64(at).ok());
    let start = session.modules().nearest(thread.start_address);
    let around = Surroundings {
        image: image(thread.process),
        attached_image: attached.map(image),
        ticks: ticks.unwrap_or(0).saturating_sub(thread.wait_time.into()),
        start: start.map(|near| near.to_string()),
    };
    write_thread_details(out, thread, &around, indent)
}

/// Writes the lines between a thread's requests and its stack.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, report::processes::{Surroundings, write_thread_details}};
/// let lab = Lab::builder().build()?;
/// let thread = lab.thread(lab.processes()?[1].threads[0])?;
/// let around = Surroundings { ticks: 65, ..Surroundings::default() };
/// let mut text = String::new();
/// write_thread_details(&mut text, &thread, &around, "")?;
/// assert!(text.contains("Ticks: 65 (0:00:00:01.015)\n"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_thread_details(
    out: &mut dyn Write,
    thread: &Thread,
    around: &Surroundings,
    indent: &str,
) -> fmt::Result {
    writeln!(out, "{indent}Not impersonating")?;
    writeln!(
        out,
        "{indent}Owning Process            {:016x}       Image:         {}",
        thread.process.0, around.image
    )?;
    match &around.attached_image {
        None => writeln!(
            out,
            "{indent}Attached Process          N/A            Image:         N/A"
        )?,
        Some(image) => writeln!(
            out,
            "{indent}Attached Process          {:016x}       Image:         {image}",
            thread.attached_process.0
        )?,
    }
    let began = thread.wait_time;
    write!(
        out,
        "{indent}Wait Start TickCount      {began:<15}Ticks: {}",
        around.ticks
    )?;
    match around.ticks {
        0 => writeln!(out)?,
        ticks => {
            let milliseconds = ticks.saturating_mul(TICK) / 1000;
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
            let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
            writeln!(
                out,
                " ({days}:{hours:02}:{minutes:02}:{seconds:02}.{rest:03})"
            )?;
        }
    }
    writeln!(
        out,
        "{indent}Context Switch Count      {:<15}IdealProcessor: {}             ",
        thread.context_switches, thread.ideal_processor
    )?;
    write!(out, "{indent}Win32 Start Address ")?;
    match &around.start {
        Some(near) => writeln!(out, "{near} (0x{:016x})", thread.start_address.0)?,
        None => writeln!(out, "0x{:016x}", thread.start_address.0)?,
    }
    let [initial, current, base, limit] = thread.stack.map(|at| at.0);
    writeln!(
        out,
        "{indent}Stack Init {initial:016x} Current {current:016x}"
    )?;
    writeln!(
        out,
        "{indent}Base {base:016x} Limit {limit:016x} Call {:016x}",
        0
    )?;
    let [priority, base, decrement] = thread.priority;
    writeln!(
        out,
        "{indent}Priority {priority} BasePriority {base} PriorityDecrement {decrement}"
    )
}
