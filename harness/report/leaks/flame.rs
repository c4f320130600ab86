//! A flame graph: what is outstanding by which callers, as a picture.
//!
//! It hangs from the top: what has leaked is there beside what is kept, the outermost callers below, the
//! pool and the tags at the bottom. The width of a box is its share of the bytes outstanding. SVG without
//! scripts; what a box is shows as its title.

use super::folded::{KEPT, LEAKED, rows};
use super::markup::Escaped;
use super::words::held;
use crate::leaks::{Held, LeakReport};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The picture's width, in its own units.
const WIDTH: f64 = 1200.0;
/// The height of a row.
const ROW: usize = 18;
/// Boxes narrower than this are left out, and what is below them.
const NARROWEST: f64 = 0.4;
/// The width of a character of the font, about.
const CHARACTER: f64 = 6.7;

#[derive(Default)]
struct Node {
    held: Held,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn add(&mut self, row: &[String], held: Held) {
        let mut node = self;
        node.held.blocks += held.blocks;
        node.held.bytes += held.bytes;
        for name in row {
            node = node.children.entry(name.clone()).or_default();
            node.held.blocks += held.blocks;
            node.held.bytes += held.bytes;
        }
    }
}

/// A picture of the bytes outstanding by stack, those that have leaked apart from those that are kept.
///
/// ```
/// use poolhit::{Lab, report::leaks::to_flame_graph};
/// let lab = Lab::builder().track_leaks().build()?;
/// let svg = to_flame_graph(&lab.leaks()?);
/// assert!(svg.starts_with("<svg ") && svg.contains(">nt!IoCreateDevice<"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_flame_graph(report: &LeakReport) -> String {
    let mut root = Node::default();
    let rows = rows(report);
    let mut depth = 0;
    for (row, held) in &rows {
        depth = depth.max(row.len());
        root.add(row, *held);
    }
    let height = (depth + 1) * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"11\" role=\"img\" \
         aria-label=\"Bytes outstanding by stack\">\n"
    );
    let scale = WIDTH / root.held.bytes.max(1) as f64;
    draw(&mut svg, "all outstanding", &root, 0, 0.0, scale);
    svg.push_str("</svg>\n");
    svg
}

/// Draws a box, and those below it. Rows have at most some hundred frames.
fn draw(svg: &mut String, name: &str, node: &Node, row: usize, left: f64, scale: f64) {
    let width = node.held.bytes as f64 * scale;
    if width < NARROWEST {
        return;
    }
    let top = row * ROW;
    // Writing to a String cannot fail.
    let _ = write!(
        svg,
        "<g><title>{}: {}</title><rect x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\" \
         rx=\"2\" fill=\"{}\"/>",
        Escaped(name),
        held(node.held),
        (width - 0.5).max(0.2),
        ROW - 1,
        color(name),
    );
    let room = ((width - 6.0) / CHARACTER).max(0.0) as usize;
    if room >= 3 {
        let shown: String = match name.chars().count() {
            length if length <= room => name.into(),
            _ => name.chars().take(room - 1).chain(['…']).collect(),
        };
        let (x, y) = (left + 3.0, top + ROW - 6);
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y}\" fill=\"#1c1c1c\">{}</text>",
            Escaped(&shown)
        );
    }
    svg.push_str("</g>\n");
    let mut left = left;
    for (name, child) in &node.children {
        draw(svg, name, child, row + 1, left, scale);
        left += child.held.bytes as f64 * scale;
    }
}

/// A color for a module: the kernel's are blue, tags green, what has leaked red, what is outside of modules grey, and the
/// others of warm hues that their names choose.
fn color(name: &str) -> String {
    let module = name.split(['!', '+']).next().unwrap_or_default();
    match module {
        "all outstanding" | KEPT => return "#c9ccd1".into(),
        LEAKED => return "#f1948a".into(),
        "nt" => return "#9dc3e6".into(),
        tag if tag.starts_with("tag ") => return "#a9d8a0".into(),
        other if other.starts_with("0x") || other.starts_with('(') => return "#c9ccd1".into(),
        _ => {}
    }
    let sum = module
        .bytes()
        .fold(7_u32, |sum, byte| sum.wrapping_mul(31) ^ u32::from(byte));
    format!("hsl({}, 78%, 70%)", 8 + sum % 44)
}
