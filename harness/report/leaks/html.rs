//! The report as one page for a browser: tables that can be sorted, the flame graph, and the bytes
//! outstanding over time. It needs nothing but itself, and loads nothing.

use super::chart::chart;
use super::end::write_end;
use super::flame::to_flame_graph;
use super::left_behind::write_left_behind;
use super::markup::{Escaped, EscapedLine};
use super::requests::{device, why};
use super::text::{summary, write_frames, write_text};
use super::words::{Number, count, growth, sizes, source};
use crate::debugger::CallStack;
use crate::leaks::{Account, Growth, Held, LeakReport, PathReport};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A report as an HTML page.
///
/// ```
/// use poolhit::{Lab, report::leaks::to_html};
/// let lab = Lab::builder().track_leaks().build()?;
/// let page = to_html(&lab.leaks()?);
/// assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("src="));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_html(report: &LeakReport) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>Pool leaks</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    let is_good = report.is_clean() && report.end.stop().is_none();
    let bad = if is_good { "" } else { " class=\"bad\"" };
    let _ = write!(
        page,
        "<h1>Pool leaks</h1>\n<p{bad}>{}</p>\n<p class=\"dim\">{}, {} of code executed, {}.</p>\n",
        EscapedLine(&summary(report)),
        count(report.calls, "pool call"),
        count(report.work, "byte"),
        count(report.repeats, "repetition"),
    );
    section(&mut page, "Stopped", &stopped(report));
    tags(&mut page, report);
    requests(&mut page, report);
    section(&mut page, "Left behind", &left_behind(report));
    section(&mut page, "Bytes outstanding over time", &chart(report));
    if report.totals.outstanding != Held::default() {
        section(
            &mut page,
            "Bytes outstanding by stack",
            &to_flame_graph(report),
        );
    }
    paths(&mut page, report);
    let mut text = String::new();
    let _ = write_text(&mut text, report);
    let text = format!(
        "<details><summary>All of it</summary><pre>{}</pre></details>\n",
        escaped_lines(&text)
    );
    section(&mut page, "As text", &text);
    let _ = write!(page, "<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    page
}

/// What stopped the run, with its stack.
fn stopped(report: &LeakReport) -> String {
    let mut text = String::new();
    let _ = write_end(&mut text, report);
    match text.trim_start() {
        "" => String::new(),
        text => format!("<pre>{}</pre>\n", escaped_lines(text)),
    }
}

/// What drivers have left with the kernel.
fn left_behind(report: &LeakReport) -> String {
    let mut text = String::new();
    let _ = write_left_behind(&mut text, report);
    match text.trim_start() {
        "" => String::new(),
        text => format!("<pre>{}</pre>\n", escaped_lines(text)),
    }
}

fn requests(page: &mut String, report: &LeakReport) {
    if report.requests.is_empty() {
        return;
    }
    page.push_str("<h2>Requests never completed</h2>\n<div class=\"wide\">\n");
    let names = ["Request", "Device", "Driver", "Routine", "Why", "First"];
    let columns = names.into_iter().map(|name| (name, false));
    let columns: Vec<_> = [("Number", true)].into_iter().chain(columns).collect();
    head(page, "requests", &columns);
    for kind in &report.requests {
        page.push_str("<tr>");
        number(page, kind.count);
        let line = kind
            .source
            .as_ref()
            .map(|line| format!(" [{}]", source(line)));
        let first = kind.irps.first().map(|irp| irp.address.to_string());
        let cells = [
            kind.function.clone(),
            device(kind),
            kind.driver.clone(),
            format!("{}{}", kind.routine, line.unwrap_or_default()),
            why(kind.why).to_owned(),
            first.unwrap_or_default(),
        ];
        for cell in cells {
            let _ = write!(page, "<td>{}</td>", Escaped(&cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n</div>\n");
}

fn section(page: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        let _ = write!(
            page,
            "<h2>{title}</h2>\n<div class=\"wide\">\n{content}</div>\n"
        );
    }
}

/// The head of a table: names of columns, and whether they are numbers.
fn head(page: &mut String, id: &str, columns: &[(&str, bool)]) {
    let _ = write!(page, "<table id=\"{id}\">\n<thead><tr>");
    for (name, is_number) in columns {
        let class = if *is_number { " class=\"number\"" } else { "" };
        let _ = write!(
            page,
            "<th{class}><button type=\"button\">{name}</button></th>"
        );
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

fn number(page: &mut String, value: u64) {
    let shown = Number(value);
    let _ = write!(
        page,
        "<td class=\"number\" data-value=\"{value}\">{shown}</td>"
    );
}

fn numbers(page: &mut String, account: &Account, leaked: Held) {
    let totals = &account.totals;
    let kept = totals.outstanding.blocks.saturating_sub(leaked.blocks);
    let all = [
        leaked.bytes,
        leaked.blocks,
        kept,
        totals.allocations,
        totals.frees,
        totals.peak.bytes,
    ];
    all.into_iter().for_each(|value| number(page, value));
}

const COUNTS: [(&str, bool); 6] = [
    ("Leaked bytes", true),
    ("Blocks", true),
    ("Kept", true),
    ("Allocations", true),
    ("Frees", true),
    ("Peak bytes", true),
];

fn tags(page: &mut String, report: &LeakReport) {
    if report.tags.is_empty() {
        return;
    }
    page.push_str("<h2>Tags</h2>\n<div class=\"wide\">\n");
    let columns = [("Tag", false), ("Pool", false)].into_iter().chain(COUNTS);
    head(page, "tags", &columns.collect::<Vec<_>>());
    for tag in &report.tags {
        let _ = write!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td>",
            Escaped(&tag.tag.to_string()),
            tag.account.pools.name()
        );
        numbers(page, &tag.account, tag.leaked);
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n</div>\n");
}

fn paths(page: &mut String, report: &LeakReport) {
    if report.paths.is_empty() {
        return;
    }
    page.push_str("<h2>Code paths</h2>\n<div class=\"wide\">\n");
    let columns = [("Tag", false)].into_iter().chain(COUNTS);
    let columns = columns.chain([("Blocks a repetition", true), ("Called by", false)]);
    head(page, "paths", &columns.collect::<Vec<_>>());
    for path in &report.paths {
        let tag = path.tag.to_string();
        let _ = write!(page, "<tr><td><code>{}</code></td>", Escaped(&tag));
        numbers(page, &path.account, path.leaked);
        let (rate, shown) = match path.growth {
            Growth::NotMeasured => (0.0, "–".to_owned()),
            Growth::Nothing | Growth::OneTime => (0.0, "0".to_owned()),
            Growth::WithTag => (0.0, "as its tag".to_owned()),
            Growth::Growing {
                blocks_per_repeat: rate,
                ..
            } => (rate, super::words::rate(rate)),
        };
        let _ = write!(
            page,
            "<td class=\"number\" data-value=\"{rate}\">{shown}</td>"
        );
        by(page, path);
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n</div>\n");
}

/// The innermost frame of a driver, and below it the whole stack.
fn by(page: &mut String, path: &PathReport) {
    let caller = path.stack.as_ref().and_then(|stack| {
        let mut frames = stack.frames.iter();
        let is_driver = |name: &String| path.drivers.contains(name);
        frames.find(|frame| frame.module.as_ref().is_some_and(is_driver))
    });
    let caller = caller.map_or("(the kernel)".to_owned(), ToString::to_string);
    let line = path.source().map(|line| {
        let line = source(line);
        format!(" <span class=\"dim\">{}</span>", EscapedLine(&line))
    });
    let _ = write!(
        page,
        "<td><details><summary><code>{}</code>{}</summary><p>{}; sizes {}</p><pre>{}</pre></details></td>",
        Escaped(&caller),
        line.unwrap_or_default(),
        growth(path.growth),
        sizes(&path.account.sizes),
        listing(path.stack.as_ref()),
    );
}

fn listing(stack: Option<&CallStack>) -> String {
    let mut text = String::new();
    let _ = write_frames(&mut text, stack);
    escaped_lines(&text)
}

fn escaped_lines(text: &str) -> String {
    let lines = text.lines().map(|line| EscapedLine(line).to_string());
    lines.collect::<Vec<_>>().join("\n")
}
