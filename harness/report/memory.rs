//! Memory in rows, as the display commands show it.

use crate::address::Va;
use crate::symbols::SourceLine;
use std::fmt::{self, Write};

/// How elements are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Bytes of an element: 1, 2, 4 or 8.
    pub size: u64,
    /// Elements in a full row.
    pub columns: u64,
    /// Whether the bytes are shown as characters, too.
    pub characters: bool,
}

impl Shape {
    /// Elements of `size` bytes, as many in a row as 16 bytes hold.
    ///
    /// ```
    /// assert_eq!(poolhit::report::memory::Shape::new(4, true).columns, 4);
    /// ```
    pub const fn new(size: u64, characters: bool) -> Shape {
        Shape {
            size,
            columns: 16 / size,
            characters,
        }
    }
}

/// A number of `size` bytes in hexadecimal digits, or as many question marks.
///
/// ```
/// use poolhit::report::memory::element_text;
/// assert_eq!(element_text(2, Some(0x4d)), "004d");
/// assert_eq!(element_text(8, None), "????????`????????");
/// ```
pub fn element_text(size: u64, value: Option<u64>) -> String {
    let width = size as usize * 2;
    match value {
        Some(value) if size == 8 => Va(value).to_string(),
        Some(value) => format!("{value:0width$x}"),
        None if size == 8 => "????????`????????".to_string(),
        None => "?".repeat(width),
    }
}

/// Writes one row of elements; `None` is what is not in memory.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, report::memory::{Shape, write_row}};
/// let mut text = String::new();
/// write_row(&mut text, Va(0x1000), Shape::new(4, true), &[Some(0x3261654c), None])?;
/// assert_eq!(text, "00000000`00001000  3261654c ????????                    Lea2????\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_row(
    out: &mut dyn Write,
    address: Va,
    shape: Shape,
    values: &[Option<u64>],
) -> fmt::Result {
    let mut text = String::new();
    let mut characters = String::new();
    for (number, value) in values.iter().enumerate() {
        // WinDbg splits a row of bytes in the middle.
        let splits = shape.size == 1 && number % 16 == 8;
        if number > 0 {
            text.push(if splits { '-' } else { ' ' });
        }
        text.push_str(&element_text(shape.size, *value));
        for byte in 0..shape.size {
            characters.push(match value.map(|value| (value >> (8 * byte)) as u8) {
                None => '?',
                Some(byte @ 0x20..0x7f) => char::from(byte),
                Some(_) => '.',
            });
        }
    }
    if shape.characters {
        let width = (shape.columns * (shape.size * 2 + 1)) as usize - 1;
        writeln!(out, "{address}  {text:width$}  {characters}")
    } else {
        writeln!(out, "{address}  {text}")
    }
}

/// Writes what `dps` has behind a pointer: the symbol that it is in, and the source line.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let mut text = String::new();
/// poolhit::report::memory::write_place(&mut text, "nt!ZwWriteFile", None)?;
/// assert_eq!(text, " nt!ZwWriteFile");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_place(out: &mut dyn Write, symbol: &str, line: Option<&SourceLine>) -> fmt::Result {
    write!(out, " {symbol}")?;
    match line {
        Some(line) => write!(out, " [{line}]"),
        None => Ok(()),
    }
}
