//! Reading a record's bytes from left to right.

use super::error::TypeError;
use super::stream::TypeIndex;

/// The numbers' forms (`LF_CHAR` … `LF_UQUADWORD`).
const LF_CHAR: u16 = 0x8000;
const LF_SHORT: u16 = 0x8001;
const LF_USHORT: u16 = 0x8002;
const LF_LONG: u16 = 0x8003;
const LF_ULONG: u16 = 0x8004;
const LF_QUADWORD: u16 = 0x8009;
const LF_UQUADWORD: u16 = 0x800a;

/// What is left of a record.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    index: TypeIndex,
    kind: u16,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], index: TypeIndex, kind: u16) -> Reader<'a> {
        Reader { bytes, index, kind }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[cfg(test)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], TypeError> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or(self.truncated())?;
        self.bytes = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, TypeError> {
        self.take::<1>().map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, TypeError> {
        self.take().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, TypeError> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn type_index(&mut self) -> Result<TypeIndex, TypeError> {
        self.u32().map(TypeIndex)
    }

    /// A number of any form; a negative one in two's complement.
    pub(super) fn number(&mut self) -> Result<u64, TypeError> {
        let leaf = self.u16()?;
        Ok(match leaf {
            0..LF_CHAR => u64::from(leaf),
            LF_CHAR => i64::from(i8::from_le_bytes(self.take()?)) as u64,
            LF_SHORT => i64::from(i16::from_le_bytes(self.take()?)) as u64,
            LF_USHORT => u64::from(self.u16()?),
            LF_LONG => i64::from(i32::from_le_bytes(self.take()?)) as u64,
            LF_ULONG => u64::from(self.u32()?),
            LF_QUADWORD | LF_UQUADWORD => u64::from_le_bytes(self.take()?),
            _ => {
                return Err(TypeError::UnknownNumber {
                    index: self.index,
                    leaf,
                });
            }
        })
    }

    /// A name that ends in NUL.
    pub(super) fn name(&mut self) -> Result<&'a [u8], TypeError> {
        let end = self.bytes.iter().position(|byte| *byte == 0);
        let end = end.ok_or(self.truncated())?;
        let name = &self.bytes[..end];
        self.bytes = &self.bytes[end + 1..];
        Ok(name)
    }

    /// Skips what aligns the next member: `LF_PAD1` … `LF_PAD15`.
    pub(super) fn skip_padding(&mut self) {
        while let Some(0xf0..=0xff) = self.bytes.first() {
            self.bytes = &self.bytes[1..];
        }
    }

    pub(super) fn truncated(&self) -> TypeError {
        TypeError::Truncated {
            index: self.index,
            kind: self.kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> Result<u64, TypeError> {
        Reader::new(bytes, TypeIndex(0x1000), 0x1203).number()
    }

    #[test]
    fn numbers_of_all_forms() {
        for (bytes, value) in [
            (&[0x34, 0x12][..], 0x1234),
            (&[0x00, 0x80, 0xff], u64::MAX),
            (&[0x01, 0x80, 0xfe, 0xff], u64::MAX - 1),
            (&[0x02, 0x80, 0xfe, 0xff], 0xfffe),
            (&[0x03, 0x80, 0, 0, 0, 0x80], 0xffff_ffff_8000_0000),
            (&[0x04, 0x80, 0, 0, 0, 0x80], 0x8000_0000),
            (&[0x0a, 0x80, 1, 0, 0, 0, 0, 0, 0, 0x80], 1 << 63 | 1),
        ] {
            assert_eq!(number(bytes), Ok(value), "{bytes:x?}");
            assert!(number(&bytes[..bytes.len() - 1]).is_err(), "{bytes:x?}");
        }
        for leaf in (0x8005..=0x8008).chain(0x800b..=0xffff_u16) {
            let bytes = [&leaf.to_le_bytes()[..], &[0; 32]].concat();
            let index = TypeIndex(0x1000);
            assert_eq!(
                number(&bytes),
                Err(TypeError::UnknownNumber { index, leaf })
            );
        }
    }

    #[test]
    fn names_end() {
        let mut reader = Reader::new(b"ab\0\xf2\xf1c", TypeIndex(0x1000), 0x1203);
        assert_eq!(reader.name(), Ok(&b"ab"[..]));
        reader.skip_padding();
        assert_eq!(reader.rest(), b"c");
        assert!(reader.name().is_err());
    }
}
