//! The members of structures, and the enumerators of enumerations.

use super::error::TypeError;
use super::reader::Reader;
use super::record::TypeRecord;
use super::stream::{TypeIndex, TypeStream};

/// The most members that a type may have.
pub const MEMBER_LIMIT: usize = 65_536;
/// The most records that the members of one type may be spread over; a record has up to 64 KB.
pub const FIELD_LIST_LIMIT: usize = 16;

/// The kinds of members (`LF_…`).
mod kind {
    pub(super) const BASE_CLASS: u16 = 0x1400;
    pub(super) const VIRTUAL_BASE: u16 = 0x1401;
    pub(super) const INDIRECT_VIRTUAL_BASE: u16 = 0x1402;
    pub(super) const CONTINUATION: u16 = 0x1404;
    pub(super) const VIRTUAL_TABLE: u16 = 0x1409;
    pub(super) const BASE_INTERFACE: u16 = 0x151a;
    pub(super) const ENUMERATOR: u16 = 0x1502;
    pub(super) const MEMBER: u16 = 0x150d;
    pub(super) const STATIC_MEMBER: u16 = 0x150e;
    pub(super) const METHODS: u16 = 0x150f;
    pub(super) const NESTED_TYPE: u16 = 0x1510;
    pub(super) const ONE_METHOD: u16 = 0x1511;
    pub(super) const NESTED_TYPE_WITH_ACCESS: u16 = 0x1512;
}

/// A member of a structure or an enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    /// Data.
    Field {
        /// Its name.
        name: &'a [u8],
        /// Its type, which may be bits of a number.
        ty: TypeIndex,
        /// Where it is in the structure, in bytes.
        offset: u64,
    },
    /// A base class.
    Base {
        /// The class.
        ty: TypeIndex,
        /// Where it is in the structure, in bytes.
        offset: u64,
    },
    /// The pointer to the virtual functions.
    VirtualTable {
        /// The pointer's type.
        ty: TypeIndex,
    },
    /// A name for a value.
    Enumerator {
        /// The name.
        name: &'a [u8],
        /// The value; a negative one in two's complement.
        value: u64,
    },
    /// What takes no place in the structure: functions, static members, nested types, and virtual
    /// bases, whose place is known at run time only.
    Nothing,
}

impl TypeStream {
    /// The members in a field list, in their order.
    ///
    /// # Errors
    /// The record is no field list, a member cannot be read, or there are more than
    /// [`MEMBER_LIMIT`] members or [`FIELD_LIST_LIMIT`] continuations.
    ///
    /// ```
    /// use poolhit::image::types::{Member, TypeIndex, TypeStream};
    /// use poolhit_fixtures::type_builder::TypeBuilder;
    /// let mut types = TypeBuilder::new();
    /// let list = types.field_list().member("Tag", TypeIndex::BASIC_U32, 4).finish();
    /// let stream = TypeStream::parse(types.build())?;
    /// let members = stream.members(TypeIndex(list))?;
    /// let tag = Member::Field { name: b"Tag", ty: TypeIndex(0x75), offset: 4 };
    /// assert_eq!(members, [tag]);
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn members(&self, list: TypeIndex) -> Result<Vec<Member<'_>>, TypeError> {
        let mut members = Vec::new();
        let mut next = Some(list);
        let mut lists = 0;
        while let Some(index) = next {
            lists += 1;
            if lists > FIELD_LIST_LIMIT {
                return Err(TypeError::TooMany {
                    index: list,
                    what: "field lists",
                    limit: FIELD_LIST_LIMIT,
                });
            }
            let TypeRecord::FieldList(bytes) = self.record(index)? else {
                return Err(TypeError::WrongKind {
                    index,
                    kind: self.kind(index).unwrap_or_default(),
                    wanted: "a field list",
                });
            };
            next = read_list(index, bytes, &mut members)?;
        }
        Ok(members)
    }
}

/// Reads one field list; gives the one that continues it.
fn read_list<'a>(
    index: TypeIndex,
    bytes: &'a [u8],
    members: &mut Vec<Member<'a>>,
) -> Result<Option<TypeIndex>, TypeError> {
    const FIELD_LIST: u16 = 0x1203;
    let mut reader = Reader::new(bytes, index, FIELD_LIST);
    reader.skip_padding();
    while !reader.is_empty() {
        let member_kind = reader.u16()?;
        if member_kind == kind::CONTINUATION {
            reader.u16()?;
            return Ok(Some(reader.type_index()?));
        }
        members.push(read_member(&mut reader, index, member_kind)?);
        if members.len() > MEMBER_LIMIT {
            return Err(TypeError::TooMany {
                index,
                what: "members",
                limit: MEMBER_LIMIT,
            });
        }
        reader.skip_padding();
    }
    Ok(None)
}

fn read_member<'a>(
    reader: &mut Reader<'a>,
    index: TypeIndex,
    member_kind: u16,
) -> Result<Member<'a>, TypeError> {
    // every kind but one has attributes or a filler here
    let attributes = reader.u16()?;
    Ok(match member_kind {
        kind::MEMBER => Member::Field {
            ty: reader.type_index()?,
            offset: reader.number()?,
            name: reader.name()?,
        },
        kind::ENUMERATOR => Member::Enumerator {
            value: reader.number()?,
            name: reader.name()?,
        },
        kind::BASE_CLASS | kind::BASE_INTERFACE => Member::Base {
            ty: reader.type_index()?,
            offset: reader.number()?,
        },
        kind::VIRTUAL_TABLE => Member::VirtualTable {
            ty: reader.type_index()?,
        },
        kind::VIRTUAL_BASE | kind::INDIRECT_VIRTUAL_BASE => {
            reader.type_index()?;
            reader.type_index()?;
            reader.number()?;
            reader.number()?;
            Member::Nothing
        }
        kind::STATIC_MEMBER | kind::METHODS | kind::NESTED_TYPE | kind::NESTED_TYPE_WITH_ACCESS => {
            reader.type_index()?;
            reader.name()?;
            Member::Nothing
        }
        kind::ONE_METHOD => {
            reader.type_index()?;
            // bits 2 to 4; 4 and 6 introduce a virtual function, whose place in the table follows
            if matches!(attributes >> 2 & 7, 4 | 6) {
                reader.u32()?;
            }
            reader.name()?;
            Member::Nothing
        }
        kind => return Err(TypeError::UnknownMember { index, kind }),
    })
}
