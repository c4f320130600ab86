//! What a type is made of.

use super::{DEPTH_LIMIT, Type};
use crate::image::types::{
    Aggregate, AggregateKind, Basic, EnumRecord, TypeError, TypeIndex, TypeRecord,
};

/// What a type is made of, `const` and the like taken away and forward references resolved.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'t> {
    /// What compilers know by themselves.
    Basic(Basic),
    /// A pointer.
    Pointer {
        /// What it points to.
        target: Type<'t>,
        /// Its size in bytes.
        size: u64,
    },
    /// An array.
    Array {
        /// What it is made of; an array again for a further dimension.
        element: Type<'t>,
        /// How many elements.
        count: u64,
        /// The size of the whole in bytes.
        size: u64,
    },
    /// A structure, class or union.
    Structure(Structure<'t>),
    /// An enumeration.
    Enumeration(Enumeration<'t>),
    /// Some bits of a number.
    BitField {
        /// The number.
        underlying: Type<'t>,
        /// The lowest bit.
        position: u8,
        /// How many bits.
        length: u8,
    },
    /// A function.
    Function {
        /// What it returns.
        result: Type<'t>,
    },
    /// Of a kind that is not looked into.
    Other,
}

/// A structure, class or union.
#[derive(Clone, Copy, Debug)]
pub struct Structure<'t> {
    pub(super) ty: Type<'t>,
    /// Which of them.
    pub kind: AggregateKind,
    /// How many members the PDB says it has, functions and nested types among them.
    pub count: u16,
    /// Its size in bytes; 0 if nothing defines it.
    pub size: u64,
    /// Whether its members are known; if not, the PDB has a forward reference only.
    pub is_defined: bool,
}

/// An enumeration.
#[derive(Clone, Copy, Debug)]
pub struct Enumeration<'t> {
    pub(super) ty: Type<'t>,
    /// The type of its values.
    pub underlying: Type<'t>,
    /// How many enumerators the PDB says it has.
    pub count: u16,
}

impl<'t> Type<'t> {
    /// The type without `const` and the like, and its definition if it is a forward reference that
    /// something defines.
    pub(super) fn resolve(self) -> Result<Type<'t>, TypeError> {
        let mut ty = self;
        for _ in 0..DEPTH_LIMIT {
            if ty.index.is_basic() {
                return Ok(ty);
            }
            let next = match ty.table.record(ty.index)? {
                TypeRecord::Modifier { underlying } => underlying,
                TypeRecord::Aggregate(one) if one.forward => return Ok(ty.aggregate(&one)),
                TypeRecord::Enum(one) if one.forward => return Ok(ty.enumeration(&one)),
                _ => return Ok(ty),
            };
            ty = ty.table.get(next);
        }
        Err(TypeError::TooDeep {
            index: self.index,
            limit: DEPTH_LIMIT,
        })
    }

    /// The definition of a forward reference, or the reference itself.
    fn aggregate(self, reference: &Aggregate<'_>) -> Type<'t> {
        let found = self
            .table
            .definition(reference.name, &|record| match record {
                TypeRecord::Aggregate(one) => {
                    is_same(reference.unique_name, one.unique_name)
                        && (one.kind == AggregateKind::Union)
                            == (reference.kind == AggregateKind::Union)
                }
                _ => false,
            });
        self.table.get(found.unwrap_or(self.index))
    }

    fn enumeration(self, reference: &EnumRecord<'_>) -> Type<'t> {
        let found = self
            .table
            .definition(reference.name, &|record| match record {
                TypeRecord::Enum(one) => is_same(reference.unique_name, one.unique_name),
                _ => false,
            });
        self.table.get(found.unwrap_or(self.index))
    }

    /// What the type is made of.
    ///
    /// # Errors
    /// The type's record cannot be read.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// let types = &GuestImages::built_in().kernel.types;
    /// let list = types.find("PLIST_ENTRY")?.unwrap();
    /// assert!(matches!(list.shape()?, Shape::Pointer { size: 8, .. }));
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn shape(&self) -> Result<Shape<'t>, TypeError> {
        let ty = self.resolve()?;
        let get = |index| ty.table.get(index);
        if let Some((basic, pointer)) = Basic::from_index(ty.index) {
            return Ok(match u64::from(pointer) {
                0 => Shape::Basic(basic),
                size => Shape::Pointer {
                    target: get(TypeIndex(ty.index.0 & 0xff)),
                    size,
                },
            });
        }
        Ok(match ty.table.record(ty.index)? {
            TypeRecord::Pointer { target, size } => Shape::Pointer {
                target: get(target),
                size: size.into(),
            },
            TypeRecord::Function { result, .. } => Shape::Function {
                result: get(result),
            },
            TypeRecord::BitField {
                underlying,
                position,
                length,
            } => Shape::BitField {
                underlying: get(underlying),
                position,
                length,
            },
            TypeRecord::Array { element, size } => {
                let element = get(element);
                Shape::Array {
                    element,
                    count: size.checked_div(element.size()?).unwrap_or(0),
                    size,
                }
            }
            TypeRecord::Aggregate(one) => Shape::Structure(Structure {
                ty,
                kind: one.kind,
                count: one.count,
                size: one.size,
                is_defined: !one.forward,
            }),
            TypeRecord::Enum(one) => Shape::Enumeration(Enumeration {
                ty,
                underlying: get(one.underlying),
                count: one.count,
            }),
            _ => Shape::Other,
        })
    }

    /// The size of a value of this type in bytes; 0 for what has no values. A bit field has the
    /// size of the number that it is part of.
    ///
    /// # Errors
    /// A record cannot be read, or types are nested without end.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// let types = &GuestImages::built_in().kernel.types;
    /// assert_eq!(types.find("_EPROCESS")?.unwrap().size()?, 0x4d0);
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn size(&self) -> Result<u64, TypeError> {
        let mut ty = *self;
        for _ in 0..DEPTH_LIMIT {
            ty = ty.resolve()?;
            if let Some((basic, pointer)) = Basic::from_index(ty.index) {
                return Ok(match u64::from(pointer) {
                    0 => basic.size(),
                    size => size,
                });
            }
            let part = match ty.table.record(ty.index)? {
                TypeRecord::Pointer { size, .. } => return Ok(size.into()),
                TypeRecord::Array { size, .. } => return Ok(size),
                TypeRecord::Aggregate(one) => return Ok(one.size),
                TypeRecord::Enum(one) => one.underlying,
                TypeRecord::BitField { underlying, .. } => underlying,
                _ => return Ok(0),
            };
            ty = ty.table.get(part);
        }
        Err(TypeError::TooDeep {
            index: self.index,
            limit: DEPTH_LIMIT,
        })
    }
}

/// Unique names tell two types of one name apart, where both have them.
fn is_same(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}
