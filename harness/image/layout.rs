//! An image as a loader maps it.

use super::error::ImageError;
use super::pe::PeImage;
use crate::address::Va;

const PAGE: u64 = 0x1000;

impl PeImage {
    /// The image's memory at `base`: headers and sections in their places, zeros elsewhere, base
    /// relocations applied, and `ImageBase` in the mapped header set to `base`. Imports are not
    /// bound; see [`super::binding::bind_imports`].
    ///
    /// # Errors
    /// `base` is no multiple of 4 KiB or the image does not fit behind it; the image has to be at
    /// its preferred base (`IMAGE_FILE_RELOCS_STRIPPED`); its relocations are broken. Relocations
    /// are only read when the base is not the preferred one.
    ///
    /// ```
    /// # use poolhit::{address::Va, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{DATA, PeBuilder};
    /// let mut builder = PeBuilder::new(0x1_4000_0000);
    /// builder.section(".data", DATA, 0x1_4000_1000_u64.to_le_bytes().to_vec(), 8);
    /// builder.relocation(0x1000);
    /// let image = PeImage::parse("a.sys", builder.build())?;
    /// let mapped = image.layout(Va(0xfffff880_0496d000))?;
    /// assert_eq!(mapped[0x1000..0x1008], 0xfffff880_0496e000_u64.to_le_bytes());
    /// # Ok::<(), poolhit::image::ImageError>(())
    /// ```
    pub fn layout(&self, base: Va) -> Result<Vec<u8>, ImageError> {
        let headers = self.headers();
        let bad_base = |reason| {
            let image = self.name().to_owned();
            Err(ImageError::BadBase {
                image,
                base,
                reason,
            })
        };
        if !base.0.is_multiple_of(PAGE) {
            return bad_base("it is no multiple of 4 KiB");
        }
        let last = base
            .0
            .checked_add(u64::from(headers.size_of_image).max(1) - 1);
        let Some(last) = last else {
            return bad_base("the image would reach behind the end of memory");
        };
        if !base.is_canonical() || !Va(last).is_canonical() || (base.0 ^ last) >> 63 != 0 {
            return bad_base("addresses there are not canonical");
        }
        let difference = base - headers.preferred_base;
        if difference != 0 && headers.relocations_stripped {
            return Err(ImageError::NotRelocatable {
                image: self.name().to_owned(),
                base,
                preferred: headers.preferred_base,
            });
        }
        let relocations = if difference == 0 {
            Vec::new()
        } else {
            self.relocations()?
        };
        // Not more than IMAGE_SIZE_LIMIT, which parsing made sure of.
        let mut mapped = vec![0; headers.size_of_image as usize];
        let file = self.file_bytes();
        let header_size = headers.size_of_headers as usize;
        mapped[..header_size].copy_from_slice(&file[..header_size]);
        for section in self.sections() {
            let raw = &file[section.raw.clone()];
            let start = section.rva.0 as usize;
            mapped[start..start + raw.len()].copy_from_slice(raw);
        }
        for place in relocations {
            let slot = &mut mapped[place.0 as usize..place.0 as usize + 8];
            let value = u64::from_le_bytes(slot.try_into().expect("eight bytes"));
            slot.copy_from_slice(&value.wrapping_add(difference).to_le_bytes());
        }
        mapped[headers.image_base_field.clone()].copy_from_slice(&base.0.to_le_bytes());
        Ok(mapped)
    }
}
