//! Exception codes in the debugger's words.

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
