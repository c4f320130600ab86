//! The bytes outstanding over time, as a picture: a line a tag.

use super::markup::Escaped;
use super::words::Number;
use crate::leaks::{LeakReport, TagReport};
use std::fmt::Write;

/// The most tags that have a line: those with the most bytes leaked. The page has a color for each.
const LINES: usize = 8;
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 220.0;
/// Room above and below the lines.
const TOP: f64 = 16.0;
const BOTTOM: f64 = 22.0;

/// The picture with its legend, as a part of the page; nothing if nothing was ever outstanding.
pub(super) fn chart(report: &LeakReport) -> String {
    let peak = |tag: &TagReport| tag.bytes_over_time.iter().copied().max().unwrap_or(0);
    let tags: Vec<&TagReport> = report
        .tags
        .iter()
        .filter(|tag| peak(tag) > 0)
        .take(LINES)
        .collect();
    let most = tags.iter().map(|tag| peak(tag)).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    // Nothing of the driver's is outstanding while the kernel boots: the picture starts behind that.
    let idle = |tag: &&TagReport| {
        let intervals = tag.bytes_over_time.iter();
        intervals.take_while(|bytes| **bytes == 0).count()
    };
    let idle = tags.iter().map(idle).min().unwrap_or(0);
    let start = idle as u64 * report.step;
    let span = report.work.saturating_sub(start).max(1) as f64;
    let place = |work: f64, bytes: u64| {
        let x = ((work - start as f64) / span).min(1.0) * WIDTH;
        let y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - bytes as f64 / most as f64);
        (x, y)
    };
    let mut out = format!(
        "<svg id=\"time\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Bytes outstanding over time\">\n"
    );
    let floor = HEIGHT - BOTTOM;
    // Writing to a String cannot fail.
    for y in [TOP, floor] {
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"0\" y1=\"{y}\" x2=\"{WIDTH}\" y2=\"{y}\"/>"
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"scale\" x=\"0\" y=\"{}\">{} bytes</text>",
        TOP - 4.0,
        Number(most)
    );
    let _ = writeln!(
        out,
        "<text class=\"scale\" x=\"0\" y=\"{}\">{}</text>",
        HEIGHT - 6.0,
        Number(start)
    );
    let _ = writeln!(
        out,
        "<text class=\"scale\" x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{} bytes of code executed</text>",
        HEIGHT - 6.0,
        Number(report.work)
    );
    // What leaks most is drawn last, over the others.
    for (number, tag) in tags.iter().enumerate().rev() {
        let (x, y) = place(start as f64, 0);
        let mut points = format!("{x:.1},{y:.1} ");
        let mut last = 0;
        for (at, bytes) in (1_u64..).zip(&tag.bytes_over_time).skip(idle) {
            // Each point is as of the end of its interval.
            let (x, y) = place(at as f64 * report.step as f64, *bytes);
            let _ = write!(points, "{x:.1},{y:.1} ");
            last = *bytes;
        }
        let _ = writeln!(
            out,
            "<polyline class=\"l{number}\" points=\"{}\"><title>{}: {} bytes at the end</title></polyline>",
            points.trim_end(),
            Escaped(&tag.tag.to_string()),
            Number(last),
        );
    }
    out.push_str("</svg>\n<ul class=\"legend\">");
    for (number, tag) in tags.iter().enumerate() {
        let _ = write!(
            out,
            "<li><svg viewBox=\"0 0 14 10\" aria-hidden=\"true\"><path class=\"l{number}\" d=\"M0 5H14\"/></svg><code>{}</code></li>",
            Escaped(&tag.tag.to_string()),
        );
    }
    out.push_str("</ul>\n");
    out
}
