//! A name for an address of an image.

use super::undecorate::undecorate;
use crate::address::Rva;
use crate::image::pdb::PdbSymbolKind;
use std::borrow::Cow;

/// What a symbol was made from. The order is that of preference where several symbols share an
/// address: the greatest is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SymbolKind {
    /// A data record of a PDB.
    Data,
    /// An export of an image without PDB.
    Export,
    /// A public of a PDB.
    Public,
    /// A procedure record of a PDB.
    Procedure,
}

impl From<PdbSymbolKind> for SymbolKind {
    fn from(kind: PdbSymbolKind) -> SymbolKind {
        match kind {
            PdbSymbolKind::Data => SymbolKind::Data,
            PdbSymbolKind::Public => SymbolKind::Public,
            PdbSymbolKind::Procedure => SymbolKind::Procedure,
        }
    }
}

/// A name for an address of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name as its file has it.
    pub name: Box<str>,
    /// Where it is.
    pub rva: Rva,
    /// A procedure's length in bytes; 0 where the file does not say.
    pub length: u32,
    /// What it was made from.
    pub kind: SymbolKind,
}

impl Symbol {
    /// The name as the debugger shows it; see [`undecorate`].
    ///
    /// ```
    /// use poolhit::address::Rva;
    /// use poolhit::symbols::{Symbol, SymbolKind};
    /// let name = "??_C@_0BB@NMHIOPAC@guest?5cold?5text@FNODOBFM@".into();
    /// let symbol = Symbol { name, rva: Rva(0), length: 0, kind: SymbolKind::Public };
    /// assert_eq!(symbol.display_name(), " ?? ::FNODOBFM::`string'");
    /// ```
    pub fn display_name(&self) -> Cow<'_, str> {
        undecorate(&self.name)
    }
}
