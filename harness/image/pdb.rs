//! PDB files: what is needed to name an image's addresses, and to tell what lies at them.
//!
//! The `pdb` crate reads the container and the records. What it would do badly with a hostile file
//! is kept from it: page lists that multiply the file (`pdb_source`), sums that overflow
//! (`pdb_address`), and the kinds of records that are not needed.

use super::lines::{LineError, PdbLines, modules};
use super::locals::PdbLocals;
use super::pdb_address::AddressMap;
use super::pdb_source::BoundedSource;
use super::text::printable;
use super::types::{TypeError, TypeIndex, TypeStream};
use crate::address::Rva;
use pdb::{FallibleIterator, PDB, PdbInternalSectionOffset, RawString, StreamIndex, SymbolData};
use std::sync::Arc;

/// The most modules (object files) accepted in a PDB.
pub const MODULE_LIMIT: usize = 16_384;

/// The stream of the types (TPI).
const TYPE_STREAM: StreamIndex = StreamIndex(2);

/// The records read, of Microsoft's `cvinfo.h`: `S_UDT`, `S_LDATA32`, `S_GDATA32`, `S_PUB32`,
/// `S_LPROC32`, `S_GPROC32`, `S_LPROC32_ID`, `S_GPROC32_ID`.
const RECORD_KINDS: [u16; 8] = [
    0x1108, 0x110c, 0x110d, 0x110e, 0x110f, 0x1110, 0x1146, 0x1147,
];

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
    /// The type of data, where the record says it.
    pub ty: Option<TypeIndex>,
}

/// A record that names a type: `S_UDT`, mostly of a `typedef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdbTypeName {
    /// The name.
    pub name: String,
    /// The type.
    pub ty: TypeIndex,
}

/// The symbols of a PDB and what tells which image it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdbFile {
    guid: [u8; 16],
    age: u32,
    symbols: Vec<PdbSymbol>,
    type_names: Vec<PdbTypeName>,
    types: Result<Arc<TypeStream>, TypeError>,
    lines: Result<Arc<PdbLines>, LineError>,
    locals: Result<Arc<PdbLocals>, LineError>,
}

/// What the symbol records say.
#[derive(Default)]
struct Records {
    symbols: Vec<PdbSymbol>,
    type_names: Vec<PdbTypeName>,
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
        let mut records = Records::default();
        let globals = pdb.global_symbols()?;
        records.collect(globals.iter(), &map);
        let mut list = debug_information.modules()?;
        let mut count = 0;
        // A module list that breaks off leaves the modules before it usable.
        while let Ok(Some(module)) = list.next() {
            count += 1;
            if count > MODULE_LIMIT {
                return Err(PdbError::TooManyModules);
            }
            if let Ok(Some(module)) = pdb.module_info(&module)
                && let Ok(symbols) = module.symbols()
            {
                records.collect(symbols, &map);
            }
        }
        let types = types(&mut pdb);
        let map = Arc::new(map);
        // What they take of the source's limit is taken from nothing else.
        let (lines, locals) = match modules::read(&mut pdb) {
            Ok(records) => {
                let lines = PdbLines::read(&mut pdb, records.lines, Arc::clone(&map));
                let locals = PdbLocals::new(records.symbols, map);
                (lines.map(Arc::new), Ok(Arc::new(locals)))
            }
            Err(error) => (Err(error.clone()), Err(error)),
        };
        Ok(PdbFile {
            guid: info.guid.to_bytes_le(),
            // The age of stream 1 grows when a tool rewrites the PDB; this one is the image's.
            age: debug_information.age().unwrap_or(info.age),
            symbols: records.symbols,
            type_names: records.type_names,
            types,
            lines,
            locals,
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

    /// The names that symbol records give to types, in the file's order.
    ///
    /// ```
    /// # use poolhit::image::pdb::PdbFile;
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut builder = PdbBuilder::new([7; 16], 2);
    /// let pdb = PdbFile::parse(&builder.section(0x1000, 9).user_type("ULONG", 0x22).build()).unwrap();
    /// assert_eq!(pdb.type_names()[0].name, "ULONG");
    /// ```
    pub fn type_names(&self) -> &[PdbTypeName] {
        &self.type_names
    }

    /// The types' records. A PDB whose types cannot be read still has its symbols.
    ///
    /// # Errors
    /// The PDB has no types, or they are broken.
    ///
    /// ```
    /// # use poolhit::image::pdb::PdbFile;
    /// # use poolhit_fixtures::{pdb_builder::PdbBuilder, type_builder::TypeBuilder};
    /// let mut builder = PdbBuilder::new([7; 16], 2);
    /// builder.section(0x1000, 9);
    /// assert!(PdbFile::parse(&builder.build()).unwrap().types().is_err());
    /// builder.types(TypeBuilder::new().build());
    /// assert!(PdbFile::parse(&builder.build()).unwrap().types().is_ok());
    /// ```
    pub fn types(&self) -> Result<&Arc<TypeStream>, &TypeError> {
        self.types.as_ref()
    }

    /// The source lines' records. A PDB whose lines cannot be read still has its symbols, and one that
    /// was stripped of lines has none.
    ///
    /// # Errors
    /// The PDB has lines, but the streams that they need are broken.
    ///
    /// ```
    /// # use poolhit::image::pdb::PdbFile;
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut builder = PdbBuilder::new([7; 16], 2);
    /// let pdb = PdbFile::parse(&builder.section(0x1000, 9).procedure("F", 1, 0, 9).build()).unwrap();
    /// assert_eq!(pdb.lines().unwrap().ranges().0, []);
    /// ```
    pub fn lines(&self) -> Result<&Arc<PdbLines>, &LineError> {
        self.lines.as_ref()
    }

    /// The procedures' parameters and local variables. A PDB that was stripped of them has none.
    ///
    /// # Errors
    /// The list of the PDB's modules is broken.
    ///
    /// ```
    /// # use poolhit::image::pdb::PdbFile;
    /// # use poolhit_fixtures::pdb_builder::PdbBuilder;
    /// let mut builder = PdbBuilder::new([7; 16], 2);
    /// let pdb = PdbFile::parse(&builder.section(0x1000, 9).procedure("F", 1, 0, 9).build()).unwrap();
    /// assert_eq!(pdb.locals().unwrap().procedures()[0].length, 9);
    /// ```
    pub fn locals(&self) -> Result<&Arc<PdbLocals>, &LineError> {
        self.locals.as_ref()
    }
}

fn types<'s, S: pdb::Source<'s> + 's>(pdb: &mut PDB<'s, S>) -> Result<Arc<TypeStream>, TypeError> {
    let none = |reason: String| TypeError::NoStream { reason };
    let stream = pdb.raw_stream(TYPE_STREAM);
    let stream = stream
        .map_err(|error| none(error.to_string()))?
        .ok_or_else(|| none("there is no such stream".to_owned()))?;
    TypeStream::parse(stream.as_slice().to_vec()).map(Arc::new)
}

impl Records {
    fn collect<'t>(
        &mut self,
        mut records: impl FallibleIterator<Item = pdb::Symbol<'t>, Error = pdb::Error>,
        map: &AddressMap,
    ) {
        // A record whose length is wrong hides those behind it; the ones before it stand.
        while let Ok(Some(record)) = records.next() {
            // Other kinds are not even looked at: the crate panics on some constants (0.8.0).
            if !RECORD_KINDS.contains(&record.raw_kind()) {
                continue;
            }
            match record.parse() {
                Ok(SymbolData::Public(s)) => {
                    self.push(map, s.name, s.offset, 0, PdbSymbolKind::Public, None);
                }
                Ok(SymbolData::Procedure(s)) => {
                    self.push(map, s.name, s.offset, s.len, PdbSymbolKind::Procedure, None);
                }
                Ok(SymbolData::Data(s)) => {
                    let ty = Some(TypeIndex(s.type_index.0));
                    self.push(map, s.name, s.offset, 0, PdbSymbolKind::Data, ty);
                }
                Ok(SymbolData::UserDefinedType(s)) => self.type_names.push(PdbTypeName {
                    name: printable(s.name.as_bytes()),
                    ty: TypeIndex(s.type_index.0),
                }),
                _ => {}
            }
        }
    }

    fn push(
        &mut self,
        map: &AddressMap,
        name: RawString<'_>,
        at: PdbInternalSectionOffset,
        length: u32,
        kind: PdbSymbolKind,
        ty: Option<TypeIndex>,
    ) {
        if let Some(rva) = map.rva(at.section, at.offset)
            && !name.is_empty()
        {
            self.symbols.push(PdbSymbol {
                name: printable(name.as_bytes()),
                rva,
                length,
                kind,
                ty,
            });
        }
    }
}
