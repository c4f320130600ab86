//! The records one by one: those that make scopes, and those of variables.

use super::super::lines::{u16_at, u32_at};
use super::super::pdb_address::AddressMap;
use super::super::text::printable;
use super::LocalPlace;
use crate::address::Rva;

/// The kinds that are looked at (`SYM_ENUM_e`).
pub(super) mod kind {
    pub const END: u16 = 0x0006;
    pub const FRAMEPROC: u16 = 0x1012;
    pub const THUNK32: u16 = 0x1102;
    pub const BLOCK32: u16 = 0x1103;
    pub const WITH32: u16 = 0x1104;
    pub const REGISTER: u16 = 0x1106;
    pub const BPREL32: u16 = 0x110b;
    pub const LPROC32: u16 = 0x110f;
    pub const GPROC32: u16 = 0x1110;
    pub const REGREL32: u16 = 0x1111;
    pub const SEPCODE: u16 = 0x1132;
    pub const LOCAL: u16 = 0x113e;
    pub const DEFRANGE_REGISTER: u16 = 0x1141;
    pub const DEFRANGE_FRAMEPOINTER_REL: u16 = 0x1142;
    pub const DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE: u16 = 0x1144;
    pub const DEFRANGE_REGISTER_REL: u16 = 0x1145;
    pub const LPROC32_ID: u16 = 0x1146;
    pub const GPROC32_ID: u16 = 0x1147;
    pub const INLINESITE: u16 = 0x114d;
    pub const INLINESITE_END: u16 = 0x114e;
    pub const PROC_ID_END: u16 = 0x114f;
    pub const LPROC32_DPC: u16 = 0x1155;
    pub const LPROC32_DPC_ID: u16 = 0x1156;
    pub const INLINESITE2: u16 = 0x115d;
    /// The first and the last of the places of variables (`S_DEFRANGE_…`).
    pub const DEFRANGES: std::ops::RangeInclusive<u16> = 0x113f..=0x1145;
}

/// RSP, RBP and R13, of which a frame's variables may be told from (`CV_AMD64_…`).
const RSP: u16 = 335;
const RBP: u16 = 334;
const R13: u16 = 341;

/// One record: its kind, and what follows the kind.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub kind: u16,
    pub body: &'a [u8],
    /// Where the next one is.
    pub next: usize,
}

/// The record at a place; `None` at the end and where it does not fit.
pub(super) fn at(records: &[u8], at: usize) -> Option<Record<'_>> {
    let length = usize::from(u16_at(records, at)?);
    let next = at.checked_add(2)?.checked_add(length)?;
    let body = records.get(at + 4..next)?;
    Some(Record {
        kind: u16_at(records, at + 2)?,
        body,
        next,
    })
}

/// The registers that a procedure's variables are told from.
#[derive(Clone, Copy, Default)]
pub(super) struct Bases {
    pub locals: Option<u16>,
    pub parameters: Option<u16>,
}

impl Bases {
    /// By the flags of `S_FRAMEPROC`.
    pub fn parse(body: &[u8]) -> Option<Bases> {
        let flags = u32_at(body, 22)?;
        let base = |bits: u32| [None, Some(RSP), Some(RBP), Some(R13)][(bits & 3) as usize];
        Some(Bases {
            locals: base(flags >> 14),
            parameters: base(flags >> 16),
        })
    }
}

/// A name up to its zero.
pub(super) fn name(body: &[u8], at: usize) -> Option<String> {
    let from = body.get(at..)?;
    let end = from.iter().position(|byte| *byte == 0)?;
    (end > 0).then(|| printable(&from[..end]))
}

pub(super) fn is_procedure(kind: u16) -> bool {
    matches!(
        kind,
        kind::LPROC32
            | kind::GPROC32
            | kind::LPROC32_ID
            | kind::GPROC32_ID
            | kind::LPROC32_DPC
            | kind::LPROC32_DPC_ID
    )
}

/// Whether it is a procedure that has the number of an item, and not of a type.
pub(super) fn is_item(kind: u16) -> bool {
    matches!(
        kind,
        kind::LPROC32_ID | kind::GPROC32_ID | kind::LPROC32_DPC_ID
    )
}

/// Whether a record is the start of others that belong to it.
pub(super) fn opens(kind: u16) -> bool {
    let other = [
        kind::BLOCK32,
        kind::THUNK32,
        kind::WITH32,
        kind::SEPCODE,
        kind::INLINESITE,
        kind::INLINESITE2,
    ];
    is_procedure(kind) || other.contains(&kind)
}

pub(super) fn closes(kind: u16) -> bool {
    matches!(kind, kind::END | kind::INLINESITE_END | kind::PROC_ID_END)
}

/// Whether an address is in a block (`S_BLOCK32`).
pub(super) fn block_has(body: &[u8], map: &AddressMap, at: Rva) -> bool {
    let parts = || Some((u32_at(body, 8)?, u32_at(body, 12)?, u16_at(body, 16)?));
    let Some((length, offset, section)) = parts() else {
        return false;
    };
    let start = map.rva(section, offset);
    start.is_some_and(|start| at >= start && at.0 - start.0 < length)
}

/// Where a variable is at an address, by one of its `S_DEFRANGE_…` records; `None` where that is not about the
/// address, or about a piece of the variable.
pub(super) fn place(
    record: Record<'_>,
    map: &AddressMap,
    at: Rva,
    base: Option<u16>,
) -> Option<LocalPlace> {
    let body = record.body;
    let offset = |at: usize| u32_at(body, at).map(|offset| offset as i32);
    let (place, range) = match record.kind {
        kind::DEFRANGE_REGISTER => (LocalPlace::Register(u16_at(body, 0)?), 4),
        kind::DEFRANGE_FRAMEPOINTER_REL => {
            let (base, offset) = (base?, offset(0)?);
            (LocalPlace::Memory { base, offset }, 4)
        }
        kind::DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE => {
            let (base, offset) = (base?, offset(0)?);
            return Some(LocalPlace::Memory { base, offset });
        }
        kind::DEFRANGE_REGISTER_REL => {
            // Bit 0 says that it is a part of something, and the highest bits which.
            if u16_at(body, 2)? & 0xfff1 != 0 {
                return None;
            }
            let (base, offset) = (u16_at(body, 0)?, offset(4)?);
            (LocalPlace::Memory { base, offset }, 8)
        }
        _ => return None,
    };
    in_range(body, range, map, at).then_some(place)
}

/// Whether an address is in a range of code (`CV_LVAR_ADDR_RANGE`), and in none of the gaps behind it.
fn in_range(body: &[u8], range: usize, map: &AddressMap, at: Rva) -> bool {
    let parts = || {
        let (offset, section) = (u32_at(body, range)?, u16_at(body, range + 4)?);
        Some((map.rva(section, offset)?, u16_at(body, range + 6)?))
    };
    let Some((start, length)) = parts() else {
        return false;
    };
    let Some(distance) = at.0.checked_sub(start.0) else {
        return false;
    };
    let gaps = body.get(range + 8..).unwrap_or_default();
    let in_gap = |gap: &[u8; 4]| {
        let (from, length) = (u16_at(gap, 0), u16_at(gap, 2));
        let into = from.and_then(|from| distance.checked_sub(u32::from(from)));
        matches!((into, length), (Some(into), Some(length)) if into < u32::from(length))
    };
    distance < u32::from(length) && !gaps.as_chunks::<4>().0.iter().any(in_gap)
}
