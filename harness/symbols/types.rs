//! The types of one image: found by name, forward references resolved.
//!
//! ```
//! use poolhit::guest::GuestImages;
//! use poolhit::symbols::types::Shape;
//!
//! let types = &GuestImages::built_in().kernel.types;
//! let header = types.find("_pool_header")?.unwrap();
//! assert_eq!((header.name().as_str(), header.size()?), ("_POOL_HEADER", 0x10));
//! let Shape::Structure(header) = header.shape()? else { panic!("a structure") };
//! let tag = header.field("PoolTag")?.unwrap();
//! assert_eq!((tag.offset, tag.ty.name().as_str()), (4, "Uint4B"));
//! # Ok::<(), poolhit::image::types::TypeError>(())
//! ```

use super::table::compare_folded;
use super::wildcard;
use crate::address::Rva;
use crate::image::locals::{PdbLocals, ProcedureRecord};
use crate::image::pdb::PdbFile;
use crate::image::types::{TypeError, TypeIndex, TypeRecord, TypeStream};
use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, OnceLock};

mod declared;
mod layout;
mod locals;
mod name;
mod shape;
#[cfg(test)]
mod tests;

pub use layout::{BASE_LIMIT, DEPTH_LIMIT, Field};
pub use locals::{Local, Procedure};
pub use shape::{Enumeration, Shape, Structure};

/// How many types of one name are looked at to find the one that a reference means.
const NAMESAKE_LIMIT: usize = 1024;

/// A name of a symbol record for a type.
#[derive(Clone, Debug)]
struct Alias {
    name: Box<str>,
    ty: TypeIndex,
}

/// Data of a known type.
#[derive(Clone, Debug)]
struct DataSymbol {
    name: Box<str>,
    rva: Rva,
    ty: TypeIndex,
}

/// A variable of an image, with its type.
#[derive(Clone, Copy, Debug)]
pub struct Variable<'t> {
    /// Its name.
    pub name: &'t str,
    /// Where it is.
    pub rva: Rva,
    /// Its type.
    pub ty: Type<'t>,
}

/// The types of one image, and the variables that have them. Without a PDB there are none.
#[derive(Default)]
pub struct TypeTable {
    stream: Option<Arc<TypeStream>>,
    /// Why there are no types, if there should be.
    error: Option<TypeError>,
    /// By name without case, then with case.
    aliases: Vec<Alias>,
    /// By name without case, then with case, then by address.
    variables: Vec<DataSymbol>,
    /// The definitions of structures, unions and enumerations, in the order of `aliases`. Made at
    /// the first look-up: most sessions need none.
    definitions: OnceLock<Vec<TypeIndex>>,
    locals: Option<Arc<PdbLocals>>,
    /// By address. Found at the first look-up.
    procedures: OnceLock<Vec<ProcedureRecord>>,
}

/// Not each name: a lab in an assertion's message has tens of thousands.
impl fmt::Debug for TypeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeTable")
            .field("stream", &self.stream)
            .field("error", &self.error)
            .field("aliases", &self.aliases.len())
            .field("variables", &self.variables.len())
            .finish()
    }
}

/// One type of a [`TypeTable`].
#[derive(Clone, Copy)]
pub struct Type<'t> {
    table: &'t TypeTable,
    index: TypeIndex,
}

impl fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Type({}, {})", self.index, self.name())
    }
}

impl TypeTable {
    /// The types of a PDB. Records are not looked at before they are needed.
    ///
    /// ```
    /// # use poolhit::{image::pdb::PdbFile, symbols::TypeTable};
    /// # use poolhit_fixtures::prebuilt::KERNEL_PDB;
    /// let types = TypeTable::from_pdb(&PdbFile::parse(KERNEL_PDB.bytes)?);
    /// assert!(types.find("_EPROCESS")?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_pdb(pdb: &PdbFile) -> TypeTable {
        let mut aliases: Vec<_> = pdb
            .type_names()
            .iter()
            .map(|alias| Alias {
                name: alias.name.as_str().into(),
                ty: alias.ty,
            })
            .collect();
        aliases.sort_by(|a, b| {
            compare_folded(a.name.as_bytes(), b.name.as_bytes())
                .then_with(|| (&a.name, a.ty).cmp(&(&b.name, b.ty)))
        });
        aliases.dedup_by(|a, b| a.name == b.name && a.ty == b.ty);
        let data = pdb.symbols().iter().filter_map(|symbol| {
            Some(DataSymbol {
                name: symbol.name.as_str().into(),
                rva: symbol.rva,
                ty: symbol.ty?,
            })
        });
        let mut variables: Vec<_> = data.collect();
        variables.sort_by(|a, b| {
            compare_folded(a.name.as_bytes(), b.name.as_bytes())
                .then_with(|| (&a.name, a.rva).cmp(&(&b.name, b.rva)))
        });
        variables.dedup_by(|a, b| a.name == b.name && a.rva == b.rva);
        let (stream, error) = match pdb.types() {
            Ok(stream) => (Some(Arc::clone(stream)), None),
            Err(error) => (None, Some(error.clone())),
        };
        TypeTable {
            stream,
            error,
            aliases,
            variables,
            definitions: OnceLock::new(),
            locals: pdb.locals().ok().cloned(),
            procedures: OnceLock::new(),
        }
    }

    /// Why the PDB's types cannot be used, if it has a PDB and they cannot.
    ///
    /// ```
    /// # use poolhit::symbols::TypeTable;
    /// assert!(TypeTable::default().error().is_none());
    /// ```
    pub fn error(&self) -> Option<&TypeError> {
        self.error.as_ref()
    }

    /// The type of that name: a structure, union, enumeration or `typedef` with the very same
    /// letters, else one that differs in case. `None` where the image has no types at all.
    ///
    /// # Errors
    /// The image's PDB has types, but they cannot be read.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// let types = &GuestImages::built_in().kernel.types;
    /// assert_eq!(types.find("POOL_TYPE")?.unwrap().name(), "_POOL_TYPE");
    /// assert!(types.find("_POOL_HEAD")?.is_none());
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn find(&self, name: &str) -> Result<Option<Type<'_>>, TypeError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let definition = self.definition(name.as_bytes(), &|_| true);
        let alias = named(&self.aliases, |alias| &alias.name, name);
        let found = match (definition, alias) {
            // a `typedef` with the very same letters before a structure that differs in case
            (Some(index), Some(alias)) if self.name_of(index) != Some(name.as_bytes()) => {
                if *alias.name == *name {
                    alias.ty
                } else {
                    index
                }
            }
            (Some(index), _) => index,
            (None, Some(alias)) => alias.ty,
            (None, None) => return Ok(None),
        };
        Ok(Some(self.get(found)))
    }

    /// The structures, unions and enumerations whose names fit a pattern with `*` and `?`, in
    /// either case, in the PDB's order. A name is given once.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// let types = &GuestImages::built_in().kernel.types;
    /// let names: Vec<_> = types.matching("_unicode*").map(|ty| ty.name()).collect();
    /// assert_eq!(names, ["_UNICODE_STRING"]);
    /// ```
    pub fn matching(&self, pattern: &str) -> impl Iterator<Item = Type<'_>> {
        let fits = |index: &&TypeIndex| {
            let name = self.name_of(**index).unwrap_or_default();
            // what is inside an unnamed one's name is not shown, and not looked for
            wildcard::matches(pattern, &name::tag(name))
        };
        let mut found: Vec<_> = self.definitions().iter().filter(fits).copied().collect();
        // neighbours with one name are one type of several object files
        found.dedup_by(|a, b| self.name_of(*a) == self.name_of(*b));
        found.sort_unstable();
        found.into_iter().map(|index| self.get(index))
    }

    /// The variable of that name: one with the very same letters, else one that differs in case.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// let types = &GuestImages::built_in().kernel.types;
    /// let list = types.variable("psloadedmodulelist").unwrap();
    /// assert_eq!(list.ty.name(), "_LIST_ENTRY");
    /// ```
    pub fn variable(&self, name: &str) -> Option<Variable<'_>> {
        let data = named(&self.variables, |data| &data.name, name)?;
        self.stream.as_ref()?;
        Some(Variable {
            name: &data.name,
            rva: data.rva,
            ty: self.get(data.ty),
        })
    }

    pub(super) fn get(&self, index: TypeIndex) -> Type<'_> {
        Type { table: self, index }
    }

    /// A record; basic types have none.
    fn record(&self, index: TypeIndex) -> Result<TypeRecord<'_>, TypeError> {
        let stream = self.stream.as_ref().ok_or(TypeError::NoRecord(index))?;
        stream.record(index)
    }

    fn definitions(&self) -> &[TypeIndex] {
        self.definitions.get_or_init(|| {
            let Some(stream) = &self.stream else {
                return Vec::new();
            };
            let mut named: Vec<_> = stream
                .indices()
                .filter_map(|index| Some((self.name_of(index)?, index)))
                .collect();
            named.sort_by(|(a, i), (b, j)| compare_folded(a, b).then_with(|| (a, i).cmp(&(b, j))));
            named.into_iter().map(|(_, index)| index).collect()
        })
    }

    /// The name of a structure, union or enumeration that is defined in this record.
    fn name_of(&self, index: TypeIndex) -> Option<&[u8]> {
        match self.record(index).ok()? {
            TypeRecord::Aggregate(one) if !one.forward => Some(one.name),
            TypeRecord::Enum(one) if !one.forward => Some(one.name),
            _ => None,
        }
    }

    /// The definition of that name that `accept` accepts: one with the very same letters before
    /// one that differs in case, among equals the first of the PDB.
    fn definition(
        &self,
        name: &[u8],
        accept: &dyn Fn(&TypeRecord<'_>) -> bool,
    ) -> Option<TypeIndex> {
        let name_of = |index: &TypeIndex| self.name_of(*index).unwrap_or_default();
        let folded = equal_range(self.definitions(), |index| {
            compare_folded(name_of(index), name)
        });
        let exact = equal_range(folded, |index| name_of(index).cmp(name));
        let candidates = exact.iter().take(NAMESAKE_LIMIT);
        let candidates = candidates.chain(folded.iter().take(NAMESAKE_LIMIT));
        let mut accepted =
            candidates.filter(|index| self.record(**index).is_ok_and(|one| accept(&one)));
        accepted.next().copied()
    }
}

impl Type<'_> {
    /// The type's number in its PDB. A forward reference has another one than its definition.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// let types = &GuestImages::built_in().kernel.types;
    /// assert!(!types.find("_EPROCESS")?.unwrap().index().is_basic());
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn index(&self) -> TypeIndex {
        self.index
    }
}

/// Of sorted values, those that compare as equal.
fn equal_range<T>(sorted: &[T], compare: impl Fn(&T) -> Ordering) -> &[T] {
    let start = sorted.partition_point(|one| compare(one) == Ordering::Less);
    let end = sorted.partition_point(|one| compare(one) != Ordering::Greater);
    &sorted[start..end]
}

/// Of values sorted by name without case, the first with the very same letters, else the first
/// that differs in case.
fn named<'a, T>(sorted: &'a [T], key: impl Fn(&T) -> &str, name: &str) -> Option<&'a T> {
    let folded = equal_range(sorted, |one| {
        compare_folded(key(one).as_bytes(), name.as_bytes())
    });
    let exact = folded.iter().find(|one| key(one) == name);
    exact.or_else(|| folded.first())
}
