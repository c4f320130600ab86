//! Symbols, as `x` and `ln` list them.
//!
//! "x (Examine Symbols)" and "ln (List Nearest Symbols)" in the manual. The columns of `x` on x64 are those of
//! `x /f /v notepad!*main*` there, of `ln` those of many published sessions, without the links that later
//! debuggers print above.

use crate::address::Va;
use std::fmt::{self, Write};

/// What `x /v` says of a symbol in front of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// A PDB with private symbols has it.
    pub private: bool,
    /// It is a function; data otherwise.
    pub function: bool,
    /// Its size in bytes, 0 if that is not known.
    pub size: u64,
}

/// A row of `x`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SymbolRow {
    /// Where the symbol is.
    pub address: Va,
    /// What `/v` adds.
    pub origin: Option<Origin>,
    /// What `/t` adds: its type, `<NoType>` if there is none.
    pub type_name: Option<String>,
    /// `module!symbol`.
    pub name: String,
    /// What is behind the name.
    pub detail: SymbolDetail,
}

/// What is behind a symbol's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SymbolDetail {
    /// A function's parameters, in parentheses.
    Parameters(String),
    /// The same without a space in front, as `/p` wants it.
    TightParameters(String),
    /// A variable's value, or its type.
    Value(String),
    /// A variable of which no type is known.
    NoType,
}

impl fmt::Display for SymbolDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SymbolDetail::Parameters(text) => write!(f, " {text}"),
            SymbolDetail::TightParameters(text) => f.write_str(text),
            SymbolDetail::Value(text) => write!(f, " = {text}"),
            SymbolDetail::NoType => f.write_str(" = <no type information>"),
        }
    }
}

/// Writes a row of `x`.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, report::symbols::{SymbolDetail, SymbolRow, write_symbol}};
/// let mut text = String::new();
/// let row = SymbolRow {
///     address: Va(0xfffff800_02cece00),
///     origin: None,
///     type_name: None,
///     name: "nt!PspCreateProcessNotifyRoutine".into(),
///     detail: SymbolDetail::NoType,
/// };
/// write_symbol(&mut text, &row)?;
/// assert_eq!(text, "fffff800`02cece00 nt!PspCreateProcessNotifyRoutine = <no type information>\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_symbol(out: &mut dyn Write, row: &SymbolRow) -> fmt::Result {
    if let Some(origin) = row.origin {
        let source = if origin.private { "prv" } else { "pub" };
        let kind = if origin.function { "func" } else { "global" };
        let size = origin.size;
        write!(out, "{source} {kind:<6} {} {size:>4x} ", row.address)?;
    } else {
        write!(out, "{} ", row.address)?;
    }
    if let Some(name) = &row.type_name {
        write!(out, "{name} ")?;
    }
    writeln!(out, "{}{}", row.name, row.detail)
}

/// Writes what `ln` shows: the symbol at or before an address with the distance to it, and the one behind it.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, report::symbols::write_nearest};
/// let mut text = String::new();
/// let next = (Va(0x2000), "nt!Next");
/// write_nearest(&mut text, (Va(0x1000), "nt!Near+0x4"), Some(next))?;
/// assert_eq!(text, "(00000000`00001000)   nt!Near+0x4   |  (00000000`00002000)   nt!Next\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_nearest(
    out: &mut dyn Write,
    (start, near): (Va, &str),
    next: Option<(Va, &str)>,
) -> fmt::Result {
    write!(out, "({start})   {near}")?;
    if let Some((at, name)) = next {
        write!(out, "   |  ({at})   {name}")?;
    }
    writeln!(out)
}

/// Writes the symbols that are exactly at an address, below what [`write_nearest`] writes; nothing if there are none.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::report::symbols::{SymbolDetail, write_exact_matches};
/// let mut text = String::new();
/// let one = ("nt!KiSystemCall64".to_string(), SymbolDetail::Parameters("(<no parameter info>)".into()));
/// write_exact_matches(&mut text, &[one])?;
/// assert_eq!(text, "Exact matches:\n    nt!KiSystemCall64 (<no parameter info>)\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_exact_matches(out: &mut dyn Write, symbols: &[(String, SymbolDetail)]) -> fmt::Result {
    if !symbols.is_empty() {
        writeln!(out, "Exact matches:")?;
    }
    for (name, detail) in symbols {
        writeln!(out, "    {name}{detail}")?;
    }
    Ok(())
}
