//! What can be wrong with a PE image.

use crate::address::{Rva, Va};

/// Why a PE image cannot be used. Every variant names the image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The headers are not those of a PE image.
    #[error("{image} is not a PE image: {reason}")]
    NotPe {
        /// The image's name.
        image: String,
        /// What the header parser found.
        reason: String,
    },
    /// A PE image, but not PE32+ for x64.
    #[error(
        "{image} is not a 64-bit image for x64: machine {machine:#x} (x64 is 0x8664), \
         optional header {magic:#x} (PE32+ is 0x20b)"
    )]
    NotX64 {
        /// The image's name.
        image: String,
        /// `Machine` of the COFF header.
        machine: u16,
        /// `Magic` of the optional header.
        magic: u16,
    },
    /// A header field whose value no image has.
    #[error("{image}: {field} cannot be {value:#x}: {reason}")]
    BadField {
        /// The image's name.
        image: String,
        /// The field, as the PE format document calls it.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// More or larger than this project accepts.
    #[error("{image}: {what} is {value}, the limit is {limit}")]
    OverLimit {
        /// The image's name.
        image: String,
        /// What is too large or too many.
        what: &'static str,
        /// How large or many (bytes or count).
        value: u64,
        /// The largest value accepted.
        limit: u64,
    },
    /// A section that cannot be mapped.
    #[error("{image}: section {index} ({section}): {reason}")]
    BadSection {
        /// The image's name.
        image: String,
        /// The section's place in the section table, from 1 on.
        index: usize,
        /// The section's name.
        section: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A data directory that says something impossible.
    #[error("{image}: the {directory} is broken at {rva:#x}: {reason}", rva = rva.0)]
    BadDirectory {
        /// The image's name.
        image: String,
        /// Which directory.
        directory: &'static str,
        /// Where.
        rva: Rva,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The image was linked without base relocations and must be at its preferred base.
    #[error("{image} cannot be at {base}: it has no base relocations and has to be at {preferred}")]
    NotRelocatable {
        /// The image's name.
        image: String,
        /// Where it was to be.
        base: Va,
        /// Where it can be.
        preferred: Va,
    },
    /// No image can be mapped there.
    #[error("{image} cannot be at {base}: {reason}")]
    BadBase {
        /// The image's name.
        image: String,
        /// Where it was to be.
        base: Va,
        /// Which rule that breaks.
        reason: &'static str,
    },
    /// A base relocation of a type x64 images do not use.
    #[error("{image}: base relocation at {rva:#x} has type {kind}; x64 has 0 (ABSOLUTE) and 10 (DIR64)", rva = rva.0)]
    UnknownRelocation {
        /// The image's name.
        image: String,
        /// The place to relocate.
        rva: Rva,
        /// The relocation's type.
        kind: u8,
    },
}
