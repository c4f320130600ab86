//! The types of a PDB: its TPI stream, record by record.
//!
//! The formats are those of Microsoft's `cvinfo.h` and of LLVM's documents "The PDB TPI and IPI
//! Streams" and "CodeView Type Records". Records are found when the stream is read and parsed when
//! they are asked for. Reading is the project's own: every record comes out of an untrusted file,
//! and the `pdb` crate's reader stops the program at numbers it does not know (0.8.0).

pub mod basic;
pub mod error;
pub mod member;
mod reader;
pub mod record;
pub mod stream;

pub use basic::Basic;
pub use error::TypeError;
pub use member::Member;
pub use record::{Aggregate, AggregateKind, EnumRecord, TypeRecord};
pub use stream::{TypeIndex, TypeStream};
