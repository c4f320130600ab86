//! The source lines of a PDB, as its modules (object files) have them.
//!
//! The streams are those that LLVM documents ("The PDB Info (aka PDB) Stream", "The PDB DBI (Debug
//! Info) Stream", "The Module Information Stream"); the records in them are Microsoft's C13 ones,
//! `DEBUG_S_LINES` and `DEBUG_S_FILECHKSMS` of `cvinfo.h`. The `pdb` crate reads them too, but slices
//! without looking at the lengths (0.8.0, `modi/mod.rs`, `pdbi.rs`), so that a hostile file is a panic.

mod error;
pub(super) mod modules;
mod names;
mod program;

pub use error::LineError;

use super::pdb_address::AddressMap;
use super::text::printable;
use crate::address::Rva;
use pdb::PDB;
use program::Program;
use std::fmt;
use std::sync::Arc;

/// The most lines accepted in a PDB.
pub const LINE_LIMIT: usize = 1 << 22;
/// The longest file name that is read, in bytes: a longer one counts as none.
pub const FILE_NAME_LIMIT: usize = 1024;

/// Where the name of a source file is among the PDB's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(pub(super) u32);

/// A piece of code that one line of a source file is compiled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRange {
    /// Its first byte.
    pub start: Rva,
    /// The byte behind it; never before `start`.
    pub end: Rva,
    /// The source file.
    pub file: FileName,
    /// The first line of the statement, from 1.
    pub line: u32,
    /// The first column of the statement, from 1; 0 where the compiler did not say.
    pub column: u16,
}

/// The parts of a PDB that source lines are read from, as they are in the file: nothing of them has
/// been looked at yet.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PdbLines {
    /// The C13 records of each module that has some, with the module's number in the PDB.
    modules: Vec<(usize, Vec<u8>)>,
    /// The PDB's names, each with a zero behind it.
    names: Vec<u8>,
    map: Arc<AddressMap>,
}

impl fmt::Debug for PdbLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PdbLines({} modules)", self.modules.len())
    }
}

impl PdbLines {
    /// Modules' lines, with the names out of their PDB.
    pub(super) fn read<'a, S: pdb::Source<'a> + 'a>(
        pdb: &mut PDB<'a, S>,
        modules: Vec<(usize, Vec<u8>)>,
        map: Arc<AddressMap>,
    ) -> Result<PdbLines, LineError> {
        let names = match modules.is_empty() {
            true => Vec::new(),
            false => names::read(pdb)?,
        };
        Ok(PdbLines {
            modules,
            names,
            map,
        })
    }

    /// All lines of the image, by where their code starts; of several at one place the first in the
    /// PDB. A module whose records are broken has those in front of the broken one, and the first such
    /// error is the second value.
    ///
    /// ```
    /// use poolhit::image::pdb::PdbFile;
    /// use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let pdb = PdbFile::parse(LEAKY_PDB.bytes)?;
    /// let (ranges, error) = pdb.lines().unwrap().ranges();
    /// assert!(ranges.is_sorted_by_key(|range| range.start) && error.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ranges(&self) -> (Vec<LineRange>, Option<LineError>) {
        let mut ranges = Vec::new();
        let mut first_error = None;
        for (module, records) in &self.modules {
            let program = Program {
                module: *module,
                records,
                map: &self.map,
            };
            match program.read(&mut ranges) {
                Ok(()) => {}
                Err(error @ LineError::TooMany) => {
                    first_error = Some(error);
                    break;
                }
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        ranges.sort_by_key(|range| range.start);
        ranges.dedup_by_key(|range| range.start);
        (ranges, first_error)
    }

    /// The path of a source file as the compiler wrote it, fit to be printed.
    ///
    /// ```
    /// use poolhit::image::pdb::PdbFile;
    /// use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let pdb = PdbFile::parse(LEAKY_PDB.bytes)?;
    /// let lines = pdb.lines().unwrap();
    /// let file = lines.ranges().0[0].file;
    /// assert_eq!(lines.file_name(file).as_deref(), Some("/guest/leaky/leaky.c"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn file_name(&self, file: FileName) -> Option<String> {
        let from = self.names.get(file.0 as usize..)?;
        let mut bytes = from.iter().take(FILE_NAME_LIMIT + 1);
        let name = &from[..bytes.position(|byte| *byte == 0)?];
        (!name.is_empty()).then(|| printable(name))
    }
}

/// Numbers at places that need not be there.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// `length` bytes from a place on.
fn part(bytes: &[u8], at: usize, length: u32) -> Option<&[u8]> {
    let length = usize::try_from(length).ok()?;
    bytes.get(at..at.checked_add(length)?)
}
