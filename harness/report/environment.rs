//! The environment blocks of threads and processes, as `!teb` and `!peb` show them.
//!
//! The form of `!teb` is that of the example of x64 in "Debugging a Stack Overflow" in the debugger's manual, that of
//! `!peb` the one of a session of Windows 7 x64 (`TcpKali.exe`, in notes on shellcode), whose days of the month have
//! a zero in front. What cannot be read is said as in sessions of WoW64 processes and of a process that had not
//! started.

use super::date::date;
use super::objects::write_damage;
use crate::guest::{LoaderData, ProcessEnvironment, ProcessParameters, ThreadEnvironment};
use std::fmt::{self, Write};

/// Writes a thread's block.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, address::Va, guest::ThreadEnvironment, report::environment::write_thread};
/// let mut session = Session::new(Lab::builder().build()?);
/// session.execute("bp nt!NtClose; g")?;
/// let block = ThreadEnvironment::read(session.lab().machine(), Va(0x000007ff_fffdd000))?;
/// let mut text = String::new();
/// write_thread(&mut text, &block)?;
/// assert!(text.starts_with("TEB at 000007fffffdd000\n    ExceptionList:        0000000000000000\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_thread(out: &mut dyn Write, block: &ThreadEnvironment) -> fmt::Result {
    const INFORMATION: [&str; 8] = [
        "ExceptionList:",
        "StackBase:",
        "StackLimit:",
        "SubSystemTib:",
        "FiberData:",
        "ArbitraryUserPointer:",
        "Self:",
        "EnvironmentPointer:",
    ];
    writeln!(out, "TEB at {:016x}", block.address.0)?;
    for (name, value) in INFORMATION.iter().zip(block.information) {
        writeln!(out, "    {name:22}{value:016x}")?;
    }
    let [process, thread] = block.client;
    writeln!(
        out,
        "    ClientId:             {process:016x} . {thread:016x}"
    )?;
    for (name, value) in [
        ("RpcHandle:", block.rpc_handle),
        ("Tls Storage:", block.local_storage),
        ("PEB Address:", block.process.0),
    ] {
        writeln!(out, "    {name:22}{value:016x}")?;
    }
    writeln!(out, "    LastErrorValue:       {}", block.last_error)?;
    writeln!(out, "    LastStatusValue:      {:x}", block.last_status)?;
    writeln!(out, "    Count Owned Locks:    {}", block.owned_locks)?;
    writeln!(out, "    HardErrorMode:        {}", block.hard_error_mode)
}

/// Writes a process' block.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, address::Va, guest::ProcessEnvironment, report::environment::write_process};
/// let mut session = Session::new(Lab::builder().build()?);
/// session.execute("bp nt!NtClose; g")?;
/// let block = ProcessEnvironment::read(session.lab().machine(), Va(0x000007ff_fffdf000))?;
/// let mut text = String::new();
/// write_process(&mut text, &block)?;
/// assert!(text.starts_with("PEB at 000007fffffdf000\n    InheritedAddressSpace:    No\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_process(out: &mut dyn Write, block: &ProcessEnvironment) -> fmt::Result {
    const FLAGS: [&str; 3] = [
        "InheritedAddressSpace:",
        "ReadImageFileExecOptions:",
        "BeingDebugged:",
    ];
    writeln!(out, "PEB at {:016x}", block.address.0)?;
    for (name, flag) in FLAGS.iter().zip(block.flags) {
        writeln!(out, "    {name:26}{}", yes(flag))?;
    }
    writeln!(
        out,
        "    ImageBaseAddress:         {:016x}",
        block.image_base.0
    )?;
    writeln!(out, "    Ldr                       {:016x}", block.loader.0)?;
    match &block.loaded {
        Some(loaded) => write_loaded(out, loaded)?,
        None => writeln!(
            out,
            "    *** unable to read Ldr table at {:016x}",
            block.loader.0
        )?,
    }
    writeln!(out, "    SubSystemData:     {:016x}", block.subsystem_data)?;
    writeln!(out, "    ProcessHeap:       {:016x}", block.heap)?;
    writeln!(out, "    ProcessParameters: {:016x}", block.parameters.0)?;
    match &block.started_with {
        Some(parameters) => write_parameters(out, parameters),
        None => Ok(()),
    }
}

fn yes(flag: bool) -> &'static str {
    if flag { "Yes" } else { "No" }
}

fn write_loaded(out: &mut dyn Write, loaded: &LoaderData) -> fmt::Result {
    writeln!(
        out,
        "    Ldr.Initialized:          {}",
        yes(loaded.initialized)
    )?;
    for (name, [first, last]) in [
        "InInitializationOrderModuleList:",
        "InLoadOrderModuleList:          ",
        "InMemoryOrderModuleList:        ",
    ]
    .iter()
    .zip(loaded.lists)
    {
        writeln!(out, "    Ldr.{name} {:016x} . {:016x}", first.0, last.0)?;
    }
    writeln!(out, "            Base TimeStamp                     Module")?;
    for image in &loaded.images {
        let (base, stamp) = (image.base.0, image.time_stamp);
        // without the day of the week, and with two digits of the day
        let time = date(stamp);
        let month = time.get(4..8).unwrap_or_default();
        let rest = time.get(8..).unwrap_or_default();
        let rest = match rest.strip_prefix(' ') {
            Some(rest) => format!("0{rest}"),
            None => rest.to_owned(),
        };
        writeln!(out, "{base:16x} {stamp:08x} {month}{rest} {}", image.path)?;
    }
    write_damage(out, loaded.damage, "    ")
}

fn write_parameters(out: &mut dyn Write, parameters: &ProcessParameters) -> fmt::Result {
    for (name, text) in [
        ("CurrentDirectory:  ", &parameters.current_directory),
        ("WindowTitle:  ", &parameters.window_title),
        ("ImageFile:    ", &parameters.image_file),
        ("CommandLine:  ", &parameters.command_line),
        ("DllPath:      ", &parameters.dll_path),
    ] {
        let text = text.as_deref().unwrap_or("< Name not readable >");
        writeln!(out, "    {name}'{text}'")?;
    }
    writeln!(out, "    Environment:  {:016x}", parameters.environment.0)?;
    match &parameters.variables {
        Some(variables) => {
            for one in variables {
                writeln!(out, "        {one}")?;
            }
            Ok(())
        }
        None => writeln!(out, "       Unable to read Environment string."),
    }
}
