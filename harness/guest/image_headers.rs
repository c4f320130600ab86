//! An image's headers as they lie in guest memory.

use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};

/// The most sections that are read. Windows loads images of at most 96 (Microsoft, *PE Format*).
pub const SECTION_LIMIT: u16 = 96;
/// How far behind the image's beginning its headers may begin, and how long the optional header may be.
const OFFSET_LIMIT: u32 = 0x1000;
const OPTIONAL_LIMIT: u16 = 0x400;
const FILE_HEADER: usize = 20;
const SECTION_HEADER: usize = 40;

/// Why there are no headers.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// They cannot be read.
    #[error(transparent)]
    Unreadable(#[from] MemoryFault),
    /// There is no image, or one whose headers make no sense.
    #[error("No valid image header found at {0}")]
    NoImage(Va),
}

/// An image's headers (Microsoft, *PE Format*: "COFF File Header", "Optional Header", "Section Table").
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageHeaders {
    /// Where the image lies.
    pub base: Va,
    file: Vec<u8>,
    optional: Vec<u8>,
    /// The section headers, 40 bytes each.
    sections: Vec<Vec<u8>>,
}

impl ImageHeaders {
    /// Reads the headers of the 64-bit image at `base`.
    ///
    /// # Errors
    /// There is no such image, or its headers cannot be read.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va, guest::ImageHeaders};
    /// let lab = Lab::builder().build()?;
    /// let base = Va(0xfffff800_01450000); // the kernel's
    /// let headers = ImageHeaders::read(lab.machine(), base)?;
    /// assert_eq!(headers.file_u16(0), 0x8664);
    /// assert!(ImageHeaders::read(lab.machine(), Va(base.0 + 0x1000)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(memory: &dyn ReadMemory, base: Va) -> Result<ImageHeaders, HeaderError> {
        let bytes = |at: u64, length: usize| -> Result<Vec<u8>, HeaderError> {
            let mut bytes = vec![0; length];
            memory.read(base.wrapping_add(at), &mut bytes)?;
            Ok(bytes)
        };
        if bytes(0, 2)? != *b"MZ" {
            return Err(HeaderError::NoImage(base));
        }
        let offset = le32(&bytes(0x3c, 4)?, 0);
        if offset > OFFSET_LIMIT || bytes(offset.into(), 4)? != *b"PE\0\0" {
            return Err(HeaderError::NoImage(base));
        }
        let at = u64::from(offset) + 4;
        let file = bytes(at, FILE_HEADER)?;
        let (count, length) = (le16(&file, 2), le16(&file, 16));
        if count > SECTION_LIMIT || length > OPTIONAL_LIMIT {
            return Err(HeaderError::NoImage(base));
        }
        let at = at + FILE_HEADER as u64;
        let optional = bytes(at, length.into())?;
        if le16(&optional, 0) != 0x20b {
            return Err(HeaderError::NoImage(base));
        }
        let at = at + u64::from(length);
        let section = |number: u16| {
            bytes(
                at + u64::from(number) * SECTION_HEADER as u64,
                SECTION_HEADER,
            )
        };
        Ok(ImageHeaders {
            base,
            sections: (0..count).map(section).collect::<Result<_, _>>()?,
            file,
            optional,
        })
    }

    /// Two bytes of the file header; 0 behind its end.
    ///
    /// ```
    /// # use poolhit::{Lab, address::Va, guest::ImageHeaders};
    /// # let lab = Lab::builder().build()?;
    /// let headers = ImageHeaders::read(lab.machine(), Va(0xfffff800_01450000))?;
    /// assert_eq!(headers.file_u16(2) as usize, headers.sections().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn file_u16(&self, offset: usize) -> u16 {
        le16(&self.file, offset)
    }

    /// Four bytes of the file header; 0 behind its end. The time stamp is at 4.
    ///
    /// ```
    /// # use poolhit::{Lab, address::Va, guest::ImageHeaders};
    /// # let lab = Lab::builder().build()?;
    /// assert_ne!(ImageHeaders::read(lab.machine(), Va(0xfffff800_01450000))?.file_u32(4), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn file_u32(&self, offset: usize) -> u32 {
        le32(&self.file, offset)
    }

    /// Two bytes of the optional header; 0 behind its end.
    ///
    /// ```
    /// # use poolhit::{Lab, address::Va, guest::ImageHeaders};
    /// # let lab = Lab::builder().build()?;
    /// assert_eq!(ImageHeaders::read(lab.machine(), Va(0xfffff800_01450000))?.optional_u16(0), 0x20b);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn optional_u16(&self, offset: usize) -> u16 {
        le16(&self.optional, offset)
    }

    /// Four bytes of the optional header; 0 behind its end.
    ///
    /// ```
    /// # use poolhit::{Lab, address::Va, guest::ImageHeaders};
    /// # let lab = Lab::builder().build()?;
    /// // SectionAlignment
    /// assert_eq!(ImageHeaders::read(lab.machine(), Va(0xfffff800_01450000))?.optional_u32(32), 0x1000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn optional_u32(&self, offset: usize) -> u32 {
        le32(&self.optional, offset)
    }

    /// Eight bytes of the optional header; 0 behind its end.
    ///
    /// ```
    /// # use poolhit::{Lab, address::Va, guest::ImageHeaders};
    /// # let lab = Lab::builder().build()?;
    /// // SizeOfStackReserve
    /// assert_ne!(ImageHeaders::read(lab.machine(), Va(0xfffff800_01450000))?.optional_u64(72), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn optional_u64(&self, offset: usize) -> u64 {
        let [low, high] =
            [offset, offset.saturating_add(4)].map(|at| u64::from(le32(&self.optional, at)));
        low | high << 32
    }

    /// The section headers, each as its eight-byte name and its nine numbers: sizes, addresses, counts and flags,
    /// in the headers' order.
    ///
    /// ```
    /// # use poolhit::{Lab, address::Va, guest::ImageHeaders};
    /// # let lab = Lab::builder().build()?;
    /// let headers = ImageHeaders::read(lab.machine(), Va(0xfffff800_01450000))?;
    /// assert!(headers.sections().iter().any(|(name, _)| name == ".text"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sections(&self) -> Vec<(String, [u32; 9])> {
        let section = |bytes: &Vec<u8>| {
            let name: String = bytes[..8]
                .iter()
                .take_while(|byte| **byte != 0)
                .map(|byte| match byte {
                    0x21..0x7f => char::from(*byte),
                    _ => '.',
                })
                .collect();
            let [a, b, c, d, e, f] = [8, 12, 16, 20, 24, 28].map(|at| le32(bytes, at));
            let [g, h] = [32, 34].map(|at| u32::from(le16(bytes, at)));
            (name, [a, b, c, d, e, f, g, h, le32(bytes, 36)])
        };
        self.sections.iter().map(section).collect()
    }
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |two| u16::from_le_bytes(*two))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Bytes(Vec<u8>);

    impl ReadMemory for Bytes {
        fn read(&self, address: Va, into: &mut [u8]) -> Result<(), MemoryFault> {
            let at = address.0 as usize;
            for (place, byte) in into.iter_mut().enumerate() {
                *byte = self
                    .0
                    .get(at.wrapping_add(place))
                    .copied()
                    .unwrap_or_default();
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0x100), at in 0x40_u8..0xa0,
        ) {
            bytes[..2].copy_from_slice(b"MZ");
            bytes[0x3c..0x40].copy_from_slice(&u32::from(at).to_le_bytes());
            bytes[at.into()..usize::from(at) + 4].copy_from_slice(b"PE\0\0");
            if let Ok(headers) = ImageHeaders::read(&Bytes(bytes), Va(0)) {
                prop_assert!(headers.sections().len() <= SECTION_LIMIT.into());
                headers.optional_u64(usize::from(OPTIONAL_LIMIT));
            }
        }
    }
}
