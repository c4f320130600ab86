//! The symbols of one image, to be found by address or name.

use super::symbol::{Symbol, SymbolKind};
use crate::address::Rva;
use crate::image::PeImage;
use crate::image::exports::ExportTarget;
use crate::image::pdb::PdbFile;
use std::cmp::Ordering;
use std::fmt;

/// Where a module's symbols come from. Prints as in WinDbg's `lm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SymbolSource {
    /// There are none.
    #[default]
    None,
    /// The image's exports.
    Export,
    /// A PDB that has public symbols alone.
    Pdb,
    /// A PDB with private symbols: its procedures, too.
    PrivatePdb,
}

impl SymbolSource {
    /// Whether they are a PDB's.
    ///
    /// ```
    /// use poolhit::symbols::SymbolSource;
    /// assert!(SymbolSource::PrivatePdb.is_pdb());
    /// assert!(!SymbolSource::Export.is_pdb());
    /// ```
    pub fn is_pdb(self) -> bool {
        matches!(self, SymbolSource::Pdb | SymbolSource::PrivatePdb)
    }
}

impl fmt::Display for SymbolSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SymbolSource::None => "no symbols",
            SymbolSource::Export => "export symbols",
            SymbolSource::Pdb => "pdb symbols",
            SymbolSource::PrivatePdb => "private pdb symbols",
        })
    }
}

/// Why a PDB's symbols cannot be those of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// The PDB is another build's. Both are shown as a symbol server has them: GUID, then age.
    #[error("the PDB does not match {image}: the image needs {wanted}, the PDB is {found}")]
    Mismatch {
        /// The image's name.
        image: String,
        /// What the image's debug directory says.
        wanted: String,
        /// What the PDB says.
        found: String,
    },
    /// The image was linked without a PDB, so no PDB is known to be its own.
    #[error("{image} names no PDB, so that nothing shows this one to be its own")]
    NoReference {
        /// The image's name.
        image: String,
    },
}

/// The symbols of one image.
#[derive(Clone, Default)]
pub struct SymbolTable {
    source: SymbolSource,
    /// By address; of several at one address, the one to show is the last.
    symbols: Vec<Symbol>,
    /// Places in `symbols`: by name without case, then with case, then by address.
    by_name: Vec<u32>,
}

/// Not each symbol: a lab in an assertion's message has tens of thousands.
impl fmt::Debug for SymbolTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, count) = (self.source, self.symbols.len());
        write!(f, "SymbolTable({source:?}, {count} symbols)")
    }
}

impl SymbolTable {
    /// A PDB's symbols for the image it was linked with: GUID and age must be equal. Symbols
    /// outside the image are left out.
    ///
    /// # Errors
    /// The PDB is not the one the image names, or it names none.
    ///
    /// ```
    /// # use poolhit::{image::{PeImage, pdb::PdbFile}, symbols::SymbolTable};
    /// # use poolhit_fixtures::{pdb_builder::PdbBuilder, pe_builder::{CODE, PeBuilder}};
    /// let mut image = PeBuilder::new(0x10000);
    /// image.section(".text", CODE, vec![0xc3], 1);
    /// let image = PeImage::parse("a.sys", image.pdb([7; 16], 1, "a.pdb").build())?;
    /// let mut pdb = PdbBuilder::new([8; 16], 1);
    /// let pdb = PdbFile::parse(&pdb.section(0x1000, 1).build())?;
    /// let error = SymbolTable::for_image(&image, &pdb).unwrap_err();
    /// assert!(error.to_string().starts_with("the PDB does not match a.sys"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_image(image: &PeImage, pdb: &PdbFile) -> Result<SymbolTable, SymbolError> {
        let Some(reference) = image.pdb_reference() else {
            return Err(SymbolError::NoReference {
                image: image.name().to_owned(),
            });
        };
        if (reference.guid, reference.age) != (pdb.guid(), pdb.age()) {
            return Err(SymbolError::Mismatch {
                image: image.name().to_owned(),
                wanted: signature(&reference.guid, reference.age),
                found: signature(&pdb.guid(), pdb.age()),
            });
        }
        let size = image.size_of_image();
        Ok(SymbolTable::from_pdb_below(pdb, size))
    }

    /// A PDB's symbols, whichever image they are for.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::pdb::PdbFile, symbols::SymbolTable};
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut pdb = PdbBuilder::new([7; 16], 1);
    /// let pdb = PdbFile::parse(&pdb.section(0x1000, 9).public("Start", 1, 2, true).build())?;
    /// let table = SymbolTable::from_pdb(&pdb);
    /// assert_eq!(table.by_name("start").unwrap().rva, Rva(0x1002));
    /// # Ok::<(), poolhit::image::pdb::PdbError>(())
    /// ```
    pub fn from_pdb(pdb: &PdbFile) -> SymbolTable {
        SymbolTable::from_pdb_below(pdb, u32::MAX)
    }

    fn from_pdb_below(pdb: &PdbFile, end: u32) -> SymbolTable {
        let inside = pdb.symbols().iter().filter(|symbol| symbol.rva.0 < end);
        let symbols = inside.map(|symbol| Symbol {
            name: symbol.name.as_str().into(),
            rva: symbol.rva,
            length: symbol.length,
            kind: symbol.kind.into(),
        });
        let symbols: Vec<Symbol> = symbols.collect();
        let is_procedure = |symbol: &Symbol| symbol.kind == SymbolKind::Procedure;
        let source = match symbols.iter().any(is_procedure) {
            true => SymbolSource::PrivatePdb,
            false => SymbolSource::Pdb,
        };
        SymbolTable::new(source, symbols)
    }

    /// An image's exports as symbols, as a debugger without PDB has them. Exports by ordinal alone
    /// are called `Ordinal<n>`; forwarders have no address here. An image without exports has no
    /// symbols.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::PeImage, symbols::{SymbolSource, SymbolTable}};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// let mut image = PeBuilder::new(0x10000);
    /// let text = image.section(".text", CODE, vec![0xc3; 4], 4);
    /// image.export("Open", text).export_unnamed(text + 2);
    /// let table = SymbolTable::from_exports(&PeImage::parse("a.dll", image.build())?);
    /// assert_eq!(table.source(), SymbolSource::Export);
    /// assert_eq!(&*table.nearest(Rva(text + 3)).unwrap().0.name, "Ordinal2");
    /// # Ok::<(), poolhit::image::ImageError>(())
    /// ```
    pub fn from_exports(image: &PeImage) -> SymbolTable {
        let symbols = image.exports().iter().filter_map(|export| {
            let ExportTarget::Address(rva) = export.target else {
                return None;
            };
            let name = match &export.name {
                Some(name) => name.as_str().into(),
                None => format!("Ordinal{}", export.ordinal).into(),
            };
            Some(Symbol {
                name,
                rva,
                length: 0,
                kind: SymbolKind::Export,
            })
        });
        SymbolTable::new(SymbolSource::Export, symbols.collect())
    }

    /// A table of any symbols. Of several with the same name and address one is kept. Without
    /// symbols, the source is [`SymbolSource::None`].
    ///
    /// Where several names share an address, the one shown is that of the greatest
    /// [`SymbolKind`], and among those the last in byte order: Windows 7's `ntdll` has
    /// `NtDeviceIoControlFile` and `ZwDeviceIoControlFile` at one address, and WinDbg shows
    /// the latter there.
    ///
    /// ```
    /// # use poolhit::{address::Rva, symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable}};
    /// let symbol = |name: &str, rva| {
    ///     Symbol { name: name.into(), rva: Rva(rva), length: 0, kind: SymbolKind::Public }
    /// };
    /// let symbols = vec![symbol("Second", 8), symbol("First", 4)];
    /// let table = SymbolTable::new(SymbolSource::Pdb, symbols);
    /// assert_eq!(&*table.nearest(Rva(7)).unwrap().0.name, "First");
    /// ```
    pub fn new(source: SymbolSource, mut symbols: Vec<Symbol>) -> SymbolTable {
        symbols.sort_by(|a, b| (a.rva, &a.name, b.kind).cmp(&(b.rva, &b.name, a.kind)));
        symbols.dedup_by(|next, kept| next.rva == kept.rva && next.name == kept.name);
        symbols.sort_by(|a, b| (a.rva, a.kind, &a.name).cmp(&(b.rva, b.kind, &b.name)));
        // Places are 32 bits wide: more symbols than that would need a file of 60 GB.
        symbols.truncate(u32::MAX as usize);
        let mut by_name: Vec<u32> = (0..symbols.len() as u32).collect();
        by_name.sort_by(|&a, &b| {
            let (a, b) = (&symbols[a as usize], &symbols[b as usize]);
            compare_folded(a.name.as_bytes(), b.name.as_bytes())
                .then_with(|| (&a.name, a.rva).cmp(&(&b.name, b.rva)))
        });
        let source = if symbols.is_empty() {
            SymbolSource::None
        } else {
            source
        };
        SymbolTable {
            source,
            symbols,
            by_name,
        }
    }

    /// Where the symbols come from.
    ///
    /// ```
    /// # use poolhit::{address::Rva, symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable}};
    /// let symbol = |name: &str, rva| {
    ///     Symbol { name: name.into(), rva: Rva(rva), length: 0, kind: SymbolKind::Public }
    /// };
    /// let symbols = vec![symbol("Second", 8), symbol("First", 4)];
    /// let table = SymbolTable::new(SymbolSource::Pdb, symbols);
    /// assert_eq!(table.source(), SymbolSource::Pdb);
    /// assert_eq!(SymbolTable::default().source(), SymbolSource::None);
    /// ```
    pub fn source(&self) -> SymbolSource {
        self.source
    }

    /// How many symbols there are.
    ///
    /// ```
    /// # use poolhit::{address::Rva, symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable}};
    /// let symbol = |name: &str, rva| {
    ///     Symbol { name: name.into(), rva: Rva(rva), length: 0, kind: SymbolKind::Public }
    /// };
    /// let symbols = vec![symbol("Second", 8), symbol("First", 4)];
    /// let table = SymbolTable::new(SymbolSource::Pdb, symbols);
    /// assert_eq!(table.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use poolhit::{address::Rva, symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable}};
    /// let symbol = |name: &str, rva| {
    ///     Symbol { name: name.into(), rva: Rva(rva), length: 0, kind: SymbolKind::Public }
    /// };
    /// let symbols = vec![symbol("Second", 8), symbol("First", 4)];
    /// let table = SymbolTable::new(SymbolSource::Pdb, symbols);
    /// assert!(!table.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// All symbols by ascending address; of several at one address the one shown is the last.
    ///
    /// ```
    /// # use poolhit::{address::Rva, symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable}};
    /// let symbol = |name: &str, rva| {
    ///     Symbol { name: name.into(), rva: Rva(rva), length: 0, kind: SymbolKind::Public }
    /// };
    /// let symbols = vec![symbol("Second", 8), symbol("First", 4)];
    /// let table = SymbolTable::new(SymbolSource::Pdb, symbols);
    /// assert!(table.iter().map(|symbol| symbol.rva).eq([Rva(4), Rva(8)]));
    /// ```
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Symbol> + ExactSizeIterator {
        self.symbols.iter()
    }

    /// The symbol at `rva`, or the nearest one before it, and the distance in bytes. Labels inside
    /// functions count like all others. Takes O(log n) and does not allocate.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::pdb::PdbFile, symbols::SymbolTable};
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut pdb = PdbBuilder::new([7; 16], 1);
    /// pdb.section(0x1000, 0x1000).procedure("KiSystemCall64", 1, 0, 0x800);
    /// pdb.public("KiSystemServiceCopyEnd", 1, 0x200, false);
    /// let table = SymbolTable::from_pdb(&PdbFile::parse(&pdb.build())?);
    /// let (symbol, offset) = table.nearest(Rva(0x1213)).unwrap();
    /// assert_eq!((&*symbol.name, offset), ("KiSystemServiceCopyEnd", 0x13));
    /// # Ok::<(), poolhit::image::pdb::PdbError>(())
    /// ```
    pub fn nearest(&self, rva: Rva) -> Option<(&Symbol, u32)> {
        let after = self.symbols.partition_point(|symbol| symbol.rva <= rva);
        let symbol = self.symbols[..after].last()?;
        Some((symbol, rva.0 - symbol.rva.0))
    }

    /// The symbol of that name: one with the very same letters, else one that differs in case.
    /// Of several with one spelling, the one at the lowest address.
    ///
    /// ```
    /// # use poolhit::{address::Rva, symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable}};
    /// let symbol = |name: &str, rva| {
    ///     Symbol { name: name.into(), rva: Rva(rva), length: 0, kind: SymbolKind::Public }
    /// };
    /// let symbols = vec![symbol("Second", 8), symbol("First", 4)];
    /// let table = SymbolTable::new(SymbolSource::Pdb, symbols);
    /// assert_eq!(table.by_name("FIRST").unwrap().rva, Rva(4));
    /// assert!(table.by_name("Firs").is_none());
    /// ```
    pub fn by_name(&self, name: &str) -> Option<&Symbol> {
        self.named(name).next()
    }

    /// All symbols of that name: those with the very same letters, by address, if there are any;
    /// else those that differ in case (in ASCII letters), spelling by spelling.
    ///
    /// ```
    /// # use poolhit::{address::Rva, symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable}};
    /// let symbol = |name: &str, rva| {
    ///     Symbol { name: name.into(), rva: Rva(rva), length: 0, kind: SymbolKind::Public }
    /// };
    /// let symbols = vec![symbol("init", 9), symbol("Init", 5), symbol("init", 2)];
    /// let table = SymbolTable::new(SymbolSource::Pdb, symbols);
    /// let places = |name| table.named(name).map(|symbol| symbol.rva.0).collect::<Vec<_>>();
    /// assert_eq!(places("init"), [2, 9]);
    /// assert_eq!(places("INIT"), [5, 2, 9]);
    /// ```
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Symbol> {
        let at = |index: &u32| &self.symbols[*index as usize];
        let ordering = |index: &u32| compare_folded(at(index).name.as_bytes(), name.as_bytes());
        let start = self
            .by_name
            .partition_point(|i| ordering(i) == Ordering::Less);
        let end = self
            .by_name
            .partition_point(|i| ordering(i) != Ordering::Greater);
        let folded = &self.by_name[start..end];
        let exact_start = folded.partition_point(|i| *at(i).name < *name);
        let exact_end = folded.partition_point(|i| *at(i).name <= *name);
        let exact = &folded[exact_start..exact_end];
        let found = if exact.is_empty() { folded } else { exact };
        found.iter().map(at)
    }
}

/// Orders names without regard to the case of ASCII letters.
pub(super) fn compare_folded(a: &[u8], b: &[u8]) -> Ordering {
    let fold = u8::to_ascii_lowercase;
    a.iter().map(fold).cmp(b.iter().map(fold))
}

/// GUID and age as symbol servers write them: `3844DBB920174967BE7AA4A2C20430FA2`.
pub(crate) fn signature(guid: &[u8; 16], age: u32) -> String {
    // The first three fields are little-endian numbers, the rest are bytes.
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text: String = ORDER.iter().map(|&i| format!("{:02X}", guid[i])).collect();
    text.push_str(&format!("{age:X}"));
    text
}
