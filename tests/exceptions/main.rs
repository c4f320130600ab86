//! Exceptions in the guest's kernel: which of them handlers are asked about, in what order, with what
//! registers the guest goes on, and which bug check it is if nobody handles one. What is right is what
//! Microsoft's documentation says of x64 exception handling, of the bug checks and of the WDK's routines.

mod finally;
mod frames;
mod guest;
mod handled;
mod hostile;
mod levels;
mod model;
mod probes;
mod programs;
mod stacks;
mod system_calls;
mod unhandled;

/// Status values (ntstatus.h).
mod status {
    pub const DATATYPE_MISALIGNMENT: u64 = 0x8000_0002;
    pub const ACCESS_VIOLATION: u64 = 0xc000_0005;
    pub const ILLEGAL_INSTRUCTION: u64 = 0xc000_001d;
    pub const NONCONTINUABLE_EXCEPTION: u64 = 0xc000_0025;
    pub const INTEGER_DIVIDE_BY_ZERO: u64 = 0xc000_0094;
    /// What the driver raises.
    pub const RAISED: u64 = 0xe000_1234;
    /// What it raises and can be gone on from.
    pub const CONTINUABLE: u64 = 0xe000_5678;
}

/// What the driver can raise, by number.
mod kind {
    pub const READ_NULL: u64 = 0;
    pub const READ_USER: u64 = 1;
    pub const WRITE_USER: u64 = 2;
    pub const WRITE_READ_ONLY_USER: u64 = 3;
    pub const READ_NOT_CANONICAL: u64 = 4;
    pub const DIVIDE: u64 = 5;
    pub const UNDEFINED: u64 = 6;
    pub const RAISE_STATUS: u64 = 7;
    pub const RAISE_EXCEPTION: u64 = 8;
    pub const CALL_NULL: u64 = 9;
    pub const RAISE_ACCESS_VIOLATION: u64 = 10;
    pub const RAISE_MISALIGNMENT: u64 = 11;
    pub const ALL: std::ops::Range<u64> = 0..12;
    pub const READ_KERNEL: u64 = 100;
    pub const WRITE_KERNEL: u64 = 101;
}

/// What each is: its status.
fn status_of(kind: u64) -> u64 {
    match kind {
        kind::DIVIDE => status::INTEGER_DIVIDE_BY_ZERO,
        kind::UNDEFINED => status::ILLEGAL_INSTRUCTION,
        kind::RAISE_STATUS => status::RAISED,
        kind::RAISE_EXCEPTION => status::CONTINUABLE,
        kind::RAISE_MISALIGNMENT => status::DATATYPE_MISALIGNMENT,
        _ => status::ACCESS_VIOLATION,
    }
}
