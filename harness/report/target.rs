//! The machine's version and its time, as `vertarget` and `.time` show them.

use crate::address::Va;
use std::fmt::{self, Write};

/// What the kernel says of its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// `NtBuildNumber`: the build in the lower 16 bits; the highest four are f for a free build, c for a
    /// checked one.
    pub build: u32,
    /// How many processors it has.
    pub processors: u32,
    /// Its first byte, and `PsLoadedModuleList`.
    pub kernel: Option<(Va, Va)>,
}

/// Writes a kernel's version and place.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::report::target::{Target, write_target};
/// let target = Target { build: 0xf0001db0, processors: 2, kernel: None };
/// let mut text = String::new();
/// write_target(&mut text, &target)?;
/// assert_eq!(text, "Windows 7 Kernel Version 7600 MP (2 procs) Free x64\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_target(out: &mut dyn Write, target: &Target) -> fmt::Result {
    let number = target.build & 0xffff;
    let product = match number {
        7600 | 7601 => "Windows 7",
        _ => "Windows",
    };
    let kind = match target.build >> 28 {
        0xc => "Checked",
        _ => "Free",
    };
    // with one processor too: "MP (1 procs)" is of sessions, "UP" of dumps
    writeln!(
        out,
        "{product} Kernel Version {number} MP ({} procs) {kind} x64",
        target.processors
    )?;
    match target.kernel {
        Some((base, list)) => {
            writeln!(out, "Kernel base = 0x{base} PsLoadedModuleList = 0x{list}")
        }
        None => Ok(()),
    }
}

/// Writes for how many milliseconds a machine has run.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let mut text = String::new();
/// poolhit::report::target::write_uptime(&mut text, 90_061_001)?;
/// assert_eq!(text, "System Uptime: 1 days 1:01:01.001\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_uptime(out: &mut dyn Write, milliseconds: u64) -> fmt::Result {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3600 % 24);
    writeln!(
        out,
        "System Uptime: {} days {hours}:{minutes:02}:{:02}.{rest:03}",
        seconds / 86_400,
        seconds % 60
    )
}
