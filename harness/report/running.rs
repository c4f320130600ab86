//! Processors and what they run, as `!running` shows them.
//!
//! The form is that of a test's sample of `!running -ti` on Windows 10. The points at a row's end stand for queued spin
//! locks, which this kernel does not keep.

use crate::address::Va;
use std::fmt::{self, Write};

/// A processor and its threads, each with its priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunningProcessor {
    /// Its number.
    pub number: u32,
    /// Its `_KPRCB`.
    pub control_block: Va,
    /// The thread that it runs.
    pub current: Option<(Va, i8)>,
    /// The one that it goes to next.
    pub next: Option<(Va, i8)>,
    /// Its idle thread.
    pub idle_thread: Va,
}

/// Writes what stands above the processors: the masks of all and of the idle ones.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let mut text = String::new();
/// poolhit::report::running::write_processors_title(&mut text, 3, 1)?;
/// assert!(text.starts_with("\nSystem Processors:  (0000000000000003)\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_processors_title(out: &mut dyn Write, all: u64, idle: u64) -> fmt::Result {
    writeln!(out, "\nSystem Processors:  ({all:016x})")?;
    writeln!(out, "  Idle Processors:  ({idle:016x})\n")?;
    writeln!(
        out,
        "       Prcbs             Current         (pri) Next            (pri) Idle"
    )
}

/// Writes a processor's row, and an empty line below it.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, report::running::{RunningProcessor, write_running}};
/// let mut text = String::new();
/// let row = RunningProcessor {
///     number: 1,
///     control_block: Va(0xfffff880_009e9180),
///     current: Some((Va(0xfffffa80_0005c040), 8)),
///     next: None,
///     idle_thread: Va(0xfffffa80_0003d040),
/// };
/// write_running(&mut text, &row)?;
/// assert!(text.starts_with("  1    fffff880009e9180  fffffa800005c040 ( 8)     "));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_running(out: &mut dyn Write, row: &RunningProcessor) -> fmt::Result {
    let thread = |thread: Option<(Va, i8)>| match thread {
        Some((at, priority)) => format!("{:016x} ({priority:2})", at.0),
        None => " ".repeat(21),
    };
    writeln!(
        out,
        "{:3}    {:016x}  {} {} {:016x}  ................\n",
        row.number,
        row.control_block.0,
        thread(row.current),
        thread(row.next),
        row.idle_thread.0
    )
}
