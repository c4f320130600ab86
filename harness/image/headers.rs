//! The headers of a PE image, checked.
//!
//! goblin reads the DOS, COFF and optional headers. Its readers of directories are not used: they
//! allocate what the file asks for, and give up on the whole image where a debugger would go on.

use super::error::ImageError;
use crate::address::{Rva, Va};
use goblin::pe::header::{COFF_MACHINE_X86_64, DosHeader, Header, SIZEOF_COFF_HEADER};
use goblin::pe::optional_header::{MAGIC_64, OptionalHeader};
use std::ops::Range;

/// The largest `SizeOfImage` accepted, in bytes: a mapped image is memory of this size.
pub const IMAGE_SIZE_LIMIT: u32 = 256 << 20;

/// `IMAGE_FILE_RELOCS_STRIPPED`.
const RELOCS_STRIPPED: u16 = 1;
/// Offset of `ImageBase` in the optional header of PE32+.
const IMAGE_BASE_OFFSET: usize = 24;

/// A data directory's place and size, which nothing has checked yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) rva: u32,
    pub(crate) size: u32,
}

/// The fields of the headers that matter.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    pub(crate) preferred_base: Va,
    pub(crate) size_of_image: u32,
    pub(crate) size_of_headers: u32,
    pub(crate) section_alignment: u32,
    pub(crate) entry_point: Rva,
    pub(crate) timestamp: u32,
    pub(crate) checksum: u32,
    pub(crate) dll_characteristics: u16,
    pub(crate) subsystem: u16,
    pub(crate) relocations_stripped: bool,
    pub(crate) exports: Directory,
    pub(crate) imports: Directory,
    pub(crate) exceptions: Directory,
    pub(crate) relocations: Directory,
    pub(crate) debug: Directory,
    pub(crate) load_config: Directory,
    pub(crate) delay_imports: Directory,
    /// Where the file has `ImageBase`.
    pub(crate) image_base_field: Range<usize>,
    /// Where the section table is in the file, and how many entries it has.
    pub(crate) section_table: usize,
    pub(crate) section_count: usize,
}

impl Headers {
    pub(crate) fn parse(image: &str, bytes: &[u8]) -> Result<Headers, ImageError> {
        let not_pe = |reason: String| ImageError::NotPe {
            image: image.to_owned(),
            reason,
        };
        let dos = DosHeader::parse(bytes).map_err(|e| not_pe(e.to_string()))?;
        let pe_offset = dos.pe_pointer as usize;
        let from_pe = bytes
            .get(pe_offset..)
            .ok_or_else(|| not_pe("it is too short".into()))?;
        // Without the DOS part goblin does not look for a Rich header, whose damage is no reason
        // to refuse an image: no loader reads it.
        let header = Header::parse_without_dos(from_pe).map_err(|e| not_pe(e.to_string()))?;
        let coff = header.coff_header;
        let optional = header
            .optional_header
            .ok_or_else(|| not_pe("it has no optional header".into()))?;
        let magic = optional.standard_fields.magic;
        if coff.machine != COFF_MACHINE_X86_64 || magic != MAGIC_64 {
            let machine = coff.machine;
            return Err(ImageError::NotX64 {
                image: image.to_owned(),
                machine,
                magic,
            });
        }
        let optional_offset = pe_offset + 4 + SIZEOF_COFF_HEADER;
        let image_base_at = optional_offset + IMAGE_BASE_OFFSET;
        let windows = &optional.windows_fields;
        let directory = |index| directory(&optional, index);
        let headers = Headers {
            preferred_base: Va(windows.image_base),
            size_of_image: windows.size_of_image,
            size_of_headers: windows.size_of_headers,
            section_alignment: windows.section_alignment,
            entry_point: Rva(optional.standard_fields.address_of_entry_point),
            timestamp: coff.time_date_stamp,
            checksum: windows.check_sum,
            dll_characteristics: windows.dll_characteristics,
            subsystem: windows.subsystem,
            relocations_stripped: coff.characteristics & RELOCS_STRIPPED != 0,
            exports: directory(0),
            imports: directory(1),
            exceptions: directory(3),
            relocations: directory(5),
            debug: directory(6),
            load_config: directory(10),
            delay_imports: directory(13),
            image_base_field: image_base_at..image_base_at + 8,
            section_table: optional_offset + usize::from(coff.size_of_optional_header),
            section_count: usize::from(coff.number_of_sections),
        };
        headers.check(image, bytes.len())?;
        Ok(headers)
    }

    fn check(&self, image: &str, file_size: usize) -> Result<(), ImageError> {
        let bad = |field, value: u32, reason| {
            let image = image.to_owned();
            Err(ImageError::BadField {
                image,
                field,
                value: u64::from(value),
                reason,
            })
        };
        let size = self.size_of_image;
        if size > IMAGE_SIZE_LIMIT {
            return Err(ImageError::OverLimit {
                image: image.to_owned(),
                what: "SizeOfImage",
                value: u64::from(size),
                limit: u64::from(IMAGE_SIZE_LIMIT),
            });
        }
        if !self.section_alignment.is_power_of_two() {
            return bad(
                "SectionAlignment",
                self.section_alignment,
                "it must be a power of two",
            );
        }
        if self.size_of_headers > size {
            return bad(
                "SizeOfHeaders",
                self.size_of_headers,
                "it is more than SizeOfImage",
            );
        }
        if self.size_of_headers as usize > file_size {
            return bad(
                "SizeOfHeaders",
                self.size_of_headers,
                "it is more than the file holds",
            );
        }
        if self.image_base_field.end > self.size_of_headers as usize {
            return bad(
                "SizeOfHeaders",
                self.size_of_headers,
                "the PE header is not inside it",
            );
        }
        if self.entry_point.0 >= size {
            return bad(
                "AddressOfEntryPoint",
                self.entry_point.0,
                "it is outside the image",
            );
        }
        Ok(())
    }
}

fn directory(optional: &OptionalHeader, index: usize) -> Directory {
    let directories = &optional.data_directories.data_directories;
    directories
        .get(index)
        .and_then(Option::as_ref)
        .map_or(Directory::default(), |(_, d)| Directory {
            rva: d.virtual_address,
            size: d.size,
        })
}
