//! `!teb [ADDRESS]`, `!peb [ADDRESS]`: a thread's and a process' environment block; without an address those of the
//! current thread.
//!
//! "!teb" and "!peb" in the debugger's manual; the text is that of `report::environment`. What process parameters hold
//! is shown if there are any; this target's programs have none.
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
//!         ff220000 63896fa2 Dec 02 03:23:14 2022 C:\Tools\NotMyfault.exe
//!         77510000 2acbd6e3 Oct 02 04:58:11 1992 C:\Windows\system32\ntdll.dll
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
use crate::guest::objects::ObjectError;
use crate::guest::{ProcessEnvironment, ThreadEnvironment};
use crate::report::environment::{write_process, write_thread};
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
    let block = ThreadEnvironment::read(session.lab().machine(), at);
    write_thread(out, &block.map_err(ObjectError::from)?)?;
    Ok(Flow::Stay)
}

/// `!peb`.
pub(super) fn run_process(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = next_address(session, arguments, "@$peb")?;
    let block = ProcessEnvironment::read(session.lab().machine(), at);
    write_process(out, &block.map_err(ObjectError::from)?)?;
    Ok(Flow::Stay)
}
