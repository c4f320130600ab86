//! PDB files: what is needed to name an image's addresses.
//!
//! The `pdb` crate reads the container and the records. What it would do badly with a hostile file
//! is kept from it: page lists that multiply the file (`pdb_source`), sums that overflow
//! (`pdb_address`), and the kinds of records that are not needed.

use super::pdb_address::AddressMap;
use super::pdb_source::BoundedSource;
use super::text::printable;
use crate::address::Rva;
use pdb::{FallibleIterator, PDB, PdbInternalSectionOffset, RawString, SymbolData};

/// The most modules (object files) accepted in a PDB.
pub const MODULE_LIMIT: usize = 16_384;

/// The records read, of Microsoft's `cvinfo.h`: `S_LDATA32`, `S_GDATA32`, `S_PUB32`, `S_LPROC32`,
/// `S_GPROC32`, `S_LPROC32_ID`, `S_GPROC32_ID`.
const RECORD_KINDS: [u16; 7] = [0x110c, 0x110d, 0x110e, 0x110f, 0x1110, 0x1146, 0x1147];

/// Why a PDB cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PdbError {
    /// The file is no PDB, or a part of it that is needed is broken.
    #[error("not a usable PDB: {0}")]
    Broken(#[from] pdb::Error),
    /// The stream of debug information (stream 3) is missing or too short.
    #[error("the PDB has no debug information")]
    NoDebugInformation,
    /// The debug information's parts are larger than the whole.
    #[error("the PDB's debug information has parts up to byte {size}, but is {stream} bytes long")]
    Substreams {
        /// Where the parts would end, in bytes.
        size: u64,
        /// How long the stream is, in bytes.
        stream: u64,
    },
    /// Without the image's section headers no record has an address.
    #[error("the PDB does not hold the section headers of its image")]
    NoSections,
    /// The image was reordered after linking, and the table that says how is missing.
    #[error("the PDB is of a reordered image, but has no OMAP")]
    NoOmap,
    /// More modules than [`MODULE_LIMIT`].
    #[error("the PDB has more than {MODULE_LIMIT} modules")]
    TooManyModules,
}

/// What kind of record a symbol comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PdbSymbolKind {
    /// `S_LDATA32` or `S_GDATA32`.
    Data,
    /// `S_PUB32`: all that Microsoft's public PDBs and an assembler's objects have.
    Public,
    /// `S_LPROC32` or `S_GPROC32`.
    Procedure,
}

/// One record of a PDB with a name and an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdbSymbol {
    /// The name as the record has it: decorated in publics, not decorated elsewhere.
    pub name: String,
    /// Where it is.
    pub rva: Rva,
    /// A procedure's length in bytes; 0 for every other kind.
    pub length: u32,
    /// The kind of record.
    pub kind: PdbSymbolKind,
}

/// The symbols of a PDB and what tells which image it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdbFile {
    guid: [u8; 16],
    age: u32,
    symbols: Vec<PdbSymbol>,
}

impl PdbFile {
    /// Reads a PDB from untrusted bytes: publics, procedures and data.
    ///
    /// Records that cannot be read, and those without an address in the image, are left out;
    /// a module without symbols (an assembler's) has none to give.
    ///
    /// # Errors
    /// It is no PDB, or the parts that everything depends on are broken: container, debug
    /// information, section headers.
    ///
    /// ```
    /// use poolhit::address::Rva;
    /// use poolhit::image::pdb::PdbFile;
    /// use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut builder = PdbBuilder::new([7; 16], 1);
    /// builder.section(0x1000, 0x2000).public("DriverEntry", 1, 0x10, true);
    /// let pdb = PdbFile::parse(&builder.build())?;
    /// assert_eq!(pdb.symbols()[0].name, "DriverEntry");
    /// assert_eq!(pdb.symbols()[0].rva, Rva(0x1010));
    /// assert!(PdbFile::parse(b"no PDB").is_err());
    /// # Ok::<(), poolhit::image::pdb::PdbError>(())
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<PdbFile, PdbError> {
        let mut pdb = PDB::open(BoundedSource::new(bytes))?;
        let map = AddressMap::read(&mut pdb)?;
        let info = pdb.pdb_information()?;
        let debug_information = pdb.debug_information()?;
        let mut symbols = Vec::new();
        let globals = pdb.global_symbols()?;
        collect(globals.iter(), &map, &mut symbols);
        let mut modules = debug_information.modules()?;
        let mut count = 0;
        // A module list that breaks off leaves the modules before it usable.
        while let Ok(Some(module)) = modules.next() {
            count += 1;
            if count > MODULE_LIMIT {
                return Err(PdbError::TooManyModules);
            }
            if let Ok(Some(module)) = pdb.module_info(&module)
                && let Ok(records) = module.symbols()
            {
                collect(records, &map, &mut symbols);
            }
        }
        Ok(PdbFile {
            guid: info.guid.to_bytes_le(),
            // The age of stream 1 grows when a tool rewrites the PDB; this one is the image's.
            age: debug_information.age().unwrap_or(info.age),
            symbols,
        })
    }

    /// The GUID, in the byte order of an image's CodeView record.
    ///
    /// ```
    /// # use poolhit::image::pdb::PdbFile;
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut builder = PdbBuilder::new([7; 16], 2);
    /// let pdb = PdbFile::parse(&builder.section(0x1000, 9).procedure("F", 1, 0, 9).build()).unwrap();
    /// assert_eq!(pdb.guid(), [7; 16]);
    /// ```
    pub fn guid(&self) -> [u8; 16] {
        self.guid
    }

    /// The age that an image's CodeView record has.
    ///
    /// ```
    /// # use poolhit::image::pdb::PdbFile;
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut builder = PdbBuilder::new([7; 16], 2);
    /// let pdb = PdbFile::parse(&builder.section(0x1000, 9).procedure("F", 1, 0, 9).build()).unwrap();
    /// assert_eq!(pdb.age(), 2);
    /// ```
    pub fn age(&self) -> u32 {
        self.age
    }

    /// The symbols, in the file's order: global records first, then module by module.
    ///
    /// ```
    /// # use poolhit::image::pdb::PdbFile;
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut builder = PdbBuilder::new([7; 16], 2);
    /// let pdb = PdbFile::parse(&builder.section(0x1000, 9).procedure("F", 1, 0, 9).build()).unwrap();
    /// assert_eq!(pdb.symbols()[0].length, 9);
    /// ```
    pub fn symbols(&self) -> &[PdbSymbol] {
        &self.symbols
    }
}

fn collect<'t>(
    mut records: impl FallibleIterator<Item = pdb::Symbol<'t>, Error = pdb::Error>,
    map: &AddressMap,
    symbols: &mut Vec<PdbSymbol>,
) {
    let mut push = |name: RawString<'_>, at: PdbInternalSectionOffset, length, kind| {
        if let Some(rva) = map.rva(at.section, at.offset)
            && !name.is_empty()
        {
            symbols.push(PdbSymbol {
                name: printable(name.as_bytes()),
                rva,
                length,
                kind,
            });
        }
    };
    // A record whose length is wrong hides those behind it; the ones before it stand.
    while let Ok(Some(record)) = records.next() {
        // Other kinds are not even looked at: the crate panics on some constants (0.8.0).
        if !RECORD_KINDS.contains(&record.raw_kind()) {
            continue;
        }
        match record.parse() {
            Ok(SymbolData::Public(s)) => push(s.name, s.offset, 0, PdbSymbolKind::Public),
            Ok(SymbolData::Procedure(s)) => {
                push(s.name, s.offset, s.len, PdbSymbolKind::Procedure);
            }
            Ok(SymbolData::Data(s)) => push(s.name, s.offset, 0, PdbSymbolKind::Data),
            _ => {}
        }
    }
}
