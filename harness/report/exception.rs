//! Exceptions in the debugger's words.

use crate::debugger::exception::ExceptionRecord;
use std::fmt::{self, Write};

/// What the debugger calls an exception, by its code (`STATUS_*`, ntstatus.h): the words of "Controlling
/// Exceptions and Events" in its manual.
///
/// ```
/// use poolhit::report::exception::name;
/// assert_eq!(name(0xc0000005), Some("Access violation"));
/// assert_eq!(name(0xdead), None);
/// ```
pub fn name(code: u32) -> Option<&'static str> {
    Some(match code {
        0x8000_0001 => "Guard page violation",
        0x8000_0002 => "Data misaligned",
        0x8000_0003 => "Break instruction exception",
        0x8000_0004 => "Single step exception",
        0xc000_0005 => "Access violation",
        0xc000_0006 => "In-page I/O error",
        0xc000_0008 => "Invalid handle",
        0xc000_001d => "Illegal instruction",
        0xc000_008c => "Array bounds exceeded",
        0xc000_0094 => "Integer divide-by-zero",
        0xc000_0095 => "Integer overflow",
        0xc000_0096 => "Privileged instruction",
        0xc000_00fd => "Stack overflow",
        0xc000_0409 => "Security check failure or stack buffer overrun",
        0xc000_0420 => "Assertion failure",
        _ => return None,
    })
}

/// What an access violation or in-page error was about to do, by its parameters
/// (`EXCEPTION_RECORD.ExceptionInformation`).
///
/// ```
/// use poolhit::report::exception::attempt;
/// let text = attempt(0xc0000005, &[1, 0x10]).unwrap();
/// assert_eq!(text, "Attempt to write to address 0000000000000010");
/// ```
pub fn attempt(code: u32, parameters: &[u64]) -> Option<String> {
    let &[access, address, ..] = parameters else {
        return None;
    };
    if code != 0xc000_0005 {
        return None;
    }
    let what = match access {
        0 => "read from",
        1 => "write to",
        8 => "execute non-executable",
        _ => return None,
    };
    Some(format!("Attempt to {what} address {address:016x}"))
}

/// Writes a record as `.exr` does; `near` is the symbol or module that its address lies in, and how far. Of
/// x64 the distance has all its digits, in published sessions as in "Bug Check 0x1AA:
/// EXCEPTION_ON_INVALID_STACK" of the manual.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, debugger::exception::ExceptionRecord, report::exception::write_record};
/// let record = ExceptionRecord {
///     code: 0x80000003,
///     flags: 0,
///     address: Va(0xfffff800_014798f6),
///     parameters: vec![0],
/// };
/// let mut text = String::new();
/// write_record(&mut text, &record, Some(("nt!ExAllocatePoolWithTag", 0x72)))?;
/// let first = "ExceptionAddress: fffff800014798f6 (nt!ExAllocatePoolWithTag+0x0000000000000072)\n";
/// assert!(text.starts_with(first), "{text}");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_record(
    out: &mut dyn Write,
    record: &ExceptionRecord,
    near: Option<(&str, u64)>,
) -> fmt::Result {
    write!(out, "ExceptionAddress: {:016x}", record.address.0)?;
    match near {
        Some((name, 0)) => writeln!(out, " ({name})")?,
        Some((name, distance)) => writeln!(out, " ({name}+{distance:#018x})")?,
        None => writeln!(out)?,
    }
    write!(out, "   ExceptionCode: {:08x}", record.code)?;
    match name(record.code) {
        Some(name) => writeln!(out, " ({name})")?,
        None => writeln!(out)?,
    }
    writeln!(out, "  ExceptionFlags: {:08x}", record.flags)?;
    writeln!(out, "NumberParameters: {}", record.parameters.len())?;
    for (number, parameter) in record.parameters.iter().enumerate() {
        writeln!(out, "   Parameter[{number}]: {parameter:016x}")?;
    }
    match attempt(record.code, &record.parameters) {
        Some(attempt) => writeln!(out, "{attempt}"),
        None => Ok(()),
    }
}
