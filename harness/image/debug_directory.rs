//! The debug directory (`IMAGE_DEBUG_DIRECTORY`) and the PDB it names (CodeView `RSDS`).

use super::pe::PeImage;
use super::text::printable;
use crate::address::Rva;

const ENTRY_SIZE: u32 = 28;
/// The most entries looked at; linkers write fewer than ten.
const ENTRY_LIMIT: u32 = 64;
const TYPE_CODEVIEW: u32 = 2;
const TYPE_REPRODUCIBLE: u32 = 16;
const RECORD_HEADER: usize = 24;
/// The longest PDB name read, in bytes.
const FILE_NAME_LIMIT: usize = 1024;

/// Which PDB an image was linked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdbReference {
    /// The PDB's name as the linker wrote it: often a whole path of the build machine.
    pub file_name: String,
    /// The PDB's GUID, in the byte order of the file.
    pub guid: [u8; 16],
    /// The PDB's age.
    pub age: u32,
}

impl PdbReference {
    /// The name without its folders, whichever system they are of.
    ///
    /// ```
    /// use poolhit::image::debug_directory::PdbReference;
    /// let file_name = r"d:\build\ntkrnlmp.pdb".to_owned();
    /// let pdb = PdbReference { file_name, guid: [0; 16], age: 1 };
    /// assert_eq!(pdb.base_name(), "ntkrnlmp.pdb");
    /// ```
    pub fn base_name(&self) -> &str {
        self.file_name
            .rsplit(['\\', '/'])
            .next()
            .unwrap_or_default()
    }
}

/// The first readable CodeView entry.
pub(crate) fn read(image: &PeImage) -> Option<PdbReference> {
    entries(image).find_map(|entry| read_entry(image, &entry))
}

fn entries(image: &PeImage) -> impl Iterator<Item = [u8; ENTRY_SIZE as usize]> {
    let directory = image.headers().debug;
    let count = (directory.size / ENTRY_SIZE).min(ENTRY_LIMIT);
    (0..count).filter_map(move |i| {
        let at = directory.rva.checked_add(i * ENTRY_SIZE)?;
        let mut entry = [0; ENTRY_SIZE as usize];
        image.copy_at(Rva(at), &mut entry).then_some(entry)
    })
}

impl PeImage {
    /// Whether the image was linked so that the same sources give the same bytes (`/Brepro`): its time
    /// stamp is a hash then (`IMAGE_DEBUG_TYPE_REPRO`).
    ///
    /// ```
    /// use poolhit::guest::GuestImages;
    /// assert!(GuestImages::built_in().driver.image.is_reproducible());
    /// ```
    pub fn is_reproducible(&self) -> bool {
        entries(self).any(|entry| entry[12..16] == TYPE_REPRODUCIBLE.to_le_bytes())
    }
}

fn read_entry(image: &PeImage, entry: &[u8; ENTRY_SIZE as usize]) -> Option<PdbReference> {
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| entry[at + i]));
    if word(12) != TYPE_CODEVIEW {
        return None;
    }
    let (size, pointer) = (word(16) as usize, word(24) as usize);
    // Debug data need not be mapped, so only the file offset is sure to be there.
    let record = image
        .file_bytes()
        .get(pointer..pointer.checked_add(size)?)?;
    if !record.starts_with(b"RSDS") || record.len() < RECORD_HEADER {
        return None;
    }
    let name = record[RECORD_HEADER..].split(|&byte| byte == 0).next()?;
    Some(PdbReference {
        file_name: printable(name.get(..FILE_NAME_LIMIT).unwrap_or(name)),
        guid: record[4..20].try_into().ok()?,
        age: u32::from_le_bytes(record[20..24].try_into().ok()?),
    })
}
