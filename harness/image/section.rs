//! The sections of a PE image (`IMAGE_SECTION_HEADER`).

use super::error::ImageError;
use super::headers::Headers;
use super::text::printable;
use crate::address::Rva;
use std::ops::Range;

/// The most sections accepted: the limit of Windows' own loader (PE format, "COFF File Header").
pub const SECTION_COUNT_LIMIT: usize = 96;

const HEADER_SIZE: usize = 40;
const PAGE: u32 = 0x1000;
const DISCARDABLE: u32 = 0x0200_0000;
const EXECUTABLE: u32 = 0x2000_0000;
const READABLE: u32 = 0x4000_0000;
const WRITABLE: u32 = 0x8000_0000;

/// One section: where it is in the image and in the file, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, of eight bytes at most.
    pub name: String,
    /// Its first byte.
    pub rva: Rva,
    /// Its size in memory, in bytes. `VirtualSize`, or `SizeOfRawData` where that is 0, as the
    /// loader has it.
    pub virtual_size: u32,
    /// The file's bytes that a loader maps, from the section's start on; zeros follow. A loader
    /// maps whole pages, so these may reach behind `virtual_size`.
    pub raw: Range<usize>,
    /// `IMAGE_SCN_MEM_READ`.
    pub readable: bool,
    /// `IMAGE_SCN_MEM_WRITE`.
    pub writable: bool,
    /// `IMAGE_SCN_MEM_EXECUTE`.
    pub executable: bool,
    /// `IMAGE_SCN_MEM_DISCARDABLE`: a driver's initialisation code, dropped once it has run.
    pub discardable: bool,
}

impl Section {
    /// Whether `rva` is one of the section's bytes in memory.
    ///
    /// ```
    /// use poolhit::address::Rva;
    /// use poolhit::image::PeImage;
    /// use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// let mut builder = PeBuilder::new(0x10000);
    /// builder.section(".text", CODE, vec![0xc3], 0x10);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// let text = &image.sections()[0];
    /// assert!(text.contains(Rva(0x100f)) && !text.contains(Rva(0x1010)));
    /// ```
    pub fn contains(&self, rva: Rva) -> bool {
        rva.0
            .checked_sub(self.rva.0)
            .is_some_and(|offset| offset < self.virtual_size)
    }

    /// Reads the section table: ascending, without overlap, inside the image and the file.
    pub(crate) fn parse_table(
        image: &str,
        headers: &Headers,
        bytes: &[u8],
    ) -> Result<Vec<Section>, ImageError> {
        let count = headers.section_count;
        if count > SECTION_COUNT_LIMIT {
            return Err(ImageError::OverLimit {
                image: image.to_owned(),
                what: "NumberOfSections",
                value: count as u64,
                limit: SECTION_COUNT_LIMIT as u64,
            });
        }
        let end = headers.section_table + count * HEADER_SIZE;
        let table = bytes.get(headers.section_table..end);
        let table = table
            .filter(|_| end <= headers.size_of_headers as usize)
            .ok_or_else(|| ImageError::BadField {
                image: image.to_owned(),
                field: "NumberOfSections",
                value: count as u64,
                reason: "the section table is not inside the headers",
            })?;
        let mut sections: Vec<Section> = Vec::with_capacity(count);
        for (index, header) in table.chunks_exact(HEADER_SIZE).enumerate() {
            let free_from = sections
                .last()
                .map_or(headers.size_of_headers, |s| s.rva.0 + s.virtual_size);
            let section = Section::parse(headers, header, bytes.len(), free_from);
            sections.push(section.map_err(|reason| ImageError::BadSection {
                image: image.to_owned(),
                index: index + 1,
                section: section_name(header),
                reason,
            })?);
        }
        // Whole pages are mapped, but not over the section that follows (alignment below a page).
        for i in 1..sections.len() {
            let room = (sections[i].rva.0 - sections[i - 1].rva.0) as usize;
            let raw = &mut sections[i - 1].raw;
            raw.end = raw.end.min(raw.start + room);
        }
        Ok(sections)
    }

    fn parse(
        headers: &Headers,
        header: &[u8],
        file_size: usize,
        free_from: u32,
    ) -> Result<Section, &'static str> {
        let [virtual_size, rva, raw_size, raw_pointer] = [8, 12, 16, 20].map(|at| word(header, at));
        let characteristics = word(header, 36);
        let virtual_size = if virtual_size == 0 {
            raw_size
        } else {
            virtual_size
        };
        if !rva.is_multiple_of(headers.section_alignment) {
            return Err("VirtualAddress is no multiple of SectionAlignment");
        }
        if rva < free_from {
            return Err("it overlaps the headers or the section before it");
        }
        let end = rva
            .checked_add(virtual_size)
            .filter(|&end| end <= headers.size_of_image);
        if end.is_none() {
            return Err("it reaches behind SizeOfImage");
        }
        let raw = if raw_size == 0 {
            0..0
        } else {
            let start = raw_pointer as usize;
            let end = start + raw_size as usize;
            if end > file_size {
                return Err("its raw data reaches behind the end of the file");
            }
            let pages = virtual_size
                .next_multiple_of(PAGE)
                .min(headers.size_of_image - rva);
            start..end.min(start + pages as usize)
        };
        Ok(Section {
            name: section_name(header),
            rva: Rva(rva),
            virtual_size,
            raw,
            readable: characteristics & READABLE != 0,
            writable: characteristics & WRITABLE != 0,
            executable: characteristics & EXECUTABLE != 0,
            discardable: characteristics & DISCARDABLE != 0,
        })
    }
}

fn word(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"))
}

fn section_name(header: &[u8]) -> String {
    let name = header[..8]
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default();
    printable(name)
}
