//! Modules, as `lm` lists them and `!lmi` sums them up.
//!
//! The lines of `lm v` are those of "lmvm nvlddmkm" in "Bug Check 0x116" of the debugger's manual, without those of
//! version resources and links. `!lmi` is as in "Debug Universal Drivers" and "NDIS Extensions" there, without the
//! directories of debug data and the compiler.

use super::date::date;
use crate::address::Va;
use crate::symbols::SymbolSource;
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

/// What the headers of a module's image say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModuleHeaders {
    /// The image file's name.
    pub file: String,
    /// Where it was loaded from.
    pub path: String,
    /// The time stamp, in seconds since 1970, or the hash in its place.
    pub time_stamp: u32,
    /// It is a hash of the file (the linker's `/Brepro`).
    pub reproducible: bool,
    /// The check sum.
    pub checksum: u32,
    /// The size in memory, in bytes.
    pub size: u32,
}

impl ModuleHeaders {
    /// The time stamp as `lm` has it.
    ///
    /// ```
    /// use poolhit::report::modules::ModuleHeaders;
    /// let headers = ModuleHeaders { time_stamp: 0x4ce7951a, ..ModuleHeaders::default() };
    /// assert_eq!(headers.time(), "Sat Nov 20 09:30:02 2010 (4CE7951A)");
    /// ```
    pub fn time(&self) -> String {
        match self.time_stamp {
            0 => "unavailable (00000000)".to_string(),
            stamp if self.reproducible => {
                format!("{stamp:08X} (This is a reproducible build file hash, not a timestamp)")
            }
            stamp => format!("{} ({stamp:08X})", date(stamp)),
        }
    }
}

/// Writes what `lm v` shows below a module's row.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::report::modules::{ModuleHeaders, write_headers};
/// let mut text = String::new();
/// write_headers(&mut text, &ModuleHeaders { size: 0x7000, ..ModuleHeaders::default() })?;
/// assert!(text.ends_with("    CheckSum:         00000000\n    ImageSize:        00007000\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_headers(out: &mut dyn Write, headers: &ModuleHeaders) -> fmt::Result {
    let ModuleHeaders { file, path, .. } = headers;
    writeln!(out, "    Loaded symbol image file: {file}")?;
    writeln!(out, "    Image path: {path}")?;
    writeln!(out, "    Image name: {file}")?;
    if headers.reproducible {
        writeln!(out, "    Image was built with /Brepro flag.")?;
    }
    writeln!(out, "    Timestamp:        {}", headers.time())?;
    writeln!(out, "    CheckSum:         {:08X}", headers.checksum)?;
    writeln!(out, "    ImageSize:        {:08X}", headers.size)
}

/// What `!lmi` tells of a module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleSummary<'a> {
    /// What was asked for.
    pub asked: &'a str,
    /// The module's name.
    pub name: &'a str,
    /// Where it lies.
    pub base: Va,
    /// Of the file header.
    pub machine: u16,
    /// Of the file header.
    pub characteristics: u16,
    /// What its headers say; the path is not shown.
    pub headers: ModuleHeaders,
    /// Where its symbols come from.
    pub source: SymbolSource,
    /// The PDB, if it has one.
    pub symbol_file: &'a str,
}

/// Writes what `!lmi` shows.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, symbols::SymbolSource};
/// use poolhit::report::modules::{ModuleHeaders, ModuleSummary, write_summary};
/// let mut text = String::new();
/// let summary = ModuleSummary {
///     asked: "myfault",
///     name: "myfault",
///     base: Va(0xfffff880_0496d000),
///     machine: 0x8664,
///     characteristics: 0x22,
///     headers: ModuleHeaders::default(),
///     source: SymbolSource::None,
///     symbol_file: "",
/// };
/// write_summary(&mut text, &summary)?;
/// assert!(text.ends_with("    Load Report: no symbols loaded\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_summary(out: &mut dyn Write, summary: &ModuleSummary<'_>) -> fmt::Result {
    let ModuleSummary {
        headers, machine, ..
    } = summary;
    let machine_name = if *machine == 0x8664 { " (X64)" } else { "" };
    let stamp = headers.time_stamp;
    let time = match headers.reproducible {
        true => "(This is a reproducible build file hash, not a true timestamp)".to_string(),
        false => date(stamp),
    };
    writeln!(out, "Loaded Module Info: [{}] ", summary.asked)?;
    writeln!(out, "         Module: {}", summary.name)?;
    writeln!(out, "   Base Address: {:016x}", summary.base.0)?;
    writeln!(out, "     Image Name: {}", headers.file)?;
    writeln!(out, "   Machine Type: {machine}{machine_name}")?;
    writeln!(out, "     Time Stamp: {stamp:08x} {time}")?;
    writeln!(out, "           Size: {:x}", headers.size)?;
    writeln!(out, "       CheckSum: {:x}", headers.checksum)?;
    writeln!(out, "Characteristics: {:x}  ", summary.characteristics)?;
    writeln!(
        out,
        "     Image Type: MEMORY   - Image read successfully from loaded memory."
    )?;
    let (symbols, report) = match summary.source {
        SymbolSource::PrivatePdb => ("PDB      ", "private symbols & lines, not source indexed "),
        SymbolSource::Pdb => ("PDB      ", "public symbols , not source indexed "),
        SymbolSource::Export => ("EXPORT   - PDB not found", "export symbols"),
        SymbolSource::None => (
            "NONE     - PDB not found from symbol search path.",
            "no symbols loaded",
        ),
    };
    if summary.source.is_pdb() {
        let file = summary.symbol_file;
        writeln!(
            out,
            "    Symbol Type: {symbols}- Symbols loaded successfully from image header."
        )?;
        writeln!(out, "                 {file}")?;
        writeln!(out, "    Load Report: {report}")?;
        return writeln!(out, "                 {file}");
    }
    writeln!(out, "    Symbol Type: {symbols}")?;
    writeln!(out, "    Load Report: {report}")
}
