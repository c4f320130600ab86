//! Requests that a driver never completes, in words.

use super::words::{Number, clean, count, source};
use crate::leaks::{LeakReport, LeakedIrp, RequestFault, RequestReport};
use std::fmt::{self, Write};

/// Why they count as leaked.
pub(super) fn why(fault: RequestFault) -> &'static str {
    match fault {
        RequestFault::NeverPended => {
            "the driver has returned, and has neither completed nor marked pending"
        }
        RequestFault::FileClosed => "pending, though the last handle to the file is closed",
        RequestFault::ThreadEnded => "cancelled when the thread ended, and never completed",
    }
}

/// The device, by its name if it has one.
pub(super) fn device(kind: &RequestReport) -> String {
    match kind.device.is_empty() {
        true => "a device without a name".to_owned(),
        false => clean(&kind.device).into_owned(),
    }
}

/// What they are, in one line.
pub(super) fn heading(kind: &RequestReport) -> String {
    format!(
        "{}, {}, to {} of {}",
        count(kind.count, "request"),
        clean(&kind.function),
        device(kind),
        clean(&kind.driver)
    )
}

fn made(irp: &LeakedIrp) -> String {
    match irp.made {
        Some((call, repeat)) => format!(
            "{} (pool call {}, repetition {})",
            irp.address,
            Number(call),
            Number(repeat.saturating_add(1))
        ),
        None => irp.address.to_string(),
    }
}

/// All about a kind but for its heading.
pub(super) fn write_kind(out: &mut dyn Write, kind: &RequestReport) -> fmt::Result {
    writeln!(out, "  why     {}", why(kind.why))?;
    write!(out, "  routine {}", clean(&kind.routine))?;
    match &kind.source {
        Some(line) => writeln!(out, " [{}]", source(line))?,
        None => writeln!(out)?,
    }
    for (at, irp) in kind.irps.iter().enumerate() {
        let label = if at == 0 { "IRPs" } else { "" };
        writeln!(out, "  {label:<7} {}", made(irp))?;
    }
    match kind.count.saturating_sub(kind.irps.len() as u64) {
        0 => Ok(()),
        more => writeln!(out, "  {:<7} and {} more", "", Number(more)),
    }
}

pub(super) fn write_requests(out: &mut dyn Write, report: &LeakReport) -> fmt::Result {
    for kind in &report.requests {
        writeln!(out, "\nNever completed: {}", heading(kind))?;
        write_kind(out, kind)?;
    }
    Ok(())
}
