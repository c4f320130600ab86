//! `!teb [ADDRESS]`, `!peb [ADDRESS]`: a thread's and a process' environment block; without an address those of the
//! current thread.
//!
//! "!teb" and "!peb" in the debugger's manual. The form of `!teb` is that of sessions of x64 systems (`!teb` of a WoW64
//! thread in the notes of `hvext`'s author; "TEB at 000007fffffde000" in a text about stack pages), that of `!peb` the
//! one of a Windows 7 x64 session (`TcpKali.exe`). What process parameters hold is shown if there are any; this target's
//! programs have none. Offsets are those of `_TEB` and `_PEB` of Windows 7 x64.
//!
//! ```text
//! kd> !teb
//! TEB at 000007fffffdd000
//!     ExceptionList:        0000000000000000
//!     StackBase:            00000000000e0000
//!     StackLimit:           00000000000d0000
//!     SubSystemTib:         0000000000000000
//!     FiberData:            0000000000000000
//!     ArbitraryUserPointer: 0000000000000000
//!     Self:                 000007fffffdd000
//!     EnvironmentPointer:   0000000000000000
//!     ClientId:             0000000000000024 . 0000000000000028
//!     RpcHandle:            0000000000000000
//!     Tls Storage:          0000000000000000
//!     PEB Address:          000007fffffdf000
//!     LastErrorValue:       0
//!     LastStatusValue:      0
//!     Count Owned Locks:    0
//!     HardErrorMode:        0
//! kd> !peb
//! PEB at 000007fffffdf000
//!     InheritedAddressSpace:    No
//!     ReadImageFileExecOptions: No
//!     BeingDebugged:            No
//!     ImageBaseAddress:         00000000ff220000
//!     Ldr                       0000000000250000
//!     Ldr.Initialized:          Yes
//!     Ldr.InInitializationOrderModuleList: 00000000002501b0 . 0000000000250440
//!     Ldr.InLoadOrderModuleList:           0000000000250060 . 0000000000250420
//!     Ldr.InMemoryOrderModuleList:         0000000000250070 . 0000000000250430
//!             Base TimeStamp                     Module
//!         ff220000 63896fa2 Dec  2 03:23:14 2022 C:\Tools\NotMyfault.exe
//!         77510000 2acbd6e3 Oct  2 04:58:11 1992 C:\Windows\system32\ntdll.dll
//!      7fefd5f0000 57364752 May 13 21:29:54 2016 C:\Windows\system32\KERNELBASE.dll
//!         773f0000 1ae481b3 Apr 19 00:37:07 1984 C:\Windows\system32\kernel32.dll
//!     SubSystemData:     0000000000000000
//!     ProcessHeap:       0000000000000000
//!     ProcessParameters: 0000000000000000
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::guest::ImageHeaders;
use crate::guest::objects::{ListEnd, OBJECT_LIMIT, ObjectError};
use crate::guest::read_unicode_string;
use crate::memory::ReadMemory;
use crate::report::date::date;
use crate::report::objects::write_damage;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The block's address: what is typed, or the pseudo-register's value.
fn next_address(
    session: &Session,
    arguments: &mut Cursor<'_>,
    register: &str,
) -> Result<Va, ExecuteError> {
    let mut cursor = Cursor::new(register);
    let at = match arguments.at_end() {
        true => cursor.next_expression(session)?,
        false => arguments.next_expression(session)?,
    };
    arguments.finish()?;
    Ok(Va(at))
}

/// `!teb`.
pub(super) fn run_thread(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = next_address(session, arguments, "@$teb")?;
    let memory = session.lab().machine();
    let word = |offset: u64| {
        memory
            .read_u64(at.wrapping_add(offset))
            .map_err(ObjectError::from)
    };
    let half = |offset: u64| {
        memory
            .read_u32(at.wrapping_add(offset))
            .map_err(ObjectError::from)
    };
    // Nothing is shown of a block that is not there.
    let (status, mode) = (half(0x1250)?, half(0x16b0)?);
    writeln!(out, "TEB at {:016x}", at.0)?;
    for (name, offset) in [
        ("ExceptionList:", 0),
        ("StackBase:", 8),
        ("StackLimit:", 0x10),
        ("SubSystemTib:", 0x18),
        ("FiberData:", 0x20),
        ("ArbitraryUserPointer:", 0x28),
        ("Self:", 0x30),
        ("EnvironmentPointer:", 0x38),
    ] {
        writeln!(out, "    {name:22}{:016x}", word(offset)?)?;
    }
    let (process, thread) = (word(0x40)?, word(0x48)?);
    writeln!(
        out,
        "    ClientId:             {process:016x} . {thread:016x}"
    )?;
    for (name, offset) in [
        ("RpcHandle:", 0x50),
        ("Tls Storage:", 0x58),
        ("PEB Address:", 0x60),
    ] {
        writeln!(out, "    {name:22}{:016x}", word(offset)?)?;
    }
    writeln!(out, "    LastErrorValue:       {}", half(0x68)?)?;
    writeln!(out, "    LastStatusValue:      {status:x}")?;
    writeln!(out, "    Count Owned Locks:    {}", half(0x6c)?)?;
    writeln!(out, "    HardErrorMode:        {mode}")?;
    Ok(Flow::Stay)
}

/// `!peb`.
pub(super) fn run_process(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = next_address(session, arguments, "@$peb")?;
    let memory = session.lab().machine();
    let link = |at: Va| memory.read_va(at).map_err(ObjectError::from);
    let word = |offset: u64| link(at.wrapping_add(offset));
    let yes = |at: Va, offset: u64| {
        let byte = memory.read_u8(at.wrapping_add(offset));
        byte.map_err(ObjectError::from)
            .map(|byte| if byte == 0 { "No" } else { "Yes" })
    };
    let loader = word(0x18)?;
    writeln!(out, "PEB at {:016x}", at.0)?;
    writeln!(out, "    InheritedAddressSpace:    {}", yes(at, 0)?)?;
    writeln!(out, "    ReadImageFileExecOptions: {}", yes(at, 1)?)?;
    writeln!(out, "    BeingDebugged:            {}", yes(at, 2)?)?;
    writeln!(out, "    ImageBaseAddress:         {:016x}", word(0x10)?.0)?;
    writeln!(out, "    Ldr                       {:016x}", loader.0)?;
    if loader.0 != 0 {
        writeln!(out, "    Ldr.Initialized:          {}", yes(loader, 4)?)?;
        for (name, offset) in [
            ("InInitializationOrderModuleList:", 0x30),
            ("InLoadOrderModuleList:          ", 0x10),
            ("InMemoryOrderModuleList:        ", 0x20),
        ] {
            let first = link(loader.wrapping_add(offset))?;
            let last = link(loader.wrapping_add(offset + 8))?;
            writeln!(out, "    Ldr.{name} {:016x} . {:016x}", first.0, last.0)?;
        }
        write_modules(session, out, loader.wrapping_add(0x10))?;
    }
    writeln!(out, "    SubSystemData:     {:016x}", word(0x28)?.0)?;
    writeln!(out, "    ProcessHeap:       {:016x}", word(0x30)?.0)?;
    let parameters = word(0x20)?;
    writeln!(out, "    ProcessParameters: {:016x}", parameters.0)?;
    // _RTL_USER_PROCESS_PARAMETERS
    for (name, offset) in [("ImageFile:    ", 0x60), ("CommandLine:  ", 0x70)] {
        if parameters.0 != 0 {
            let text = read_unicode_string(memory, parameters.wrapping_add(offset));
            writeln!(out, "    {name}'{}'", text.unwrap_or_default())?;
        }
    }
    Ok(Flow::Stay)
}

/// The modules, by the list of `_LDR_DATA_TABLE_ENTRY`s in the order of loading.
fn write_modules(session: &Session, out: &mut dyn Write, head: Va) -> Result<(), ExecuteError> {
    let memory = session.lab().machine();
    writeln!(out, "            Base TimeStamp                     Module")?;
    let mut seen = BTreeSet::from([head]);
    let mut at = memory.read_va(head).map_err(ObjectError::from)?;
    let end = loop {
        if at == head {
            break None;
        }
        if seen.len() > OBJECT_LIMIT {
            break Some(ListEnd::Limit);
        }
        if !seen.insert(at) {
            break Some(ListEnd::Loop(at));
        }
        let Ok(base) = memory.read_va(at.wrapping_add(0x30)) else {
            break Some(ListEnd::Unreadable(at));
        };
        let stamp = ImageHeaders::read(memory, base).map(|headers| headers.file_u32(4));
        let stamp = stamp.unwrap_or_default();
        let name = read_unicode_string(memory, at.wrapping_add(0x48)).unwrap_or_default();
        // without the day of the week
        let time = date(stamp);
        let time = time.get(4..).unwrap_or_default();
        writeln!(out, "{:16x} {stamp:08x} {time} {name}", base.0)?;
        match memory.read_va(at) {
            Ok(next) => at = next,
            Err(_) => break Some(ListEnd::Unreadable(at)),
        }
    };
    write_damage(out, end, "    ")?;
    Ok(())
}
