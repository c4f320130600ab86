//! Modules, as `lm` lists them.

use crate::address::Va;
use std::fmt::{self, Write};

/// The line above the modules.
pub const HEADER: &str = "start             end                 module name\n";

/// Writes a module's row: where it is, its name, where its symbols are from, and the symbol file.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, report::modules::write_row};
/// let mut text = String::new();
/// let range = [Va(0xfffff880_00d63000), Va(0xfffff880_00dd8000)];
/// write_row(&mut text, range, "CI", "deferred", "")?;
/// let row = "fffff880`00d63000 fffff880`00dd8000   CI         (deferred)             \n";
/// assert_eq!(text, row);
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_row(
    out: &mut dyn Write,
    [start, end]: [Va; 2],
    name: &str,
    source: &str,
    file: &str,
) -> fmt::Result {
    let source = format!("({source})");
    writeln!(out, "{start} {end}   {name:<8}   {source:<22} {file}")
}
