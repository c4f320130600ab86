//! The modules of a PDB: their symbols, and their source lines.

use super::super::pdb::MODULE_LIMIT;
use super::{LineError, part, u16_at, u32_at};
use pdb::{PDB, StreamIndex};

const DBI_STREAM: StreamIndex = StreamIndex(3);
const DBI_HEADER_SIZE: usize = 64;
/// Where the header of the debug information has the size of the module list.
const MODULE_LIST_SIZE: usize = 24;
/// A module's fields in front of its two names (`ModInfo` of "The PDB DBI (Debug Info) Stream").
const MODULE_SIZE: usize = 64;
const MODULE_STREAM: usize = 34;
const SYMBOLS_SIZE: usize = 36;
const C11_SIZE: usize = 40;
const C13_SIZE: usize = 44;

/// Where a module's records are.
struct Place {
    stream: u16,
    symbols: u32,
    /// In front of the C13 records: the symbols, and lines in the format of older compilers.
    start: usize,
    length: u32,
}

/// The records of all modules, as they are in the file.
#[derive(Default)]
pub(in crate::image) struct ModuleRecords {
    /// The C13 records of each module that has some, with the module's number in the PDB.
    pub lines: Vec<(usize, Vec<u8>)>,
    /// The symbols of each module that has some, each with its signature in front.
    pub symbols: Vec<Vec<u8>>,
}

/// Reads them.
pub(in crate::image) fn read<'a, S: pdb::Source<'a> + 'a>(
    pdb: &mut PDB<'a, S>,
) -> Result<ModuleRecords, LineError> {
    let broken = |reason: String| LineError::NoStream {
        what: "the list of modules",
        reason,
    };
    let stream = pdb.raw_stream(DBI_STREAM);
    let stream = stream.map_err(|error| broken(error.to_string()))?;
    let stream = stream.ok_or_else(|| broken("there is no such stream".to_owned()))?;
    let bytes = stream.as_slice();
    let list = u32_at(bytes, MODULE_LIST_SIZE).and_then(|size| part(bytes, DBI_HEADER_SIZE, size));
    let list = list.ok_or_else(|| broken("it is longer than its stream".to_owned()))?;
    let mut modules = ModuleRecords::default();
    for (number, place) in places(list).enumerate().take(MODULE_LIMIT) {
        if place.length == 0 && place.symbols == 0 {
            continue;
        }
        // A module whose stream is not there has no records; the others have theirs.
        let Ok(Some(stream)) = pdb.raw_stream(StreamIndex(place.stream)) else {
            continue;
        };
        let records = part(stream.as_slice(), place.start, place.length);
        if let Some(records) = records.filter(|records| !records.is_empty()) {
            modules.lines.push((number, records.to_vec()));
        }
        let symbols = part(stream.as_slice(), 0, place.symbols);
        if let Some(symbols) = symbols.filter(|symbols| !symbols.is_empty()) {
            modules.symbols.push(symbols.to_vec());
        }
    }
    Ok(modules)
}

/// The modules up to the end of the list, or to the first that does not fit it.
fn places(list: &[u8]) -> impl Iterator<Item = Place> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let module = list.get(at..)?;
        let names = module.get(MODULE_SIZE..)?;
        let mut ends = (names.iter().enumerate()).filter(|(_, byte)| **byte == 0);
        let length = ends.nth(1)?.0 + 1;
        at += (MODULE_SIZE + length).next_multiple_of(4);
        let sizes = [SYMBOLS_SIZE, C11_SIZE].map(|field| u32_at(module, field));
        let start = u64::from(sizes[0]?) + u64::from(sizes[1]?);
        Some(Place {
            stream: u16_at(module, MODULE_STREAM)?,
            symbols: sizes[0]?,
            start: usize::try_from(start).ok()?,
            length: u32_at(module, C13_SIZE)?,
        })
    })
}
