//! The procedures of an image, with their parameters and local variables.

use super::{Type, TypeTable};
use crate::address::Rva;
use crate::image::locals::{LocalPlace, ProcedureRecord};
use crate::image::types::{TypeIndex, TypeRecord};

/// A procedure that the PDB knows more of than its name.
#[derive(Clone, Copy, Debug)]
pub struct Procedure<'t> {
    table: &'t TypeTable,
    record: &'t ProcedureRecord,
}

/// A parameter or local variable of a procedure, at some place in it.
#[derive(Clone, Debug)]
pub struct Local<'t> {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type<'t>,
    /// It is a parameter.
    pub is_parameter: bool,
    /// Where its value is there, if anywhere.
    pub place: Option<LocalPlace>,
}

impl TypeTable {
    /// The procedure that an address of the image is in; `None` where the PDB has no private symbols of it. The first
    /// look-up finds all procedures, others take O(log n).
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::pdb::PdbFile, symbols::TypeTable};
    /// # use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let types = TypeTable::from_pdb(&PdbFile::parse(LEAKY_PDB.bytes)?);
    /// assert_eq!(types.procedure(Rva(0x1002)).unwrap().start(), Rva(0x1000));
    /// assert!(types.procedure(Rva(0)).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn procedure(&self, at: Rva) -> Option<Procedure<'_>> {
        let locals = self.locals.as_ref()?;
        let procedures = self.procedures.get_or_init(|| locals.procedures());
        let after = procedures.partition_point(|one| one.start <= at);
        let record = procedures[..after].last()?;
        let inside = at.0 - record.start.0 < record.length;
        inside.then_some(Procedure {
            table: self,
            record,
        })
    }
}

impl<'t> Procedure<'t> {
    /// Its first byte.
    ///
    /// ```
    /// # use poolhit::{address::Rva, guest::GuestImages};
    /// let images = GuestImages::built_in();
    /// let close = images.kernel.symbols.by_name("NtClose").unwrap().rva;
    /// let found = images.kernel.types.procedure(Rva(close.0 + 5)).unwrap();
    /// assert_eq!(found.start(), close);
    /// ```
    pub fn start(&self) -> Rva {
        self.record.start
    }

    /// The types of its parameters, in their order, by the function's own type; of a function that takes more than it
    /// says (`...`) the last is `None`. `None` in all where the PDB does not have the type. At most 1024.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// let images = GuestImages::built_in();
    /// let close = images.kernel.symbols.by_name("NtClose").unwrap().rva;
    /// let parameters = images.kernel.types.procedure(close).unwrap().parameters().unwrap();
    /// assert_eq!(parameters[0].unwrap().declared_name(), "void *");
    /// ```
    pub fn parameters(&self) -> Option<Vec<Option<Type<'t>>>> {
        let function = self.table.record(self.record.ty).ok()?;
        let TypeRecord::Function { list, .. } = function else {
            return None;
        };
        let TypeRecord::ArgumentList(types) = self.table.record(list?).ok()? else {
            return None;
        };
        let ty = |index: TypeIndex| (index != TypeIndex(0)).then(|| self.table.get(index));
        Some(types.into_iter().map(ty).collect())
    }

    /// What is in scope at an address in it, in the PDB's order.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// let images = GuestImages::built_in();
    /// let close = images.kernel.symbols.by_name("NtClose").unwrap().rva;
    /// let locals = images.kernel.types.procedure(close).unwrap().locals(close);
    /// assert_eq!((locals[0].name.as_str(), locals[0].is_parameter), ("Handle", true));
    /// ```
    pub fn locals(&self, at: Rva) -> Vec<Local<'t>> {
        let Some(locals) = &self.table.locals else {
            return Vec::new();
        };
        let parameters = match self.table.record(self.record.ty) {
            Ok(TypeRecord::Function { parameters, .. }) => parameters,
            _ => 0,
        };
        let records = locals.locals(self.record, at, parameters).into_iter();
        let local = |one: crate::image::locals::LocalRecord| Local {
            name: one.name,
            ty: self.table.get(one.ty),
            is_parameter: one.is_parameter,
            place: one.place,
        };
        records.map(local).collect()
    }
}
