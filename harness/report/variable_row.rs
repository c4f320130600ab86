//! A row of `dv`.
//!
//! The columns are those of `dv -v` in "Debugging Optimized Code and Inline Functions" in the debugger's manual, and
//! of sessions that users published.

use std::fmt::{self, Write};

/// The width that names are filled up to on their left; more if the longest name has more.
pub const NAME_WIDTH: usize = 15;
/// How wide `@rsp+0x0030` is.
const RELATIVE_WIDTH: usize = 11;
/// How wide an address is.
const PLACE_WIDTH: usize = 17;

/// A parameter or local variable as text; what an option of `dv` adds is `None` without it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VariableRow<'a> {
    /// `/i`: whether it is a parameter.
    pub parameter: Option<bool>,
    /// `/v`: its address, or its register.
    pub place: Option<String>,
    /// `/V`: how far from which register the address is.
    pub relative: Option<String>,
    /// `/t`: its type.
    pub type_name: Option<String>,
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: String,
}

/// Writes the row, with the name filled up to `width` characters where no type is in front of it.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::report::variable_row::{NAME_WIDTH, VariableRow, write_variable};
/// let mut row = VariableRow {
///     parameter: Some(true),
///     place: None,
///     relative: None,
///     type_name: Some("int".into()),
///     name: "argc",
///     value: "0n1".into(),
/// };
/// let mut text = String::new();
/// write_variable(&mut text, &row, NAME_WIDTH)?;
/// (row.parameter, row.type_name) = (None, None);
/// write_variable(&mut text, &row, NAME_WIDTH)?;
/// assert_eq!(text, "prv param  int argc = 0n1\n           argc = 0n1\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_variable(out: &mut dyn Write, row: &VariableRow<'_>, width: usize) -> fmt::Result {
    if let Some(parameter) = row.parameter {
        let kind = if parameter { "param" } else { "local" };
        write!(out, "prv {kind}  ")?;
    }
    if let Some(place) = &row.place {
        write!(out, "{place:PLACE_WIDTH$} ")?;
    }
    if let Some(relative) = &row.relative {
        // what is in a register has it in both columns, and both are as wide as an address
        let width = match row.place.as_ref() == Some(relative) {
            true => PLACE_WIDTH,
            false => RELATIVE_WIDTH,
        };
        write!(out, "{relative:width$} ")?;
    }
    match &row.type_name {
        Some(ty) => write!(out, "{ty} {}", row.name)?,
        None => write!(out, "{:>width$}", row.name)?,
    }
    writeln!(out, " = {}", row.value)
}
