//! The report as text, for people.
//!
//! First what has leaked in all, then a table of the tags, then each way with its stack as `k` lists it.
//! If repetitions were marked, the table has a column for growth: the blocks that come with each one.
//! Lines have at most 100 columns, but for long names.

use super::end::{outcome, write_end};
use super::left_behind::write_left_behind;
use super::requests::write_requests;
use super::words::{Number, clean, count, growth, held, short_growth, sizes, source};
use crate::debugger::CallStack;
use crate::leaks::{BadFreeReport, Driver, LeakReport, PathReport, TagReport};
use crate::report::stack::HEADER;
use std::fmt::{self, Write};

/// Writes a report as text.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::leaks::write_text};
/// let mut session = Session::new(Lab::builder().track_leaks().build()?);
/// session.go()?;
/// let mut text = String::new();
/// write_text(&mut text, &session.leaks()?)?;
/// assert!(text.starts_with("myfault.sys leaks "), "{text}");
/// assert!(text.contains("\nLeak 1 of 2: "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_text(out: &mut dyn Write, report: &LeakReport) -> fmt::Result {
    writeln!(out, "{}", summary(report))?;
    write!(
        out,
        "{}, {}",
        count(report.calls, "pool call"),
        count(report.work, "byte")
    )?;
    write!(out, " of code executed")?;
    match report.repeats {
        0 => writeln!(out),
        repeats => writeln!(out, ", {} marked", count(repeats, "repetition")),
    }?;
    write_incomplete(out, report)?;
    for driver in &report.drivers {
        write_unload(out, driver)?;
    }
    write_tags(out, report)?;
    let number = report.leaks().count();
    for (at, path) in (1..).zip(report.leaks()) {
        writeln!(out, "\nLeak {at} of {number}: {}", heading(path))?;
        write_path(out, path)?;
    }
    write_requests(out, report)?;
    write_left_behind(out, report)?;
    for free in &report.bad_frees {
        write_bad_free(out, free)?;
    }
    let shown = report.bad_frees.len() as u64;
    if report.bad_free_count > shown && shown > 0 {
        let all = count(report.bad_free_count, "bad free");
        writeln!(out, "\n{all} in all, the first {shown} of them kept")?;
    }
    write_end(out, report)
}

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, self)
    }
}

/// The first line: what has leaked in all.
pub(super) fn summary(report: &LeakReport) -> String {
    let ways = report.leaks().count() as u64;
    let names: Vec<_> = report
        .drivers
        .iter()
        .map(|one| clean(&one.image_name))
        .collect();
    let drivers = match &names[..] {
        [] => "No driver".to_owned(),
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        names => names.join(", "),
    };
    let requests = others(report);
    let leaked = match (ways, requests) {
        (0, None) => None,
        (0, Some(requests)) => Some(requests),
        (ways, requests) => {
            let memory = format!("{}, by {}", held(report.leaked), count(ways, "code path"));
            Some(match requests {
                None => memory,
                Some(requests) => format!("{memory}; and {requests}"),
            })
        }
    };
    let end = outcome(&report.end);
    match (leaked, end, kept(report)) {
        (None, Some(end), 0) => format!("{drivers}: {end}; until then nothing leaked."),
        (None, Some(end), kept) => format!(
            "{drivers}: {end}; until then nothing leaked, {} kept.",
            count(kept, "block")
        ),
        (None, None, 0) => format!("{drivers}: nothing leaked."),
        (None, None, kept) => format!("{drivers}: nothing leaked; {} kept.", count(kept, "block")),
        (Some(leaked), Some(end), _) => format!("{drivers}: {end}; until then it leaks {leaked}."),
        (Some(leaked), None, _) => format!("{drivers} leaks {leaked}."),
    }
}

/// What has leaked besides memory.
fn others(report: &LeakReport) -> Option<String> {
    let requests = match report.request_count() {
        0 => None,
        number => Some(count(number, "request")),
    };
    let left = match report.left_behind.len() {
        0 => None,
        number => Some(format!("{} left behind", count(number as u64, "thing"))),
    };
    match (requests, left) {
        (Some(requests), Some(left)) => Some(format!("{requests}, and {left}")),
        (requests, left) => requests.or(left),
    }
}

/// The blocks that are outstanding and not leaked.
fn kept(report: &LeakReport) -> u64 {
    let outstanding = report.totals.outstanding.blocks;
    outstanding.saturating_sub(report.leaked.blocks)
}

/// What a way is, in one line.
pub(super) fn heading(path: &PathReport) -> String {
    let pool = match path.account.pools.name() {
        "" => String::new(),
        "both" => ", both pools".to_owned(),
        pool => format!(", {pool} pool"),
    };
    format!("{}, tag {}{pool}", held(path.leaked), path.tag)
}

fn write_incomplete(out: &mut dyn Write, report: &LeakReport) -> fmt::Result {
    if report.lost.blocks + report.lost.paths > 0 {
        writeln!(out, "Incomplete: {}; raise LedgerLimits", report.lost)?;
    }
    if report.unseen > 0 {
        let calls = count(report.unseen, "allocation");
        writeln!(out, "{calls} in progress, or without a known block")?;
    }
    Ok(())
}

/// What Driver Verifier would have said.
fn write_unload(out: &mut dyn Write, driver: &Driver) -> fmt::Result {
    let Some(unload) = driver.unloaded else {
        return Ok(());
    };
    let name = clean(&driver.image_name);
    let Some(check) = unload.bug_check() else {
        return writeln!(out, "{name} was unloaded and left nothing.");
    };
    let [subcode, _, reserved, blocks] = check.parameters;
    writeln!(
        out,
        "{name} was unloaded and left {}.\n\
         Driver Verifier stops at this with {} ({:x})\n\
         Arg1: {subcode:016x}, the driver has not freed its pool before it was unloaded\n\
         Arg2: {name}, the driver's name\n\
         Arg3: {reserved:016x}, reserved\n\
         Arg4: {blocks:016x}, blocks of paged and nonpaged pool",
        held(unload.left),
        check.name().unwrap_or_default(),
        check.code,
    )
}

fn write_tags(out: &mut dyn Write, report: &LeakReport) -> fmt::Result {
    if report.tags.is_empty() {
        return Ok(());
    }
    // Nothing is known of growth without repetitions.
    let has_growth = report.repeats >= 2;
    let row = |out: &mut dyn Write, cells: [&dyn fmt::Display; 8], growth: &str| {
        let [tag, pool, blocks, bytes, kept, allocations, frees, peak] = cells;
        write!(
            out,
            "{tag:<10} {pool:<8} {blocks:>10} {bytes:>13} {kept:>8} {allocations:>12} \
             {frees:>12} {peak:>13}"
        )?;
        match has_growth {
            true => writeln!(out, " {growth:>6}"),
            false => writeln!(out),
        }
    };
    writeln!(out)?;
    let head = [
        "Tag",
        "Pool",
        "Leaked",
        "Bytes",
        "Kept",
        "Allocations",
        "Frees",
        "Peak bytes",
    ];
    let cells = head.each_ref().map(|cell| cell as &dyn fmt::Display);
    row(out, cells, "Growth")?;
    for TagReport {
        tag,
        account,
        leaked,
        growth,
        ..
    } in &report.tags
    {
        let totals = &account.totals;
        let tag = tag.to_string();
        let cells: [&dyn fmt::Display; 8] = [
            &tag,
            &account.pools.name(),
            &Number(leaked.blocks),
            &Number(leaked.bytes),
            &Number(totals.outstanding.blocks.saturating_sub(leaked.blocks)),
            &Number(totals.allocations),
            &Number(totals.frees),
            &Number(totals.peak.bytes),
        ];
        row(out, cells, &short_growth(*growth))?;
    }
    Ok(())
}

/// All about a way but for its heading.
pub(super) fn write_path(out: &mut dyn Write, path: &PathReport) -> fmt::Result {
    let account = &path.account;
    let totals = &account.totals;
    if let Some(line) = path.source() {
        writeln!(out, "  source  {}", source(line))?;
    }
    writeln!(out, "  growth  {}", growth(path.growth))?;
    writeln!(out, "  sizes   {}", sizes(&account.sizes))?;
    writeln!(
        out,
        "  calls   {} allocated, {} freed; at most {} at a time",
        Number(totals.allocations),
        Number(totals.frees),
        count(totals.peak.blocks, "block"),
    )?;
    writeln!(
        out,
        "  time    pool calls {} to {}",
        Number(account.first),
        Number(account.last)
    )?;
    let blocks: Vec<String> = path
        .blocks
        .iter()
        .map(|one| one.block.to_string())
        .collect();
    let more = match totals.outstanding.blocks > blocks.len() as u64 {
        true => " …",
        false => "",
    };
    writeln!(out, "  blocks  {}{more}", blocks.join(" "))?;
    write_frames(out, path.stack.as_ref())
}

/// A stack as `k` lists it, with source lines.
pub(super) fn write_frames(out: &mut dyn Write, stack: Option<&CallStack>) -> fmt::Result {
    let Some(stack) = stack else {
        return writeln!(out, "(the stack was not kept)");
    };
    out.write_str(HEADER)?;
    for frame in &stack.frames {
        let name = frame.to_string();
        let (child_sp, return_address) = (frame.child_sp, frame.return_address);
        write!(out, "{child_sp} {return_address} {}", clean(&name))?;
        match &frame.source {
            Some(line) => writeln!(out, " [{}]", source(line))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_bad_free(out: &mut dyn Write, free: &BadFreeReport) -> fmt::Result {
    let what = match free.freed_before {
        Some(_) => "freed a second time",
        None => "freed, but not allocated",
    };
    writeln!(
        out,
        "\nBad free: block {}, tag {}, {what} (pool call {})",
        free.block,
        free.tag,
        Number(free.sequence)
    )?;
    write_frames(out, free.stack.as_ref())?;
    if let Some((first, stack)) = &free.freed_before {
        writeln!(out, "first freed by pool call {}", Number(*first))?;
        write_frames(out, stack.as_ref())?;
    }
    if let Some(stack) = &free.allocated {
        writeln!(out, "allocated by")?;
        write_frames(out, Some(stack))?;
    }
    Ok(())
}
