//! Stacks on a line each, as tools for flame graphs read them: the frames from the outermost on, apart
//! by semicolons, and what is outstanding by them behind a space.

use super::words::clean;
use crate::debugger::CallSite;
use crate::leaks::{Held, LeakReport};
use std::collections::BTreeMap;

/// The name of a frame: its function, or in a module without symbols its place. It has no semicolon.
pub(super) fn frame_name(frame: &CallSite) -> String {
    let name = match (&frame.module, &frame.symbol) {
        (Some(module), Some(symbol)) => format!("{module}!{symbol}"),
        _ => frame.to_string(),
    };
    clean(&name).replace(';', ":")
}

/// What is outstanding by each row of names, from the outermost frame to the tag.
pub(super) fn rows(report: &LeakReport) -> BTreeMap<Vec<String>, Held> {
    let mut rows: BTreeMap<Vec<String>, Held> = BTreeMap::new();
    for path in &report.paths {
        let held = path.account.totals.outstanding;
        if held == Held::default() {
            continue;
        }
        let frames = path
            .stack
            .iter()
            .flat_map(|stack| stack.frames.iter().rev());
        let mut row: Vec<String> = frames.map(frame_name).collect();
        if path.stack.is_none() {
            row.push("(not kept)".into());
        }
        row.push(format!("tag {}", path.tag).replace(';', ":"));
        let sum = rows.entry(row).or_default();
        sum.blocks += held.blocks;
        sum.bytes += held.bytes;
    }
    rows
}

/// The bytes outstanding by each stack, whose last frame is the tag. What `inferno-flamegraph`,
/// `flamegraph.pl` and speedscope read.
///
/// ```
/// use poolhit::{Lab, report::leaks::to_folded};
/// let lab = Lab::builder().track_leaks().build()?;
/// let folded = to_folded(&lab.leaks()?);
/// // what the driver has since its start
/// let row = folded.lines().find(|row| row.contains(";nt!IoCreateDevice;")).unwrap();
/// assert!(row.contains(";nt!ExAllocatePoolWithTag;tag Devi "), "{row}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_folded(report: &LeakReport) -> String {
    let rows = rows(report).into_iter();
    rows.map(|(row, held)| format!("{} {}\n", row.join(";"), held.bytes))
        .collect()
}
