//! Where a structure's members are, and which names an enumeration gives to values.

use super::{Enumeration, Shape, Structure, Type};
use crate::image::types::member::MEMBER_LIMIT;
use crate::image::types::{Member, TypeError, TypeRecord};

/// How deep references from one record to the next are followed.
pub const DEPTH_LIMIT: usize = 64;
/// How many base classes a class may have, those of its base classes among them.
pub const BASE_LIMIT: usize = 256;

/// A member of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field<'t> {
    name: &'t [u8],
    /// Where it is in the structure, in bytes.
    pub offset: u64,
    /// Its type.
    pub ty: Type<'t>,
}

impl<'t> Field<'t> {
    /// Its name.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let Shape::Structure(list) = types.find("_LIST_ENTRY")?.unwrap().shape()? else { panic!() };
    /// let names: Vec<_> = list.fields()?.iter().map(|field| field.name()).collect();
    /// assert_eq!(names, ["Flink", "Blink"]);
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn name(&self) -> String {
        super::name::printable(self.name)
    }

    /// Whether it has that name, in either case of ASCII letters.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let Shape::Structure(list) = types.find("_LIST_ENTRY")?.unwrap().shape()? else { panic!() };
    /// assert!(list.fields()?[0].is_called("FLINK"));
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl<'t> Structure<'t> {
    /// The structure as a type.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let Shape::Structure(list) = types.find("_LIST_ENTRY")?.unwrap().shape()? else { panic!() };
    /// assert_eq!(list.ty().name(), "_LIST_ENTRY");
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn ty(&self) -> Type<'t> {
        self.ty
    }

    /// The data members in the order of the PDB, those of base classes at their place. Members of
    /// unnamed unions are members of the structure, as compilers write them.
    ///
    /// # Errors
    /// A record cannot be read, or there are too many members or base classes inside each other.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let header = types.find("_POOL_HEADER")?.unwrap();
    /// let Shape::Structure(header) = header.shape()? else { panic!("a structure") };
    /// assert_eq!(header.fields()?.len(), 9);
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn fields(&self) -> Result<Vec<Field<'t>>, TypeError> {
        let mut fields = Vec::new();
        self.collect(0, &mut 0, &mut fields)?;
        Ok(fields)
    }

    /// The member of that name: one with the very same letters, else one that differs in case.
    ///
    /// # Errors
    /// As for [`fields`](Structure::fields).
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let Shape::Structure(list) = types.find("_LIST_ENTRY")?.unwrap().shape()? else { panic!() };
    /// assert_eq!(list.field("Blink")?.unwrap().offset, 8);
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn field(&self, name: &str) -> Result<Option<Field<'t>>, TypeError> {
        let fields = self.fields()?;
        let exact = fields.iter().find(|field| field.name == name.as_bytes());
        let found = exact.or_else(|| fields.iter().find(|field| field.is_called(name)));
        Ok(found.copied())
    }

    fn collect(
        &self,
        start: u64,
        bases: &mut usize,
        fields: &mut Vec<Field<'t>>,
    ) -> Result<(), TypeError> {
        let too_many = |what, limit| TypeError::TooMany {
            index: self.ty.index,
            what,
            limit,
        };
        let TypeRecord::Aggregate(one) = self.ty.table.record(self.ty.index)? else {
            return Ok(());
        };
        let Some(stream) = self.ty.table.stream.as_ref().filter(|_| !one.forward) else {
            return Ok(());
        };
        if one.fields.is_basic() {
            return Ok(()); // an empty structure has index 0 for its members
        }
        for member in stream.members(one.fields)? {
            match member {
                Member::Field { name, ty, offset } => fields.push(Field {
                    name,
                    offset: start.wrapping_add(offset),
                    ty: self.ty.table.get(ty),
                }),
                Member::VirtualTable { ty } => fields.push(Field {
                    name: b"__VFN_table",
                    offset: start,
                    ty: self.ty.table.get(ty),
                }),
                Member::Base { ty, offset } => {
                    // of all, not of each level: two on each double with every level
                    *bases += 1;
                    if *bases > BASE_LIMIT {
                        return Err(too_many("base classes", BASE_LIMIT));
                    }
                    if let Shape::Structure(base) = self.ty.table.get(ty).shape()? {
                        base.collect(start.wrapping_add(offset), bases, fields)?;
                    }
                }
                Member::Enumerator { .. } | Member::Nothing => {}
            }
            if fields.len() > MEMBER_LIMIT {
                return Err(too_many("members", MEMBER_LIMIT));
            }
        }
        Ok(())
    }
}

impl<'t> Enumeration<'t> {
    /// The enumeration as a type.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let Shape::Enumeration(pool) = types.find("_POOL_TYPE")?.unwrap().shape()? else { panic!() };
    /// assert_eq!(pool.ty().name(), "_POOL_TYPE");
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn ty(&self) -> Type<'t> {
        self.ty
    }

    /// The names and their values, in the order of the PDB. A negative value is in two's
    /// complement.
    ///
    /// # Errors
    /// A record cannot be read.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let Shape::Enumeration(pool) = types.find("_POOL_TYPE")?.unwrap().shape()? else { panic!() };
    /// assert_eq!(pool.enumerators()?[1], ("PagedPool".to_string(), 1));
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn enumerators(&self) -> Result<Vec<(String, u64)>, TypeError> {
        let TypeRecord::Enum(one) = self.ty.table.record(self.ty.index)? else {
            return Ok(Vec::new());
        };
        let stream = self.ty.table.stream.as_ref();
        let Some(stream) = stream.filter(|_| !one.forward && !one.fields.is_basic()) else {
            return Ok(Vec::new());
        };
        let members = stream.members(one.fields)?.into_iter();
        let enumerators = members.filter_map(|member| match member {
            Member::Enumerator { name, value } => Some((super::name::printable(name), value)),
            _ => None,
        });
        Ok(enumerators.collect())
    }

    /// The first name of a value, of which only the bits that the enumeration has room for count.
    ///
    /// # Errors
    /// A record cannot be read.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let Shape::Enumeration(pool) = types.find("_POOL_TYPE")?.unwrap().shape()? else { panic!() };
    /// assert_eq!(pool.name_of(0)?.as_deref(), Some("NonPagedPool"));
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn name_of(&self, value: u64) -> Result<Option<String>, TypeError> {
        let bits = (self.ty.size()? * 8).min(64) as u32;
        let mask = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
        let mut enumerators = self.enumerators()?.into_iter();
        let found = enumerators.find(|(_, one)| one & mask == value & mask);
        Ok(found.map(|(name, _)| name))
    }
}
