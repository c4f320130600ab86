//! The listings of `kb`, `kc`, `kf`, `kn`, `kv` and their combinations.
//!
//! Formats are those of WinDbg on x64 of Windows 7's time, as its users have published them: for `kf` and
//! `knf` "X64 Deep Dive" on codemachine.com; for `kb` and `kv` the debugger's manual ("!thread", "Debug
//! Universal Drivers"), where trap frames stand behind the call site.

use super::variables::parameters_text;
use crate::debugger::{Session, StackFrame};
use std::fmt::{self, Write};

/// Which columns are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StackColumns {
    /// The frames' numbers (`n`).
    pub numbers: bool,
    /// How many bytes of stack lie between a frame and the one before it (`f`).
    pub distance: bool,
    /// The words of the home space (`b`, `v`).
    pub home: bool,
    /// Not the stack pointers (`b`).
    pub without_stack: bool,
    /// Nothing but modules and functions (`c`).
    pub clean: bool,
    /// Where trap frames are (`v`).
    pub trap_frames: bool,
}

/// Writes a stack with these columns.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::stack_columns::{StackColumns, write_columns}};
/// let session = Session::new(Lab::builder().build()?);
/// let frames = session.stack_frames(&session.registers(), 1);
/// let mut text = String::new();
/// let columns = StackColumns { numbers: true, ..StackColumns::default() };
/// write_columns(&mut text, &frames, &columns)?;
/// assert!(text.starts_with(" # Child-SP          RetAddr           Call Site\n00 fffff"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_columns(
    out: &mut dyn Write,
    frames: &[StackFrame],
    columns: &StackColumns,
) -> fmt::Result {
    write_header(out, columns)?;
    write_rows(out, frames, columns)
}

/// The same without the line above the columns, as analyses show it.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::stack_columns::{StackColumns, write_rows}};
/// let session = Session::new(Lab::builder().build()?);
/// let frames = session.stack_frames(&session.registers(), 1);
/// let mut text = String::new();
/// write_rows(&mut text, &frames, &StackColumns { clean: true, ..StackColumns::default() })?;
/// assert_eq!(text, "nt!DbgBreakPoint\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_rows(
    out: &mut dyn Write,
    frames: &[StackFrame],
    columns: &StackColumns,
) -> fmt::Result {
    rows(out, frames, columns, &|frame| frame.site.to_string())
}

/// Writes a stack with these columns, and the parameters of functions whose module has private symbols: in one line
/// (`kp`), or each on its own (`kP`).
///
/// The forms are those of stacks that WinDbg's users published: of `HEVD!TriggerBufferOverflowStack` for `kp`, of
/// `ntdll!RtlReportCriticalFailure` for `kP`.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::stack_columns::{StackColumns, write_parameters}};
/// let mut session = Session::new(Lab::builder().build()?);
/// session.execute("bp nt!NtClose; g; r rcx=8")?;
/// let frames = session.stack_frames(&session.registers(), 1);
/// let mut text = String::new();
/// write_parameters(&mut text, &session, &frames, &StackColumns::default(), false)?;
/// assert!(text.ends_with(" nt!NtClose(void * Handle = 0x00000000`00000008)\n"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_parameters(
    out: &mut dyn Write,
    session: &Session,
    frames: &[StackFrame],
    columns: &StackColumns,
    on_lines: bool,
) -> fmt::Result {
    write_header(out, columns)?;
    rows(out, frames, columns, &|frame| {
        let site = &frame.site;
        let variables = session.frame_variables(frame);
        let (Some(module), Some(symbol), Some(variables)) = (&site.module, &site.symbol, variables)
        else {
            return site.to_string();
        };
        let parameters = parameters_text(session, &variables, on_lines);
        let offset = match site.offset {
            0 => String::new(),
            offset => format!("+{offset:#x}"),
        };
        format!("{module}!{symbol}{parameters}{offset}")
    })
}

fn rows(
    out: &mut dyn Write,
    frames: &[StackFrame],
    columns: &StackColumns,
    call_site: &dyn Fn(&StackFrame) -> String,
) -> fmt::Result {
    let mut below = None;
    for (number, frame) in frames.iter().enumerate() {
        let site = &frame.site;
        if columns.numbers {
            write!(out, "{number:02x} ")?;
        }
        if columns.distance {
            match below {
                Some(below) => write!(out, "{:9x} ", site.child_sp - below)?,
                None => write!(out, "{:10}", "")?,
            }
        }
        below = Some(site.child_sp);
        if columns.clean {
            let mut plain = site.clone();
            if plain.symbol.is_some() {
                plain.offset = 0;
            }
            writeln!(out, "{plain}")?;
            continue;
        }
        if !columns.without_stack {
            write!(out, "{} ", site.child_sp)?;
        }
        write!(out, "{} ", site.return_address)?;
        if columns.home {
            write!(out, ": ")?;
            for word in frame.home {
                match word {
                    Some(word) => write!(out, "{} ", crate::address::Va(word))?,
                    None => write!(out, "????????`???????? ")?,
                }
            }
            write!(out, ": ")?;
        }
        out.write_str(&call_site(frame))?;
        if let Some(at) = frame.trap_frame.filter(|_| columns.trap_frames) {
            write!(out, " (TrapFrame @ {at})")?;
        }
        match &site.source {
            Some(line) => writeln!(out, " [{line}]")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_header(out: &mut dyn Write, columns: &StackColumns) -> fmt::Result {
    if columns.numbers {
        out.write_str(" # ")?;
    }
    if columns.distance {
        out.write_str("  Memory  ")?;
    }
    if columns.clean {
        return out.write_str("Call Site\n");
    }
    if !columns.without_stack {
        out.write_str("Child-SP          ")?;
    }
    out.write_str("RetAddr           ")?;
    if columns.home {
        write!(out, ": {:71} : ", "Args to Child")?;
    }
    out.write_str("Call Site\n")
}
