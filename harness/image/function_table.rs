//! The function table of an image: which functions need unwind data, and where it is.
//!
//! An x64 image's exception directory (`IMAGE_DIRECTORY_ENTRY_EXCEPTION`, usually the section
//! `.pdata`) is an array of `RUNTIME_FUNCTION` records of 12 bytes, sorted by address (Microsoft,
//! *x64 exception handling*, "struct RUNTIME_FUNCTION"). A function without a record is a leaf: it
//! neither moves the stack pointer nor saves a register.
//!
//! The table is read in place. Nothing of it is trusted: unsorted or overlapping records can make a
//! look-up miss, and that is all they can do.

use crate::address::Rva;

/// The bytes of a loaded image, by offset from its base.
pub trait ImageBytes {
    /// The `length` bytes from `rva` on, if all of them are in the image.
    fn bytes_at(&self, rva: Rva, length: usize) -> Option<&[u8]>;

    /// Where the exception directory starts and its size in bytes, as the image's header says;
    /// `None` if it has none.
    fn exception_directory(&self) -> Option<(Rva, u32)>;
}

/// An image's bytes as they lie in memory: the byte at index `n` is the one at RVA `n`.
#[derive(Clone, Copy, Debug)]
pub struct MappedImage<'a> {
    /// The bytes from the image's base on.
    pub bytes: &'a [u8],
    /// Where the exception directory starts, and its size in bytes.
    pub exception_directory: Option<(Rva, u32)>,
}

impl ImageBytes for MappedImage<'_> {
    fn bytes_at(&self, rva: Rva, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(rva.0).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }

    fn exception_directory(&self) -> Option<(Rva, u32)> {
        self.exception_directory
    }
}

/// One record of the function table (`RUNTIME_FUNCTION`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuntimeFunction {
    /// The first byte of the function, or of the part of it that the record describes.
    pub begin: Rva,
    /// The byte behind it.
    pub end: Rva,
    /// Where its `UNWIND_INFO` is; with bit 0 set, where another `RUNTIME_FUNCTION` is (see
    /// [`RuntimeFunction::indirect`]).
    pub unwind_info: Rva,
}

impl RuntimeFunction {
    /// The size of a record, in bytes.
    pub const SIZE: usize = 12;

    /// Reads a record from the start of `bytes`, if they are enough.
    ///
    /// ```
    /// use poolhit::{address::Rva, image::function_table::RuntimeFunction};
    /// let bytes = [0, 0x10, 0, 0, 0x20, 0x10, 0, 0, 0, 0x30, 0, 0];
    /// let function = RuntimeFunction::parse(&bytes).unwrap();
    /// assert_eq!((function.begin, function.end), (Rva(0x1000), Rva(0x1020)));
    /// assert_eq!(function.unwind_info, Rva(0x3000));
    /// assert_eq!(RuntimeFunction::parse(&bytes[1..]), None);
    /// ```
    pub fn parse(bytes: &[u8]) -> Option<RuntimeFunction> {
        let (record, _) = bytes.split_first_chunk::<{ RuntimeFunction::SIZE }>()?;
        let [b0, b1, b2, b3, e0, e1, e2, e3, u0, u1, u2, u3] = *record;
        Some(RuntimeFunction {
            begin: Rva(u32::from_le_bytes([b0, b1, b2, b3])),
            end: Rva(u32::from_le_bytes([e0, e1, e2, e3])),
            unwind_info: Rva(u32::from_le_bytes([u0, u1, u2, u3])),
        })
    }

    /// Whether `rva` lies between `begin` and `end`.
    ///
    /// ```
    /// use poolhit::{address::Rva, image::function_table::RuntimeFunction};
    /// let function =
    ///     RuntimeFunction { begin: Rva(0x10), end: Rva(0x20), unwind_info: Rva(0x40) };
    /// assert!(function.contains(Rva(0x10)) && !function.contains(Rva(0x20)));
    /// ```
    pub fn contains(&self, rva: Rva) -> bool {
        self.begin <= rva && rva < self.end
    }

    /// Where the record is that stands for this one, if this one only points to it
    /// (`RUNTIME_FUNCTION_INDIRECT`, bit 0 of `UnwindData` in `winnt.h`).
    ///
    /// ```
    /// use poolhit::{address::Rva, image::function_table::RuntimeFunction};
    /// let function = RuntimeFunction { begin: Rva(0), end: Rva(1), unwind_info: Rva(0x41) };
    /// assert_eq!(function.indirect(), Some(Rva(0x40)));
    /// ```
    pub fn indirect(&self) -> Option<Rva> {
        (self.unwind_info.0 & 1 != 0).then_some(Rva(self.unwind_info.0 & !1))
    }
}

/// The function table of one image.
#[derive(Clone, Copy, Debug)]
pub struct FunctionTable<'a> {
    records: &'a [u8],
}

impl<'a> FunctionTable<'a> {
    /// A table over the raw bytes of an exception directory. Bytes behind the last whole record
    /// are ignored.
    ///
    /// ```
    /// use poolhit::image::function_table::FunctionTable;
    /// assert_eq!(FunctionTable::new(&[0; 30]).len(), 2);
    /// ```
    pub fn new(bytes: &'a [u8]) -> FunctionTable<'a> {
        FunctionTable {
            records: &bytes[..bytes.len() - bytes.len() % RuntimeFunction::SIZE],
        }
    }

    /// The table of an image, if it has one. Of a directory that is longer than the image, the
    /// records that are there.
    ///
    /// ```
    /// use poolhit::address::Rva;
    /// use poolhit::image::function_table::{FunctionTable, MappedImage};
    /// let mut image = MappedImage { bytes: &[0; 64], exception_directory: None };
    /// assert!(FunctionTable::of(&image).is_none());
    /// image.exception_directory = Some((Rva(0x20), 24));
    /// assert_eq!(FunctionTable::of(&image).unwrap().len(), 2);
    /// image.exception_directory = Some((Rva(0x30), 24));
    /// assert_eq!(FunctionTable::of(&image).unwrap().len(), 1);
    /// ```
    pub fn of(image: &'a dyn ImageBytes) -> Option<FunctionTable<'a>> {
        let (rva, size) = image.exception_directory()?;
        if let Some(bytes) = image.bytes_at(rva, size as usize) {
            return Some(FunctionTable::new(bytes));
        }
        let (mut present, mut missing) = (0, size as usize / RuntimeFunction::SIZE + 1);
        while missing - present > 1 {
            let middle = present + (missing - present) / 2;
            match image.bytes_at(rva, middle * RuntimeFunction::SIZE) {
                Some(_) => present = middle,
                None => missing = middle,
            }
        }
        image
            .bytes_at(rva, present * RuntimeFunction::SIZE)
            .map(FunctionTable::new)
    }

    /// The number of records.
    ///
    /// ```
    /// use poolhit::image::function_table::FunctionTable;
    /// assert_eq!(FunctionTable::new(&[0; 12]).len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.records.len() / RuntimeFunction::SIZE
    }

    /// Whether there is no record.
    ///
    /// ```
    /// use poolhit::image::function_table::FunctionTable;
    /// assert!(FunctionTable::new(&[0; 11]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record with this index, in the table's order.
    ///
    /// ```
    /// use poolhit::{address::Rva, image::function_table::FunctionTable};
    /// let table = FunctionTable::new(&[7, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    /// assert_eq!(table.get(0).unwrap().begin, Rva(7));
    /// assert_eq!(table.get(1), None);
    /// ```
    pub fn get(&self, index: usize) -> Option<RuntimeFunction> {
        let start = index.checked_mul(RuntimeFunction::SIZE)?;
        RuntimeFunction::parse(self.records.get(start..)?)
    }

    /// The records, in the table's order.
    ///
    /// ```
    /// use poolhit::image::function_table::FunctionTable;
    /// assert_eq!(FunctionTable::new(&[0; 36]).iter().count(), 3);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = RuntimeFunction> + use<'a> {
        self.records
            .chunks_exact(RuntimeFunction::SIZE)
            .filter_map(RuntimeFunction::parse)
    }

    /// The record of the function that has a byte at `rva`; `None` means a leaf function, or no
    /// function. A binary search, without allocation.
    ///
    /// For a return address ask for the byte before it
    /// ([`CodeAddress::for_lookup`](crate::address::CodeAddress::for_lookup)).
    ///
    /// ```
    /// use poolhit::{address::Rva, image::function_table::FunctionTable};
    /// let table = FunctionTable::new(&[7, 0, 0, 0, 9, 0, 0, 0, 0x40, 0, 0, 0]);
    /// assert_eq!(table.lookup(Rva(8)).unwrap().unwind_info, Rva(0x40));
    /// assert_eq!(table.lookup(Rva(9)), None);
    /// ```
    pub fn lookup(&self, rva: Rva) -> Option<RuntimeFunction> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let function = self.get(middle)?;
            // Linkers leave room at the end of the table: those records are zero, and no function
            // begins at the image's header, so they count as behind everything.
            if function.begin != Rva(0) && function.begin <= rva {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.get(low.checked_sub(1)?)
            .filter(|function| function.contains(rva))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(records: &[(u32, u32, u32)]) -> Vec<u8> {
        records
            .iter()
            .flat_map(|r| [r.0, r.1, r.2])
            .flat_map(u32::to_le_bytes)
            .collect()
    }

    #[test]
    fn zero_records_at_the_end_hide_nothing() {
        let mut bytes = bytes_of(&[(0x10, 0x20, 1), (0x30, 0x40, 2)]);
        bytes.resize(bytes.len() + 12 * 9 + 5, 0);
        let table = FunctionTable::new(&bytes);
        for (rva, found) in [(0, None), (0x1f, Some(1)), (0x20, None), (0x30, Some(2))] {
            assert_eq!(
                table.lookup(Rva(rva)).map(|f| f.unwind_info.0),
                found,
                "{rva:x}"
            );
        }
    }

    #[test]
    fn a_directory_outside_the_image_has_no_records() {
        let image = MappedImage {
            bytes: &[0; 16],
            exception_directory: Some((Rva(!0), !0)),
        };
        assert!(FunctionTable::of(&image).is_none());
        let image = MappedImage {
            bytes: &[0; 16],
            exception_directory: Some((Rva(8), !0)),
        };
        assert!(FunctionTable::of(&image).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn look_up_is_a_linear_search(
            gaps in prop::collection::vec((1_u32..20, 1_u32..20), 0..60), rva in 0_u32..1500,
        ) {
            let mut at = 0;
            let records: Vec<_> = gaps.iter().enumerate().map(|(index, (gap, length))| {
                let begin = at + gap;
                at = begin + length;
                (begin, at, index as u32)
            }).collect();
            let bytes = bytes_of(&records);
            let expected = records.iter().find(|r| r.0 <= rva && rva < r.1).map(|r| r.2);
            let found = FunctionTable::new(&bytes).lookup(Rva(rva)).map(|f| f.unwind_info.0);
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn whatever_is_found_contains_the_address(
            bytes in prop::collection::vec(0_u8..4, 0..400), rva: u32,
        ) {
            for rva in [rva, rva & 0x03030303] {
                if let Some(function) = FunctionTable::new(&bytes).lookup(Rva(rva)) {
                    prop_assert!(function.contains(Rva(rva)));
                }
            }
        }
    }
}
