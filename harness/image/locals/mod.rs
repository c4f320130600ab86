//! The procedures of a PDB with their parameters and local variables, as the symbol records of its modules
//! (object files) have them.
//!
//! The records are those of Microsoft's `cvinfo.h`, which LLVM documents in "CodeView Symbol Records".
//! Optimised code has `S_LOCAL` with an `S_DEFRANGE_…` for each place that a variable is at for a while; code that
//! is not, `S_REGREL32`. The reader is the project's own: the `pdb` crate panics on some records of hostile files.

mod procedure;
mod record;

pub use procedure::{ProcedureRecord, RECORD_LIMIT};

use super::pdb_address::AddressMap;
use super::types::TypeIndex;
use crate::address::Rva;
use std::fmt;
use std::sync::Arc;

/// The symbol records of a PDB's modules, as they are in the file: nothing of them has been looked at yet.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PdbLocals {
    modules: Vec<Vec<u8>>,
    map: Arc<AddressMap>,
}

impl fmt::Debug for PdbLocals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PdbLocals({} modules)", self.modules.len())
    }
}

/// Where a variable's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalPlace {
    /// In a register, by its number (`CV_HREG_e`).
    Register(u16),
    /// In memory.
    Memory {
        /// The register that the address is told from, by its number.
        base: u16,
        /// How far from it, in bytes.
        offset: i32,
    },
}

/// A parameter or local variable at a place in its procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRecord {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeIndex,
    /// It is a parameter, and no variable of the procedure.
    pub is_parameter: bool,
    /// Where its value is; `None` where it has none, or is in several pieces.
    pub place: Option<LocalPlace>,
}

impl PdbLocals {
    /// Modules' symbol records, each with its signature in front.
    pub(super) fn new(modules: Vec<Vec<u8>>, map: Arc<AddressMap>) -> PdbLocals {
        PdbLocals { modules, map }
    }

    /// All procedures, by where they start; of several at one place the first in the PDB. A module whose records are
    /// broken has those in front of the broken one.
    ///
    /// ```
    /// use poolhit::image::pdb::PdbFile;
    /// use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let pdb = PdbFile::parse(LEAKY_PDB.bytes)?;
    /// let procedures = pdb.locals().unwrap().procedures();
    /// assert_eq!(procedures.len(), 11);
    /// assert!(procedures.is_sorted_by_key(|one| one.start));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn procedures(&self) -> Vec<ProcedureRecord> {
        let mut found = Vec::new();
        for (module, records) in self.modules.iter().enumerate() {
            procedure::find(module, records, &self.map, &mut found);
        }
        found.sort_by_key(|one| one.start);
        found.dedup_by_key(|one| one.start);
        found
    }

    /// The parameters and local variables that are in scope at an address in a procedure, in the PDB's order; not those
    /// of functions that were inlined there. `parameters` says how many of the variables that older records describe
    /// are parameters, which those records do not say: as many as the procedure's type has.
    ///
    /// ```
    /// use poolhit::image::pdb::PdbFile;
    /// use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let pdb = PdbFile::parse(LEAKY_PDB.bytes)?;
    /// let locals = pdb.locals().unwrap();
    /// let entry = &locals.procedures()[0];
    /// let found = locals.locals(entry, entry.start, 2);
    /// assert_eq!(found[0].name, "DriverObject");
    /// assert!(found[0].is_parameter && found[0].place.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn locals(
        &self,
        procedure: &ProcedureRecord,
        at: Rva,
        parameters: u16,
    ) -> Vec<LocalRecord> {
        match self.modules.get(procedure.module) {
            Some(records) => procedure::locals(procedure, records, &self.map, at, parameters),
            None => Vec::new(),
        }
    }
}
