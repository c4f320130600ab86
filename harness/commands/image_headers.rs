//! `!dh [-f] [-s] [-a] IMAGE`: an image's headers as they lie in memory: with `-f` those of the file, with `-s` those
//! of its sections, otherwise both. IMAGE is a module's name or where it lies. `!lmi IMAGE`: a summary.
//!
//! "!dh" and "!lmi" in the debugger's manual. The forms are those of `!dh -f ntdll`, `!lmi ntdll` (both in a text about
//! how debuggers find symbol files, Windows 7) and `!dh -s ntdll`. Exports and imports (`-e`, `-i`) are not shown: `x`
//! lists symbols, and `poolhit imports` what a driver imports. Nor are debug directories. Time is UTC.
//!
//! ```text
//! kd> !lmi myfault
//! Loaded Module Info: [myfault]
//!          Module: myfault
//!    Base Address: fffff8800496d000
//!      Image Name: myfault.sys
//!    Machine Type: 34404 (X64)
//!      Time Stamp: 8dcffa24 (This is a reproducible build file hash, not a true timestamp)
//!            Size: 4000
//!        CheckSum: 0
//! Characteristics: 22
//!      Image Type: MEMORY   - Image read successfully from loaded memory.
//!     Symbol Type: NONE     - PDB not found from symbol search path.
//!     Load Report: no symbols loaded
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::ImageHeaders;
use crate::report::date::date;
use crate::report::modules::{ModuleHeaders, ModuleSummary, write_summary};
use std::fmt::{self, Write};

const DIRECTORIES: [&str; 16] = [
    "Export",
    "Import",
    "Resource",
    "Exception",
    "Security",
    "Base Relocation",
    "Debug",
    "Description",
    "Special",
    "Thread Storage",
    "Load Configuration",
    "Bound Import",
    "Import Address Table",
    "Delay Import",
    "COR20 Header",
    "Reserved",
];
const CHARACTERISTICS: [(u32, &str); 3] = [
    (2, "Executable"),
    (0x20, "App can handle >2gb addresses"),
    (0x2000, "DLL"),
];
const DLL_CHARACTERISTICS: [(u32, &str); 4] = [
    (0x20, "High entropy VA supported"),
    (0x40, "Dynamic base"),
    (0x100, "NX compatible"),
    (0x4000, "Guard"),
];
const SECTION_FLAGS: [(u32, &str); 5] = [
    (0x20, "Code"),
    (0x40, "Initialized Data"),
    (0x80, "Uninitialized Data"),
    (0x0200_0000, "Discardable"),
    (0x0800_0000, "Not Paged"),
];

/// `!dh`.
pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (mut file, mut sections) = (false, false);
    while arguments.peek() == Some('-') {
        match arguments.next_word().unwrap_or_default() {
            "-f" => file = true,
            "-s" => sections = true,
            "-a" => (file, sections) = (true, true),
            option => {
                return Err(ExecuteError::UnknownOption {
                    command: "!dh",
                    option: option.to_string(),
                    known: "-a, -f and -s",
                });
            }
        }
    }
    let base = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let headers = ImageHeaders::read(session.lab().machine(), base)?;
    let both = !file && !sections;
    if file || both {
        write_file(out, &headers)?;
    }
    if sections || both {
        write_sections(out, &headers)?;
    }
    Ok(Flow::Stay)
}

fn flags(out: &mut dyn Write, value: u32, names: &[(u32, &str)], indent: usize) -> fmt::Result {
    for (_, name) in names.iter().filter(|(flag, _)| value & flag != 0) {
        writeln!(out, "{:indent$}{name}", "")?;
    }
    Ok(())
}

fn write_file(out: &mut dyn Write, headers: &ImageHeaders) -> fmt::Result {
    let characteristics = headers.file_u16(18);
    let kind = match characteristics & 0x2000 {
        0 => "EXECUTABLE IMAGE",
        _ => "DLL",
    };
    writeln!(out, "\nFile Type: {kind}\nFILE HEADER VALUES")?;
    let machine = headers.file_u16(0);
    let name = if machine == 0x8664 { " (X64)" } else { "" };
    writeln!(out, "{machine:8X} machine{name}")?;
    writeln!(out, "{:8X} number of sections", headers.file_u16(2))?;
    let stamp = headers.file_u32(4);
    writeln!(out, "{stamp:8X} time date stamp {}\n", date(stamp))?;
    writeln!(
        out,
        "{:8X} file pointer to symbol table",
        headers.file_u32(8)
    )?;
    writeln!(out, "{:8X} number of symbols", headers.file_u32(12))?;
    writeln!(out, "{:8X} size of optional header", headers.file_u16(16))?;
    writeln!(out, "{characteristics:8X} characteristics")?;
    flags(out, characteristics.into(), &CHARACTERISTICS, 12)?;
    writeln!(out, "\nOPTIONAL HEADER VALUES")?;
    writeln!(out, "{:8X} magic #", headers.optional_u16(0))?;
    let [major, minor] = headers.optional_u16(2).to_le_bytes();
    writeln!(out, "{:>8} linker version", format!("{major}.{minor:02}"))?;
    for (at, text) in [
        (4, "size of code"),
        (8, "size of initialized data"),
        (12, "size of uninitialized data"),
        (16, "address of entry point"),
        (20, "base of code"),
    ] {
        writeln!(out, "{:8X} {text}", headers.optional_u32(at))?;
    }
    writeln!(out, "         ----- new -----")?;
    writeln!(out, "{:016x} image base", headers.optional_u64(24))?;
    writeln!(out, "{:8X} section alignment", headers.optional_u32(32))?;
    writeln!(out, "{:8X} file alignment", headers.optional_u32(36))?;
    let subsystem = headers.optional_u16(68);
    let name = match subsystem {
        1 => " (Native)",
        2 => " (Windows GUI)",
        3 => " (Windows CUI)",
        _ => "",
    };
    writeln!(out, "{subsystem:8X} subsystem{name}")?;
    for (at, text) in [(40, "operating system"), (44, "image"), (48, "subsystem")] {
        let (major, minor) = (headers.optional_u16(at), headers.optional_u16(at + 2));
        writeln!(out, "{:>8} {text} version", format!("{major}.{minor:02}"))?;
    }
    for (at, text) in [
        (56, "size of image"),
        (60, "size of headers"),
        (64, "checksum"),
    ] {
        writeln!(out, "{:8X} {text}", headers.optional_u32(at))?;
    }
    for (at, text) in [
        (72, "size of stack reserve"),
        (80, "size of stack commit"),
        (88, "size of heap reserve"),
        (96, "size of heap commit"),
    ] {
        writeln!(out, "{:016x} {text}", headers.optional_u64(at))?;
    }
    let characteristics = headers.optional_u16(70);
    writeln!(out, "{characteristics:8X}  DLL characteristics")?;
    flags(out, characteristics.into(), &DLL_CHARACTERISTICS, 12)?;
    for (number, name) in DIRECTORIES.iter().enumerate() {
        let at = 112 + 8 * number;
        let (address, size) = (headers.optional_u32(at), headers.optional_u32(at + 4));
        writeln!(
            out,
            "{address:8X} [{size:8X}] address [size] of {name} Directory"
        )?;
    }
    // in sessions that show both there are two empty lines in front of the first section
    writeln!(out)
}

fn write_sections(out: &mut dyn Write, headers: &ImageHeaders) -> fmt::Result {
    for (number, (name, values)) in headers.sections().iter().enumerate() {
        writeln!(out, "\nSECTION HEADER #{:X}\n{name:>8} name", number + 1)?;
        for (value, text) in values.iter().zip([
            "virtual size",
            "virtual address",
            "size of raw data",
            "file pointer to raw data",
            "file pointer to relocation table",
            "file pointer to line numbers",
            "number of relocations",
            "number of line numbers",
            "flags",
        ]) {
            writeln!(out, "{value:8X} {text}")?;
        }
        let [.., characteristics] = *values;
        flags(out, characteristics, &SECTION_FLAGS, 9)?;
        if characteristics & 0x00f0_0000 == 0 {
            writeln!(out, "         (no align specified)")?;
        }
        let access = match characteristics >> 29 {
            0b010 => "Read Only",
            0b011 => "Execute Read",
            0b110 => "Read Write",
            0b111 => "Execute Read Write",
            _ => continue,
        };
        writeln!(out, "         {access}")?;
    }
    Ok(())
}

/// `!lmi`.
pub(super) fn run_module(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let typed = arguments.rest().trim().to_string();
    let at = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let Some(module) = session.modules().containing(at) else {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    };
    let headers = ImageHeaders::read(session.lab().machine(), module.base())?;
    let image = module.image();
    let pdb = image.and_then(|image| image.pdb_reference());
    let summary = ModuleSummary {
        asked: &typed.to_ascii_lowercase(),
        name: module.name(),
        base: module.base(),
        machine: headers.file_u16(0),
        characteristics: headers.file_u16(18),
        headers: ModuleHeaders {
            file: module.image_name().into(),
            path: String::new(),
            time_stamp: headers.file_u32(4),
            reproducible: image.is_some_and(|image| image.is_reproducible()),
            checksum: headers.optional_u32(64),
            size: headers.optional_u32(56),
        },
        source: module.symbol_source(),
        symbol_file: pdb.map_or("", |pdb| pdb.base_name()),
    };
    write_summary(out, &summary)?;
    Ok(Flow::Stay)
}
