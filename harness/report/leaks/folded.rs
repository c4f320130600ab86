//! Stacks on a line each, as tools for flame graphs read them: `leaked` or `kept`, the frames from the
//! outermost on, all apart by semicolons, and the bytes that are outstanding by them behind a space.

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

/// The outermost frame of what has leaked, and that of what is kept.
pub(super) const LEAKED: &str = "leaked";
pub(super) const KEPT: &str = "kept";

/// What is outstanding by each row of names, from [`LEAKED`] or [`KEPT`] and the outermost frame to the tag.
pub(super) fn rows(report: &LeakReport) -> BTreeMap<Vec<String>, Held> {
    let mut rows: BTreeMap<Vec<String>, Held> = BTreeMap::new();
    for path in &report.paths {
        let (held, leaked) = (path.account.totals.outstanding, path.leaked);
        let kept = Held {
            blocks: held.blocks.saturating_sub(leaked.blocks),
            bytes: held.bytes.saturating_sub(leaked.bytes),
        };
        let frames = path
            .stack
            .iter()
            .flat_map(|stack| stack.frames.iter().rev());
        let mut names: Vec<String> = frames.map(frame_name).collect();
        if path.stack.is_none() {
            names.push("(not kept)".into());
        }
        names.push(format!("tag {}", path.tag).replace(';', ":"));
        for (root, held) in [(LEAKED, leaked), (KEPT, kept)] {
            if held == Held::default() {
                continue;
            }
            let row = [root.to_owned()].iter().chain(&names).cloned().collect();
            let sum = rows.entry(row).or_default();
            sum.blocks += held.blocks;
            sum.bytes += held.bytes;
        }
    }
    rows
}

/// The bytes outstanding by each stack, whose first frame is `leaked` or `kept` and whose last is the tag.
/// What `inferno-flamegraph`, `flamegraph.pl` and speedscope read; `grep '^leaked;'` leaves what has leaked.
///
/// ```
/// use poolhit::{Lab, report::leaks::to_folded};
/// let lab = Lab::builder().track_leaks().build()?;
/// let folded = to_folded(&lab.leaks()?);
/// // what the driver has since its start
/// let row = folded.lines().find(|row| row.contains(";nt!IoCreateDevice;")).unwrap();
/// assert!(row.starts_with("kept;") && row.contains(";nt!ExAllocatePoolWithTag;tag Devi "), "{row}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_folded(report: &LeakReport) -> String {
    let rows = rows(report).into_iter();
    rows.map(|(row, held)| format!("{} {}\n", row.join(";"), held.bytes))
        .collect()
}
