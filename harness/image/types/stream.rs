//! The type stream: where its records are.

use super::error::TypeError;
use super::record::TypeRecord;
use std::fmt;

/// The header's size in bytes as of today; a later one may be longer.
const HEADER_SIZE: usize = 56;
/// The first index that a record can have; those below it are basic types.
const FIRST_RECORD: u32 = 0x1000;

/// The number by which records refer to types. Below 0x1000 it is a basic type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeIndex(pub u32);

impl TypeIndex {
    /// `unsigned int` (`T_UINT4`).
    pub const BASIC_U32: u32 = 0x75;

    /// Whether it is a basic type, or a pointer to one, that no record describes.
    ///
    /// ```
    /// use poolhit::image::types::TypeIndex;
    /// assert!(TypeIndex(0x75).is_basic());
    /// ```
    pub fn is_basic(self) -> bool {
        self.0 < FIRST_RECORD
    }
}

impl fmt::Display for TypeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// The types of a PDB, unparsed: every record's place is known, its contents are looked at when
/// they are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct TypeStream {
    bytes: Vec<u8>,
    first: u32,
    /// Where each record's kind is in `bytes`.
    places: Vec<u32>,
}

impl fmt::Debug for TypeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeStream({} records)", self.places.len())
    }
}

impl TypeStream {
    /// Finds the records of a type stream from untrusted bytes.
    ///
    /// # Errors
    /// The header is broken, or a record's length does not fit.
    ///
    /// ```
    /// use poolhit::image::types::{TypeError, TypeStream};
    /// use poolhit_fixtures::type_builder::TypeBuilder;
    /// assert!(TypeStream::parse(TypeBuilder::new().build())?.is_empty());
    /// assert!(matches!(TypeStream::parse(vec![1, 2]), Err(TypeError::BadHeader { .. })));
    /// # Ok::<(), TypeError>(())
    /// ```
    pub fn parse(bytes: Vec<u8>) -> Result<TypeStream, TypeError> {
        let bad = |field, value| TypeError::BadHeader { field, value };
        let Some(header) = bytes.get(..HEADER_SIZE) else {
            return Err(bad("the stream's length", bytes.len() as u64));
        };
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let (start, first, size) = (word(4), word(8), word(16));
        if (start as usize) < HEADER_SIZE {
            return Err(bad("HeaderSize", start.into()));
        }
        if first < FIRST_RECORD {
            return Err(bad("TypeIndexBegin", first.into()));
        }
        let end = u64::from(start) + u64::from(size);
        // Places are kept in 32 bits.
        if end > (bytes.len() as u64).min(u32::MAX.into()) {
            return Err(bad("TypeRecordBytes", size.into()));
        }
        let mut places = Vec::new();
        let mut at = start as usize;
        while at < end as usize {
            let length = match bytes[at..end as usize] {
                [low, high, ..] => u16::from_le_bytes([low, high]),
                _ => 0,
            };
            if length < 2 || at + 2 + usize::from(length) > end as usize {
                let at = at as u64;
                return Err(TypeError::BadLength { at, length });
            }
            places.push(at as u32 + 2);
            at += 2 + usize::from(length);
        }
        if places.len() as u64 > u64::from(u32::MAX - first) {
            return Err(bad("TypeIndexBegin", first.into()));
        }
        Ok(TypeStream {
            bytes,
            first,
            places,
        })
    }

    /// How many records there are.
    ///
    /// ```
    /// # use poolhit::image::types::TypeStream;
    /// # use poolhit_fixtures::type_builder::TypeBuilder;
    /// let mut types = TypeBuilder::new();
    /// types.pointer(0x75);
    /// assert_eq!(TypeStream::parse(types.build()).unwrap().len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use poolhit::image::types::TypeStream;
    /// # use poolhit_fixtures::type_builder::TypeBuilder;
    /// assert!(TypeStream::parse(TypeBuilder::new().build()).unwrap().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The records' indices, ascending.
    ///
    /// ```
    /// # use poolhit::image::types::{TypeIndex, TypeStream};
    /// # use poolhit_fixtures::type_builder::TypeBuilder;
    /// let mut types = TypeBuilder::new();
    /// types.pointer(0x75);
    /// let stream = TypeStream::parse(types.build()).unwrap();
    /// assert!(stream.indices().eq([TypeIndex(0x1000)]));
    /// ```
    pub fn indices(&self) -> impl Iterator<Item = TypeIndex> + use<> {
        (self.first..self.first + self.places.len() as u32).map(TypeIndex)
    }

    /// A record's kind (`LF_…`) and what follows it.
    fn raw(&self, index: TypeIndex) -> Option<(u16, &[u8])> {
        let place = index.0.checked_sub(self.first)? as usize;
        let at = *self.places.get(place)? as usize;
        let length = u16::from_le_bytes([self.bytes[at - 2], self.bytes[at - 1]]);
        let record = &self.bytes[at..at + usize::from(length)];
        Some((u16::from_le_bytes([record[0], record[1]]), &record[2..]))
    }

    /// A record's kind (`LF_…`).
    ///
    /// ```
    /// # use poolhit::image::types::{TypeIndex, TypeStream};
    /// # use poolhit_fixtures::type_builder::TypeBuilder;
    /// let mut types = TypeBuilder::new();
    /// let pointer = types.pointer(0x75);
    /// let stream = TypeStream::parse(types.build()).unwrap();
    /// assert_eq!(stream.kind(TypeIndex(pointer)), Some(0x1002));
    /// ```
    pub fn kind(&self, index: TypeIndex) -> Option<u16> {
        self.raw(index).map(|(kind, _)| kind)
    }

    /// A record, parsed.
    ///
    /// # Errors
    /// There is no such record, or it breaks off, or a number in it is of an unknown form.
    ///
    /// ```
    /// # use poolhit::image::types::{TypeIndex, TypeRecord, TypeStream};
    /// # use poolhit_fixtures::type_builder::TypeBuilder;
    /// let mut types = TypeBuilder::new();
    /// let pointer = types.pointer(0x75);
    /// let stream = TypeStream::parse(types.build())?;
    /// let expected = TypeRecord::Pointer { target: TypeIndex(0x75), size: 8 };
    /// assert_eq!(stream.record(TypeIndex(pointer))?, expected);
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn record(&self, index: TypeIndex) -> Result<TypeRecord<'_>, TypeError> {
        let (kind, bytes) = self.raw(index).ok_or(TypeError::NoRecord(index))?;
        TypeRecord::parse(index, kind, bytes)
    }
}
