//! Reading data directories by RVA, in an image nobody has checked.

use super::error::ImageError;
use super::pe::PeImage;
use crate::address::Rva;

/// The longest name accepted, in bytes: what Microsoft's compiler makes at most.
pub(crate) const NAME_LIMIT: usize = 4096;

/// Reads one directory of an image: every failure names the image, the directory and the RVA.
pub(crate) struct DirectoryReader<'a> {
    image: &'a PeImage,
    directory: &'static str,
    /// Bytes of names still allowed. Names in a file do not overlap, so together they cannot be
    /// longer than the file; without this bound a small file could name one long string often.
    names_left: usize,
}

impl<'a> DirectoryReader<'a> {
    pub(crate) fn new(image: &'a PeImage, directory: &'static str) -> DirectoryReader<'a> {
        DirectoryReader {
            image,
            directory,
            names_left: image.file_size(),
        }
    }

    pub(crate) fn broken(&self, rva: u32, reason: &'static str) -> ImageError {
        ImageError::BadDirectory {
            image: self.image.name().to_owned(),
            directory: self.directory,
            rva: Rva(rva),
            reason,
        }
    }

    fn array<const N: usize>(&self, rva: u32) -> Result<[u8; N], ImageError> {
        let mut bytes = [0; N];
        if self.image.copy_at(Rva(rva), &mut bytes) {
            Ok(bytes)
        } else {
            Err(self.broken(rva, "it reaches outside the image's sections"))
        }
    }

    pub(crate) fn u16(&self, rva: u32) -> Result<u16, ImageError> {
        self.array(rva).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&self, rva: u32) -> Result<u32, ImageError> {
        self.array(rva).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&self, rva: u32) -> Result<u64, ImageError> {
        self.array(rva).map(u64::from_le_bytes)
    }

    /// `rva + index * size`, inside 32 bits.
    pub(crate) fn element(&self, rva: u32, index: u32, size: u32) -> Result<u32, ImageError> {
        let place = index
            .checked_mul(size)
            .and_then(|offset| rva.checked_add(offset));
        place.ok_or_else(|| self.broken(rva, "a table reaches behind 4 GiB"))
    }

    /// The bytes of a zero-terminated name.
    pub(crate) fn name(&mut self, rva: u32) -> Result<&'a [u8], ImageError> {
        let name = self.image.string_at(Rva(rva), NAME_LIMIT).ok_or_else(|| {
            self.broken(
                rva,
                "no zero-terminated name of at most 4096 bytes is there",
            )
        })?;
        self.names_left = self
            .names_left
            .checked_sub(name.len())
            .ok_or_else(|| self.broken(rva, "the names together are longer than the file"))?;
        Ok(name)
    }
}
