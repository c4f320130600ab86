//! What can be wrong with a PDB's source lines.

use super::LINE_LIMIT;

/// Why a PDB's source lines, or some of them, cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A stream that lines need cannot be read.
    #[error("the PDB's source lines cannot be read: {what}: {reason}")]
    NoStream {
        /// Which stream.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A module's records are broken.
    #[error("module {module} of the PDB: its source lines are broken at byte {at:#x}: {reason}")]
    Broken {
        /// The module's number in the PDB, from 0.
        module: usize,
        /// Where in the module's C13 records, in bytes.
        at: usize,
        /// Which rule is broken.
        reason: &'static str,
    },
    /// More lines than [`LINE_LIMIT`].
    #[error("the PDB has more than {LINE_LIMIT} source lines")]
    TooMany,
}
