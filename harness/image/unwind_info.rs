//! The unwind data of one function: what its prologue did to the stack, for undoing it.
//!
//! The layout is `UNWIND_INFO` of Microsoft's *x64 exception handling*: a header of four bytes, an
//! array of 16-bit slots with the unwind codes (last instruction of the prologue first), and then,
//! by flag, the address of an exception handler or the `RUNTIME_FUNCTION` of the record this one is
//! chained to. Version 2 adds codes that say where the function's epilogues are. Everything is read
//! in place; iterating allocates nothing.

use crate::address::Rva;
use crate::image::function_table::{ImageBytes, RuntimeFunction};
use crate::registers::Gpr;

const FLAG_EXCEPTION_HANDLER: u8 = 1;
const FLAG_TERMINATION_HANDLER: u8 = 2;
const FLAG_CHAINED: u8 = 4;

/// Why unwind data cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnwindInfoError {
    /// The record, or its end, is not in the image.
    #[error("the unwind data at RVA {rva} ({length} bytes) is not in the image")]
    NotInImage {
        /// Where the record should be.
        rva: Rva,
        /// How many bytes it should have.
        length: usize,
    },
    /// A version other than 1 and 2.
    #[error("the unwind data at RVA {rva} has version {version}; only 1 and 2 are known")]
    Version {
        /// Where the record is.
        rva: Rva,
        /// The version it has.
        version: u8,
    },
    /// An unwind code whose operation, or whose operation's parameter, is not defined.
    #[error(
        "the unwind data at RVA {rva} has an undefined unwind code in slot {slot} (operation \
         {operation}, info {info})"
    )]
    UndefinedCode {
        /// Where the record is.
        rva: Rva,
        /// The index of the code's first slot.
        slot: usize,
        /// The operation's number (`UWOP_…`).
        operation: u8,
        /// The operation's parameter.
        info: u8,
    },
    /// An unwind code with fewer slots left than it takes.
    #[error("the unwind data at RVA {rva} ends inside the unwind code in slot {slot}")]
    CutCode {
        /// Where the record is.
        rva: Rva,
        /// The index of the code's first slot.
        slot: usize,
    },
    /// `UWOP_SET_FPREG` in a function that names no frame register.
    #[error("the unwind data at RVA {rva} sets a frame register but names none")]
    NoFrameRegister {
        /// Where the record is.
        rva: Rva,
    },
    /// More chained records than Windows' unwinder follows; a cycle ends here too.
    #[error("the unwind data at RVA {rva} is chained more than {limit} times")]
    ChainTooLong {
        /// Where the first record is.
        rva: Rva,
        /// The number of steps allowed.
        limit: usize,
    },
}

/// The register that a function addresses its frame with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameRegister {
    /// The register.
    pub register: Gpr,
    /// How far above the fixed allocation's lower end it points, in bytes (0 to 240).
    pub offset: u32,
}

/// An epilogue that version 2 of the unwind data describes: the pops and the return. Releasing the
/// fixed allocation comes before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Epilogue {
    /// The distance from its first byte to the function's end, in bytes.
    pub from_end: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// The unwind data of one function, or of one part of it.
#[derive(Clone, Copy, Debug)]
pub struct UnwindInfo<'a> {
    rva: Rva,
    header: [u8; 4],
    slots: &'a [u8],
    tail: &'a [u8],
}

impl<'a> UnwindInfo<'a> {
    /// Reads the record at `rva`. The unwind codes are checked when they are iterated.
    ///
    /// # Errors
    /// The record is not wholly in the image, or of an unknown version.
    ///
    /// ```
    /// use poolhit::address::Rva;
    /// use poolhit::image::{function_table::MappedImage, unwind_info::UnwindInfo};
    /// let image = MappedImage { bytes: &[1, 4, 1, 0, 4, 0x42, 0, 0], exception_directory: None };
    /// assert_eq!(UnwindInfo::parse(&image, Rva(0)).unwrap().prologue_size(), 4);
    /// let error = UnwindInfo::parse(&image, Rva(4)).unwrap_err();
    /// assert_eq!(error.to_string(), "the unwind data at RVA 4 has version 4; only 1 and 2 are known");
    /// ```
    pub fn parse(image: &'a dyn ImageBytes, rva: Rva) -> Result<UnwindInfo<'a>, UnwindInfoError> {
        let read = |length| {
            image
                .bytes_at(rva, length)
                .ok_or(UnwindInfoError::NotInImage { rva, length })
        };
        let cut = UnwindInfoError::NotInImage { rva, length: 4 };
        let header = *read(4)?.first_chunk::<4>().ok_or(cut)?;
        let version = header[0] & 7;
        if !(1..=2).contains(&version) {
            return Err(UnwindInfoError::Version { rva, version });
        }
        let count = usize::from(header[2]);
        // The array always has an even number of slots, so that what follows is aligned.
        let tail_at = 4 + count.next_multiple_of(2) * 2;
        let flags = header[0] >> 3;
        let tail_size = if flags & FLAG_CHAINED != 0 {
            RuntimeFunction::SIZE
        } else if flags & (FLAG_EXCEPTION_HANDLER | FLAG_TERMINATION_HANDLER) != 0 {
            4
        } else {
            0
        };
        // The last slot of an odd array is padding, which a record at an image's end may lack.
        let length = if tail_size == 0 {
            4 + count * 2
        } else {
            tail_at + tail_size
        };
        let bytes = read(length)?;
        let slots = bytes.get(4..4 + count * 2);
        let slots = slots.ok_or(UnwindInfoError::NotInImage { rva, length })?;
        Ok(UnwindInfo {
            rva,
            header,
            slots,
            tail: bytes.get(tail_at..).unwrap_or_default(),
        })
    }

    /// Where the record is.
    ///
    /// ```
    /// # use poolhit::address::Rva;
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::UnwindInfo};
    /// let image = MappedImage { bytes: &[0, 0, 0, 0, 1, 0, 0, 0], exception_directory: None };
    /// assert_eq!(UnwindInfo::parse(&image, Rva(4)).unwrap().rva(), Rva(4));
    /// ```
    pub fn rva(&self) -> Rva {
        self.rva
    }

    /// The array of unwind codes.
    pub(super) fn slots(&self) -> &'a [u8] {
        self.slots
    }

    /// The version: 1 or 2.
    ///
    /// ```
    /// # use poolhit::address::Rva;
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::UnwindInfo};
    /// let image = MappedImage { bytes: &[2, 0, 0, 0], exception_directory: None };
    /// assert_eq!(UnwindInfo::parse(&image, Rva(0)).unwrap().version(), 2);
    /// ```
    pub fn version(&self) -> u8 {
        self.header[0] & 7
    }

    /// The size of the prologue in bytes.
    ///
    /// ```
    /// # use poolhit::address::Rva;
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::UnwindInfo};
    /// let image = MappedImage { bytes: &[1, 9, 0, 0], exception_directory: None };
    /// assert_eq!(UnwindInfo::parse(&image, Rva(0)).unwrap().prologue_size(), 9);
    /// ```
    pub fn prologue_size(&self) -> u8 {
        self.header[1]
    }

    /// The frame register that the record names, if any. A chained record may leave it out although
    /// the record it is chained to has one.
    ///
    /// ```
    /// # use poolhit::{address::Rva, registers::Gpr};
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::UnwindInfo};
    /// let image = MappedImage { bytes: &[1, 0, 0, 0x85], exception_directory: None };
    /// let frame = UnwindInfo::parse(&image, Rva(0)).unwrap().frame_register().unwrap();
    /// assert_eq!((frame.register, frame.offset), (Gpr::Rbp, 0x80));
    /// ```
    pub fn frame_register(&self) -> Option<FrameRegister> {
        let register = self.header[3] & 15;
        (register != 0).then(|| FrameRegister {
            register: Gpr::from_number(register),
            offset: u32::from(self.header[3] >> 4) * 16,
        })
    }

    /// The record that this one is chained to (`UNW_FLAG_CHAININFO`): its codes are undone after
    /// this one's.
    ///
    /// ```
    /// # use poolhit::address::Rva;
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::UnwindInfo};
    /// let bytes = [0x21, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0x40, 0, 0, 0];
    /// let image = MappedImage { bytes: &bytes, exception_directory: None };
    /// let info = UnwindInfo::parse(&image, Rva(0)).unwrap();
    /// assert_eq!(info.chained().unwrap().unwind_info, Rva(0x40));
    /// ```
    pub fn chained(&self) -> Option<RuntimeFunction> {
        if self.header[0] >> 3 & FLAG_CHAINED == 0 {
            return None;
        }
        RuntimeFunction::parse(self.tail)
    }

    /// The function's language-specific handler for exceptions or for unwinding
    /// (`UNW_FLAG_EHANDLER`, `UNW_FLAG_UHANDLER`), if it has one.
    ///
    /// ```
    /// # use poolhit::address::Rva;
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::UnwindInfo};
    /// let bytes = [0x09, 0, 0, 0, 0, 0x10, 0, 0];
    /// let image = MappedImage { bytes: &bytes, exception_directory: None };
    /// assert_eq!(UnwindInfo::parse(&image, Rva(0)).unwrap().handler(), Some(Rva(0x1000)));
    /// ```
    pub fn handler(&self) -> Option<Rva> {
        let flags = self.header[0] >> 3;
        if flags & FLAG_CHAINED != 0 {
            return None;
        }
        self.tail
            .first_chunk()
            .map(|bytes| Rva(u32::from_le_bytes(*bytes)))
    }

    /// The epilogues that version 2 describes, in the record's order; none in version 1. All are of
    /// one size: the first code has it, with a flag saying that one epilogue ends the function; the
    /// others have 12-bit offsets, where 0 is padding.
    ///
    /// ```
    /// # use poolhit::address::Rva;
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::*};
    /// let bytes = [2, 0, 2, 0, 3, 0x16, 0x20, 0x16];
    /// let image = MappedImage { bytes: &bytes, exception_directory: None };
    /// let info = UnwindInfo::parse(&image, Rva(0)).unwrap();
    /// let all: Vec<_> = info.epilogues().map(|e| (e.from_end, e.size)).collect();
    /// assert_eq!(all, [(3, 3), (0x120, 3)]);
    /// ```
    pub fn epilogues(&self) -> impl Iterator<Item = Epilogue> + use<'a> {
        // They come before all other codes, so the first code of another kind ends them.
        let mut slots = self.slots.chunks_exact(2).take_while({
            let version = self.version();
            move |slot| version == 2 && slot[1] & 15 == 6
        });
        let first = slots.next();
        let size = first.map_or(0, |slot| u32::from(slot[0]));
        let at_end = first.filter(|slot| slot[1] >> 4 & 1 != 0).map(|_| size);
        let others = slots.map(|slot| u32::from(slot[0]) | u32::from(slot[1] >> 4) << 8);
        at_end
            .into_iter()
            .chain(others)
            .filter(|from_end| *from_end != 0)
            .map(move |from_end| Epilogue { from_end, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::function_table::MappedImage;
    use proptest::prelude::*;

    #[test]
    fn a_chained_record_must_have_its_parent() {
        let image = MappedImage {
            bytes: &[0x21, 0, 1, 0, 1, 0, 0, 0, 0],
            exception_directory: None,
        };
        let error = UnwindInfo::parse(&image, Rva(0)).unwrap_err();
        assert_eq!(
            error,
            UnwindInfoError::NotInImage {
                rva: Rva(0),
                length: 20
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..600), rva in 0_u32..700) {
            let image = MappedImage { bytes: &bytes, exception_directory: None };
            if let Ok(info) = UnwindInfo::parse(&image, Rva(rva)) {
                let all: Vec<_> = info.codes().collect();
                prop_assert!(all.len() <= 255);
                prop_assert!(all.iter().rev().skip(1).all(Result::is_ok));
                prop_assert!(info.epilogues().count() <= 255);
                prop_assert!(!(info.chained().is_some() && info.handler().is_some()));
            }
        }
    }
}
