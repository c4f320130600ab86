//! From a PDB's section offsets to RVAs.
//!
//! The `pdb` crate can do it too, but adds without looking at the carry and panics on a hostile
//! file (0.8.0, `omap.rs`), as its reader of the debug header does (`dbi.rs`).

use super::pdb::PdbError;
use crate::address::Rva;
use pdb::{PDB, StreamIndex};

const DBI_STREAM: StreamIndex = StreamIndex(3);
const DBI_HEADER_SIZE: usize = 64;
/// Where the DBI header has the sizes of its substreams: modules, contributions, section map,
/// files, type servers, then (behind the MFC index) the debug header and the EC names.
const SUBSTREAM_SIZES: [usize; 6] = [24, 28, 32, 36, 40, 52];
const DEBUG_HEADER_SIZE: usize = 48;
const SECTION_HEADER_SIZE: usize = 40;
const OMAP_FROM_SOURCE: usize = 4;
const SECTION_HEADERS: usize = 5;
const ORIGINAL_SECTION_HEADERS: usize = 10;

/// Where the sections are, and where Microsoft's post-link optimiser moved their parts to.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct AddressMap {
    sections: Vec<u32>,
    /// Source and target RVA, ascending by source; a target of 0 is code that was dropped.
    omap: Option<Vec<(u32, u32)>>,
}

impl AddressMap {
    /// Reads section headers and OMAP. Also makes sure that the sizes in the debug information's
    /// header fit its stream, which the `pdb` crate takes for granted.
    pub(crate) fn read<'a, S: pdb::Source<'a> + 'a>(
        pdb: &mut PDB<'a, S>,
    ) -> Result<AddressMap, PdbError> {
        let stream = pdb
            .raw_stream(DBI_STREAM)?
            .ok_or(PdbError::NoDebugInformation)?;
        let bytes = stream.as_slice();
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .map(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        };
        let before: Option<u64> = SUBSTREAM_SIZES.iter().map(|&at| word(at)).sum();
        let size = word(DEBUG_HEADER_SIZE);
        let (Some(before), Some(size)) = (before, size) else {
            return Err(PdbError::NoDebugInformation);
        };
        let start = before + DBI_HEADER_SIZE as u64;
        let end = start + size;
        if end > bytes.len() as u64 {
            return Err(PdbError::Substreams {
                size: end,
                stream: bytes.len() as u64,
            });
        }
        let indices = &bytes[start as usize..end as usize];
        let mut open = |entry: usize| -> Result<Option<Vec<u8>>, PdbError> {
            let index = indices.get(2 * entry..2 * entry + 2);
            let index = index.map_or(u16::MAX, |b| u16::from_le_bytes([b[0], b[1]]));
            Ok(pdb
                .raw_stream(StreamIndex(index))?
                .map(|stream| stream.as_slice().to_vec()))
        };
        // A PDB with original section headers is one of a reordered image.
        let original = open(ORIGINAL_SECTION_HEADERS)?;
        let omap = match original {
            Some(_) => Some(omap(&open(OMAP_FROM_SOURCE)?.ok_or(PdbError::NoOmap)?)),
            None => None,
        };
        let headers = match original {
            Some(headers) => headers,
            None => open(SECTION_HEADERS)?.ok_or(PdbError::NoSections)?,
        };
        let rva = |header: &[u8]| u32::from_le_bytes(std::array::from_fn(|i| header[12 + i]));
        let sections = headers.chunks_exact(SECTION_HEADER_SIZE).map(rva).collect();
        Ok(AddressMap { sections, omap })
    }

    /// The RVA of an offset into a section (sections count from 1); `None` if there is no such
    /// section, the sum does not fit, or the code was dropped.
    pub(crate) fn rva(&self, section: u16, offset: u32) -> Option<Rva> {
        let section = usize::from(section).checked_sub(1)?;
        let rva = self.sections.get(section)?.checked_add(offset)?;
        let Some(omap) = &self.omap else {
            return Some(Rva(rva));
        };
        let after = omap.partition_point(|record| record.0 <= rva);
        let (source, target) = *omap[..after].last()?;
        if target == 0 {
            None
        } else {
            target.checked_add(rva - source).map(Rva)
        }
    }
}

fn omap(bytes: &[u8]) -> Vec<(u32, u32)> {
    let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let mut records: Vec<_> = bytes
        .chunks_exact(8)
        .map(|record| (word(&record[..4]), word(&record[4..])))
        .collect();
    records.sort_unstable();
    records
}
