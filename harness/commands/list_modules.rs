//! `lm[OPTIONS] [a ADDRESS] [m PATTERN | M PATTERN]`: the modules loaded: first byte, the byte behind
//! the last, name, where the symbols come from, and the PDB's name.
//!
//! | option | |
//! |---|---|
//! | `v` | paths, time stamp, check sum and size, too |
//! | `k`, `u` | the kernel's modules only, those of user mode only |
//! | `l`, `e` | those with symbols only, those without a PDB only |
//! | `sm` | by name |
//! | `1m` | the names only |
//! | `n`, `i`, `f`, `p`, `t` | the image's name, or its path, or its time stamp, and not the symbols |
//! | `o`, `D` | nothing: all modules are loaded, and there is no markup |
//! | `a ADDRESS` | the module that the address is in |
//! | `m PATTERN`, `M PATTERN` | modules whose name, or whose image's path, fits |
//!
//! Options may follow the command or each other without a space: `lmvm nt`.
//!
//! "lm (List Loaded Modules)"; the verbose form is that of "lmvm nvlddmkm" in "Bug Check 0x117" of the
//! manual, without the lines of version resources, which are not read, and `lm t` that of "NPF driver crash
//! with Npcap 0.9992" (nmap/npcap on GitHub). For `lm t n` no session was found: the image's name stands in
//! front of the time. Time is UTC.
//!
//! ```text
//! kd> lm
//! start             end                 module name
//! 00000000`773f0000 00000000`77409000   kernel32   (pdb symbols)          kernel32.pdb
//! 00000000`77510000 00000000`77564000   ntdll      (private pdb symbols)  ntdll.pdb
//! 00000000`ff220000 00000000`ff226000   NotMyfault   (no symbols)
//! 000007fe`fd5f0000 000007fe`fd5fd000   KERNELBASE   (private pdb symbols)  kernelbase.pdb
//! fffff800`01450000 fffff800`01810000   nt         (private pdb symbols)  ntkrnlmp.pdb
//! fffff880`0496d000 fffff880`04971000   myfault    (no symbols)
//! kd> lmvm myfault
//! start             end                 module name
//! fffff880`0496d000 fffff880`04971000   myfault    (no symbols)
//!     Loaded symbol image file: myfault.sys
//!     Image path: \SystemRoot\system32\drivers\myfault.sys
//!     Image name: myfault.sys
//!     Image was built with /Brepro flag.
//!     Timestamp:        8DCFFA24 (This is a reproducible build file hash, not a timestamp)
//!     CheckSum:         00000000
//!     ImageSize:        00004000
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::report::modules::{HEADER, ModuleHeaders, write_headers, write_row};
use crate::symbols::wildcard::Pattern;
use crate::symbols::{Module, SymbolSource};
use std::fmt::{self, Write};

/// What is shown behind a module's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Column {
    #[default]
    Symbols,
    ImageName,
    Path,
    /// With the image's name if that is asked for, too.
    Time {
        named: bool,
    },
    /// Nothing but the name, and no addresses.
    NameAlone,
}

#[derive(Clone, Debug, Default)]
struct Options {
    column: Column,
    verbose: bool,
    kernel: bool,
    user: bool,
    with_symbols: bool,
    without_pdb: bool,
    by_name: bool,
    address: Option<Va>,
    name: Option<Pattern>,
    path: Option<Pattern>,
}

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let options = read_options(session, arguments)?;
    let mut modules: Vec<&Module> = session
        .modules()
        .iter()
        .filter(|module| options.fits(module))
        .collect();
    if options.by_name {
        modules.sort_by_key(|module| module.name().to_ascii_lowercase());
    }
    if options.column != Column::NameAlone {
        out.write_str(HEADER)?;
    }
    for module in modules {
        write_module(out, &options, module)?;
    }
    Ok(Flow::Stay)
}

impl Options {
    fn fits(&self, module: &Module) -> bool {
        let has_pdb = module.symbol_source().is_pdb();
        let has_symbols = module.symbol_source() != SymbolSource::None;
        let is_kernel = module.base().is_kernel();
        let fits = |pattern: &Option<Pattern>, text| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
        };
        (is_kernel || !self.kernel || self.user)
            && (!is_kernel || !self.user || self.kernel)
            && (has_symbols || !self.with_symbols)
            && !(has_pdb && self.without_pdb)
            && self.address.is_none_or(|at| module.rva(at).is_some())
            && fits(&self.name, module.name())
            && fits(&self.path, module.path())
    }
}

fn read_options(session: &Session, arguments: &mut Cursor<'_>) -> Result<Options, ExecuteError> {
    let mut options = Options::default();
    while let Some(letter) = arguments.peek() {
        let two = arguments.rest().get(..2).unwrap_or_default();
        if two == "1m" || two == "sm" {
            arguments.eat(two);
            match two {
                "1m" => options.column = Column::NameAlone,
                _ => options.by_name = true,
            }
            continue;
        }
        let option = letter.to_string();
        arguments.eat(&option);
        match letter {
            'v' => options.verbose = true,
            'k' => options.kernel = true,
            'u' => options.user = true,
            'l' => options.with_symbols = true,
            'e' => options.without_pdb = true,
            'n' | 'i' if options.column == (Column::Time { named: false }) => {
                options.column = Column::Time { named: true };
            }
            't' => {
                let named = options.column == Column::ImageName;
                options.column = Column::Time { named };
            }
            'n' | 'i' => options.column = Column::ImageName,
            'f' | 'p' => options.column = Column::Path,
            'o' | 'D' => {}
            'a' => options.address = Some(Va(arguments.next_expression(session)?)),
            'm' => options.name = Some(next_pattern(arguments)),
            'M' => options.path = Some(next_pattern(arguments)),
            _ => {
                return Err(ExecuteError::UnknownOption {
                    command: "lm",
                    option,
                    known: "D, e, f, i, k, l, n, o, p, t, u, v, 1m, sm, a ADDRESS, m PATTERN and M PATTERN",
                });
            }
        }
    }
    Ok(options)
}

/// The next word as a pattern; nothing but an empty name fits if there is none.
fn next_pattern(arguments: &mut Cursor<'_>) -> Pattern {
    Pattern::new(arguments.next_word().unwrap_or_default())
}

/// What a module's image says.
pub(super) fn headers(module: &Module) -> ModuleHeaders {
    let image = module.image();
    ModuleHeaders {
        file: image
            .map_or(module.image_name(), |image| image.name())
            .into(),
        path: module.path().into(),
        time_stamp: image.map_or(0, |image| image.timestamp()),
        reproducible: image.is_some_and(|image| image.is_reproducible()),
        checksum: image.map_or(0, |image| image.checksum()),
        size: module.size(),
    }
}

fn write_module(out: &mut dyn Write, options: &Options, module: &Module) -> fmt::Result {
    let name = module.name();
    if options.column == Column::NameAlone {
        return writeln!(out, "{name}");
    }
    if options.column != Column::Symbols {
        write!(out, "{} {}   ", module.base(), module.end())?;
    }
    match options.column {
        Column::ImageName => writeln!(out, "{name:<8} {}", module.image_name())?,
        Column::Path => writeln!(out, "{name:<8} {}", module.path())?,
        Column::Time { named: true } => {
            writeln!(
                out,
                "{name:<8} {:<12} {}",
                module.image_name(),
                headers(module).time()
            )?;
        }
        Column::Time { named: false } => writeln!(out, "{name:<8}  {}", headers(module).time())?,
        Column::Symbols | Column::NameAlone => {
            let source = module.symbol_source().to_string();
            let pdb = module.image().and_then(|image| image.pdb_reference());
            let pdb = pdb.filter(|_| module.symbol_source().is_pdb());
            let file = pdb.map_or("", |pdb| pdb.base_name());
            write_row(out, [module.base(), module.end()], name, &source, file)?;
        }
    }
    if options.verbose {
        write_headers(out, &headers(module))?;
    }
    Ok(())
}
