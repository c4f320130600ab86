//! What can be wrong with a PDB's types.

use super::stream::TypeIndex;

/// Why a type cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// The PDB has no type stream (stream 2), or one that cannot be opened.
    #[error("the PDB has no types: {reason}")]
    NoStream {
        /// What is wrong with the stream.
        reason: String,
    },
    /// The stream's header is too short or says something impossible.
    #[error("the PDB's type stream has a broken header: {field} is {value:#x}")]
    BadHeader {
        /// The field, as LLVM's document calls it.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A record's length does not fit the stream.
    #[error("the PDB's type stream breaks off at byte {at:#x}: a record of {length} bytes")]
    BadLength {
        /// Where the record starts in the stream, in bytes.
        at: u64,
        /// How long it says to be, in bytes.
        length: u16,
    },
    /// No record has this index.
    #[error("the PDB has no type {0}")]
    NoRecord(TypeIndex),
    /// A record is shorter than what it has to hold.
    #[error("type {index} of the PDB breaks off in a record of kind {kind:#06x}")]
    Truncated {
        /// The record.
        index: TypeIndex,
        /// Its kind (`LF_…`).
        kind: u16,
    },
    /// A number in a form that no compiler writes for offsets, sizes and enumerators.
    #[error("type {index} of the PDB holds a number of the unknown form {leaf:#06x}")]
    UnknownNumber {
        /// The record.
        index: TypeIndex,
        /// The number's leaf.
        leaf: u16,
    },
    /// A member whose length is not known, so that those behind it cannot be found.
    #[error("type {index} of the PDB has a member of the unknown kind {kind:#06x}")]
    UnknownMember {
        /// The field list.
        index: TypeIndex,
        /// The member's kind.
        kind: u16,
    },
    /// A record of another kind than is needed there.
    #[error("type {index} of the PDB is of kind {kind:#06x}, where {wanted} has to be")]
    WrongKind {
        /// The record.
        index: TypeIndex,
        /// Its kind (`LF_…`).
        kind: u16,
        /// What it should be.
        wanted: &'static str,
    },
    /// Types inside each other without end.
    #[error("type {index} of the PDB is nested deeper than {limit} levels")]
    TooDeep {
        /// Where it was too much.
        index: TypeIndex,
        /// The limit.
        limit: usize,
    },
    /// More members than the project accepts.
    #[error("type {index} of the PDB has more than {limit} {what}")]
    TooMany {
        /// The field list.
        index: TypeIndex,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}
