//! `!error CODE [FLAG]`: the name of an error code. One whose upper bit is set, or any if FLAG is 1, is an `NTSTATUS`,
//! another one a code of the Windows API.
//!
//! "!error" in the debugger's manual; the form is that of its examples, of which `!error 2 1` shows a name. Where
//! Windows' debuggers show a message's text there is the name here, too: the texts are Windows'. What is said of a
//! code that has none is from "How to see what an error code means" in a collection of notes on WinDbg.
//!
//! ```text
//! kd> !error c0000034
//! Error code: (NTSTATUS) 0xc0000034 (3221225524) - STATUS_OBJECT_NAME_NOT_FOUND
//! kd> !error 2
//! Error code: (Win32) 0x2 (2) - ERROR_FILE_NOT_FOUND
//! kd> !error 2 1
//! Error code: (NTSTATUS) 0x2 (2) - STATUS_WAIT_2
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::{NtStatus, Win32Error};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let value = arguments.next_expression(session)?;
    let flag = arguments.next_expression_or(session, 0)?;
    arguments.finish()?;
    // A status is sign-extended where it is a 64-bit value.
    let is_code = value >> 32 == 0 || value >> 31 == 0x1_ffff_ffff;
    if !is_code || flag > 1 {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let code = value as u32;
    // FACILITY_WIN32 with the bit of a failure
    let (kind, name) = match flag == 1 || code >> 31 == 1 {
        _ if code >> 16 == 0x8007 && flag == 0 => ("HRESULT", Win32Error(code & 0xffff).name()),
        true => ("NTSTATUS", NtStatus(code).name()),
        false => ("Win32", Win32Error(code).name()),
    };
    let name = name.unwrap_or_else(|| "<Unable to get error code text>".to_string());
    writeln!(out, "Error code: ({kind}) {code:#x} ({code}) - {name}")?;
    Ok(Flow::Stay)
}
