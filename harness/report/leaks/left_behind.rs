//! What drivers have left with the kernel, in words.

use super::words::{clean, count, source};
use crate::guest::BugCheck;
use crate::leaks::{LeakReport, LeftBehind};
use std::fmt::{self, Write};

/// What it is, in one line.
pub(super) fn heading(left: &LeftBehind) -> String {
    let pages = match left.pages {
        0 => String::new(),
        pages => format!(" ({})", count(pages.into(), "page")),
    };
    format!(
        "{}{pages} of {} at {}",
        left.kind,
        clean(&left.driver),
        left.object
    )
}

/// All about it but for its heading.
pub(super) fn write_one(out: &mut dyn Write, left: &LeftBehind) -> fmt::Result {
    if !left.place.is_empty() {
        let label = match left.kind.is_called_for() {
            true => "caller ",
            false => "routine",
        };
        write!(out, "  {label} {}", clean(&left.place))?;
        match &left.source {
            Some(line) => writeln!(out, " [{}]", source(line))?,
            None => writeln!(out)?,
        }
    }
    writeln!(out, "  missing {}", left.kind.undone_by())?;
    let Some((code, parameter)) = left.kind.bug_check() else {
        return Ok(());
    };
    let check = BugCheck {
        code,
        parameters: [parameter.unwrap_or_default(), 0, 0, 0],
    };
    write!(
        out,
        "  Windows {} ({code:x})",
        check.name().unwrap_or_default()
    )?;
    match parameter {
        Some(parameter) => writeln!(out, ", Arg1: {parameter:016x}"),
        None => writeln!(out),
    }
}

pub(super) fn write_left_behind(out: &mut dyn Write, report: &LeakReport) -> fmt::Result {
    for left in &report.left_behind {
        writeln!(out, "\nLeft behind: {}", heading(left))?;
        write_one(out, left)?;
    }
    Ok(())
}
