//! Base relocations (`IMAGE_BASE_RELOCATION`): the places that hold absolute addresses.

use super::directories::DirectoryReader;
use super::error::ImageError;
use super::pe::PeImage;
use crate::address::Rva;

const BLOCK_HEADER: u32 = 8;
const TYPE_ABSOLUTE: u16 = 0;
const TYPE_DIR64: u16 = 10;

impl PeImage {
    /// The places of all 64-bit absolute addresses in the image (`IMAGE_REL_BASED_DIR64`), in the
    /// directory's order. Padding (`ABSOLUTE`) is left out.
    ///
    /// # Errors
    /// The directory is broken, a place is outside the image, or a type is one x64 does not use.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{DATA, PeBuilder};
    /// let mut builder = PeBuilder::new(0x10000);
    /// let data = builder.section(".data", DATA, vec![0; 16], 16);
    /// builder.relocation(data + 8);
    /// let image = PeImage::parse("a.sys", builder.build())?;
    /// assert_eq!(image.relocations()?, [Rva(0x1008)]);
    /// # Ok::<(), poolhit::image::ImageError>(())
    /// ```
    pub fn relocations(&self) -> Result<Vec<Rva>, ImageError> {
        let directory = self.headers().relocations;
        let reader = DirectoryReader::new(self, "base relocation directory");
        let mut places = Vec::new();
        let mut at = directory.rva;
        let end = reader.element(directory.rva, directory.size, 1)?;
        // Entries are in the file, so there are no more of them than the file has bytes. A
        // directory may claim a section's zeros too, and those end it.
        while at != 0 && end - at >= BLOCK_HEADER {
            let (page, size) = (reader.u32(at)?, reader.u32(reader.element(at, 4, 1)?)?);
            if size == 0 {
                break;
            }
            if size < BLOCK_HEADER || size > end - at || !size.is_multiple_of(2) {
                return Err(reader.broken(at, "a block's size does not fit"));
            }
            let entries = self.bytes_at(Rva(at + BLOCK_HEADER), (size - BLOCK_HEADER) as usize);
            let entries = entries.ok_or_else(|| reader.broken(at, "a block is not in the file"))?;
            for entry in entries.chunks_exact(2) {
                let entry = u16::from_le_bytes([entry[0], entry[1]]);
                let place = u64::from(page) + u64::from(entry & 0xfff);
                match entry >> 12 {
                    TYPE_ABSOLUTE => {}
                    TYPE_DIR64 if place + 8 <= u64::from(self.size_of_image()) => {
                        places.push(Rva(place as u32));
                    }
                    TYPE_DIR64 => {
                        return Err(reader.broken(at, "a place to relocate is outside the image"));
                    }
                    kind => {
                        return Err(ImageError::UnknownRelocation {
                            image: self.name().to_owned(),
                            rva: Rva(place as u32),
                            kind: kind as u8,
                        });
                    }
                }
            }
            at += size;
        }
        Ok(places)
    }
}
