//! One record of the type stream.

use super::error::TypeError;
use super::reader::Reader;
use super::stream::TypeIndex;

/// The kinds of records that are understood (`LF_…`).
mod kind {
    pub(super) const MODIFIER: u16 = 0x1001;
    pub(super) const POINTER: u16 = 0x1002;
    pub(super) const PROCEDURE: u16 = 0x1008;
    pub(super) const MEMBER_FUNCTION: u16 = 0x1009;
    pub(super) const ARGUMENT_LIST: u16 = 0x1201;
    pub(super) const FIELD_LIST: u16 = 0x1203;
    pub(super) const BIT_FIELD: u16 = 0x1205;
    pub(super) const ARRAY: u16 = 0x1503;
    pub(super) const CLASS: u16 = 0x1504;
    pub(super) const STRUCTURE: u16 = 0x1505;
    pub(super) const UNION: u16 = 0x1506;
    pub(super) const ENUM: u16 = 0x1507;
    pub(super) const INTERFACE: u16 = 0x1519;
}

/// The most parameters of a function that are looked at; C++ asks compilers for 256.
const ARGUMENT_LIMIT: u32 = 1024;

/// The property bits of structures and enumerations (`CV_prop_t`).
const FORWARD_REFERENCE: u16 = 0x80;
const HAS_UNIQUE_NAME: u16 = 0x200;

/// What kind of aggregate a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateKind {
    /// `struct`.
    Structure,
    /// `class` or `interface`.
    Class,
    /// `union`.
    Union,
}

/// A structure, class or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate<'a> {
    /// Which of them.
    pub kind: AggregateKind,
    /// The record of its members; meaningless for a forward reference.
    pub fields: TypeIndex,
    /// Only its name is known here; another record may define it.
    pub forward: bool,
    /// How many members it has, functions and nested types among them.
    pub count: u16,
    /// Its size in bytes; 0 for a forward reference.
    pub size: u64,
    /// Its name.
    pub name: &'a [u8],
    /// A name that no other type of the program has, if the compiler made one.
    pub unique_name: Option<&'a [u8]>,
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumRecord<'a> {
    /// The type of its values.
    pub underlying: TypeIndex,
    /// The record of its enumerators; meaningless for a forward reference.
    pub fields: TypeIndex,
    /// How many enumerators it has.
    pub count: u16,
    /// Only its name is known here.
    pub forward: bool,
    /// Its name.
    pub name: &'a [u8],
    /// A name that no other type of the program has, if the compiler made one.
    pub unique_name: Option<&'a [u8]>,
}

/// One record of the type stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeRecord<'a> {
    /// `LF_MODIFIER`: a type made `const` or `volatile`.
    Modifier {
        /// The type without.
        underlying: TypeIndex,
    },
    /// `LF_POINTER`: a pointer or reference.
    Pointer {
        /// What it points to.
        target: TypeIndex,
        /// Its own size in bytes.
        size: u8,
    },
    /// `LF_PROCEDURE` or `LF_MFUNCTION`: a function.
    Function {
        /// What it returns.
        result: TypeIndex,
        /// How many parameters it has, `this` among them; 0 where the record breaks off.
        parameters: u16,
        /// The list of their types, without `this`; `None` where the record breaks off.
        list: Option<TypeIndex>,
    },
    /// `LF_ARGLIST`: the types of a function's parameters, the first ones of as many as the record says. Type 0 at
    /// the end stands for `...`.
    ArgumentList(Vec<TypeIndex>),
    /// `LF_BITFIELD`: some bits of a number.
    BitField {
        /// The number.
        underlying: TypeIndex,
        /// The lowest bit.
        position: u8,
        /// How many bits.
        length: u8,
    },
    /// `LF_ARRAY`.
    Array {
        /// What it is made of; an array again for a further dimension.
        element: TypeIndex,
        /// The size of the whole in bytes.
        size: u64,
    },
    /// `LF_STRUCTURE`, `LF_CLASS`, `LF_INTERFACE` or `LF_UNION`.
    Aggregate(Aggregate<'a>),
    /// `LF_ENUM`.
    Enum(EnumRecord<'a>),
    /// `LF_FIELDLIST`: the members of others, as bytes; see
    /// [`TypeStream::members`](super::TypeStream::members).
    FieldList(&'a [u8]),
    /// A kind that is not looked into.
    Other {
        /// The kind (`LF_…`).
        kind: u16,
    },
}

impl<'a> TypeRecord<'a> {
    /// Reads a record from what follows its kind.
    pub(super) fn parse(
        index: TypeIndex,
        record_kind: u16,
        bytes: &'a [u8],
    ) -> Result<TypeRecord<'a>, TypeError> {
        let mut reader = Reader::new(bytes, index, record_kind);
        Ok(match record_kind {
            kind::MODIFIER => TypeRecord::Modifier {
                underlying: reader.type_index()?,
            },
            kind::POINTER => {
                let target = reader.type_index()?;
                let attributes = reader.u32()?;
                TypeRecord::Pointer {
                    target,
                    size: pointer_size(attributes),
                }
            }
            kind::PROCEDURE | kind::MEMBER_FUNCTION => TypeRecord::Function {
                result: reader.type_index()?,
                parameters: parameters(&mut reader, record_kind).unwrap_or(0),
                list: reader.type_index().ok(),
            },
            kind::ARGUMENT_LIST => {
                let count = reader.u32()?;
                let types = (0..count.min(ARGUMENT_LIMIT)).map(|_| reader.type_index());
                TypeRecord::ArgumentList(types.collect::<Result<_, _>>()?)
            }
            kind::BIT_FIELD => {
                let underlying = reader.type_index()?;
                let length = reader.u8()?;
                TypeRecord::BitField {
                    underlying,
                    length,
                    position: reader.u8()?,
                }
            }
            kind::ARRAY => {
                let element = reader.type_index()?;
                reader.type_index()?; // the type of its index
                TypeRecord::Array {
                    element,
                    size: reader.number()?,
                }
            }
            kind::CLASS | kind::STRUCTURE | kind::INTERFACE | kind::UNION => {
                TypeRecord::Aggregate(aggregate(&mut reader, record_kind)?)
            }
            kind::ENUM => {
                let count = reader.u16()?;
                let properties = reader.u16()?;
                let underlying = reader.type_index()?;
                let fields = reader.type_index()?;
                let (name, unique_name) = names(&mut reader, properties)?;
                TypeRecord::Enum(EnumRecord {
                    underlying,
                    fields,
                    count,
                    forward: properties & FORWARD_REFERENCE != 0,
                    name,
                    unique_name,
                })
            }
            kind::FIELD_LIST => TypeRecord::FieldList(bytes),
            kind => TypeRecord::Other { kind },
        })
    }
}

/// From the attributes of `LF_POINTER`: bits 13 to 18, or where older compilers left them 0, the
/// kind in bits 0 to 4 (10 is 32 bits, 12 is 64).
fn pointer_size(attributes: u32) -> u8 {
    match (attributes >> 13 & 0x3f) as u8 {
        0 if attributes & 0x1f == 10 => 4,
        0 => 8,
        size => size,
    }
}

/// How many parameters a function has: behind the calling convention and the attributes, in front of which a member
/// function has the types of its class and of `this`.
fn parameters(reader: &mut Reader<'_>, record_kind: u16) -> Result<u16, TypeError> {
    let mut this = 0;
    if record_kind == kind::MEMBER_FUNCTION {
        reader.type_index()?;
        this = u16::from(reader.type_index()? != TypeIndex(0));
    }
    reader.u16()?;
    Ok(reader.u16()?.saturating_add(this))
}

fn aggregate<'a>(reader: &mut Reader<'a>, record_kind: u16) -> Result<Aggregate<'a>, TypeError> {
    let count = reader.u16()?;
    let properties = reader.u16()?;
    let fields = reader.type_index()?;
    if record_kind != kind::UNION {
        reader.type_index()?; // what it is derived from, which nobody fills in
        reader.type_index()?; // the shape of its virtual table
    }
    let size = reader.number()?;
    let (name, unique_name) = names(reader, properties)?;
    Ok(Aggregate {
        kind: match record_kind {
            kind::UNION => AggregateKind::Union,
            kind::STRUCTURE => AggregateKind::Structure,
            _ => AggregateKind::Class,
        },
        fields,
        count,
        forward: properties & FORWARD_REFERENCE != 0,
        size,
        name,
        unique_name,
    })
}

type Names<'a> = (&'a [u8], Option<&'a [u8]>);

fn names<'a>(reader: &mut Reader<'a>, properties: u16) -> Result<Names<'a>, TypeError> {
    let name = reader.name()?;
    let has_unique = properties & HAS_UNIQUE_NAME != 0;
    Ok((name, has_unique.then(|| reader.name()).transpose()?))
}
