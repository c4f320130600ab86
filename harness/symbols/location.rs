//! What an address is called.

use super::module::Module;
use super::symbol::Symbol;
use std::fmt;

/// An address as module, symbol and distance. Prints as WinDbg does: `nt!NtClose+0x56`,
/// `` nt! ?? ::FNODOBFM::`string'+0x24a2a ``, `myfault+0x1634`; without distance where that is 0.
///
/// ```
/// use poolhit::address::{Rva, Va};
/// use poolhit::symbols::{Location, Module, Symbol, SymbolKind};
/// let module = Module::new("ntoskrnl.exe", Va(0xfffff800_01450000), 0x1000);
/// let name = "NtClose".into();
/// let symbol = Symbol { name, rva: Rva(0x10), length: 0, kind: SymbolKind::Public };
/// let location = Location { module: &module, symbol: Some(&symbol), offset: 0x56 };
/// assert_eq!(location.to_string(), "nt!NtClose+0x56");
/// let start = Location { module: &module, symbol: None, offset: 0 };
/// assert_eq!(start.to_string(), "nt");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// The module.
    pub module: &'a Module,
    /// The symbol; `None` if the module has none at or before the address.
    pub symbol: Option<&'a Symbol>,
    /// The distance in bytes from the symbol, or from the module's base without one.
    pub offset: u32,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.module.name())?;
        if let Some(symbol) = self.symbol {
            write!(f, "!{}", symbol.display_name())?;
        }
        if self.offset != 0 {
            write!(f, "+{:#x}", self.offset)?;
        }
        Ok(())
    }
}
