//! Procedures, and what is in their scopes.

use super::super::lines::{u16_at, u32_at};
use super::super::pdb_address::AddressMap;
use super::super::types::TypeIndex;
use super::record::{self, Bases, kind};
use super::{LocalPlace, LocalRecord};
use crate::address::Rva;

/// The most records of one procedure that are looked at.
pub const RECORD_LIMIT: usize = 1 << 14;
/// In front of the records of a module: its signature.
const SIGNATURE_SIZE: usize = 4;
/// RBP, which `S_BPREL32` is told from.
const RBP: u16 = 334;

/// A procedure of a PDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcedureRecord {
    /// Its first byte.
    pub start: Rva,
    /// Its length in bytes.
    pub length: u32,
    /// Its type.
    pub ty: TypeIndex,
    pub(super) module: usize,
    /// Where the records behind its own are.
    inside: usize,
}

/// Adds the procedures of a module.
pub(super) fn find(
    module: usize,
    records: &[u8],
    map: &AddressMap,
    found: &mut Vec<ProcedureRecord>,
) {
    let mut at = SIGNATURE_SIZE;
    while let Some(one) = record::at(records, at) {
        at = one.next;
        if !record::is_procedure(one.kind) {
            continue;
        }
        let parse = || {
            let place = (u16_at(one.body, 32)?, u32_at(one.body, 28)?);
            Some(ProcedureRecord {
                start: map.rva(place.0, place.1)?,
                length: u32_at(one.body, 12)?,
                // of a record with the number of an item (LF_FUNC_ID) the type is not looked for
                ty: TypeIndex(match record::is_item(one.kind) {
                    true => 0,
                    false => u32_at(one.body, 24)?,
                }),
                module,
                inside: one.next,
            })
        };
        found.extend(parse());
    }
}

/// What is in scope at an address.
pub(super) fn locals(
    procedure: &ProcedureRecord,
    records: &[u8],
    map: &AddressMap,
    address: Rva,
    mut parameters: u16,
) -> Vec<LocalRecord> {
    let mut found: Vec<LocalRecord> = Vec::new();
    let mut bases = Bases::default();
    // How many scopes are open inside the procedure's, and the outermost that the address is not in.
    let (mut depth, mut hidden) = (0_usize, None);
    // The records of places are about the last variable.
    let mut has_places = false;
    let mut at = procedure.inside;
    for _ in 0..RECORD_LIMIT {
        let Some(one) = record::at(records, at) else {
            break;
        };
        at = one.next;
        if record::is_procedure(one.kind) {
            // No compiler puts one into another: the end of this one is missing.
            break;
        }
        if record::opens(one.kind) {
            depth += 1;
            let is_open = one.kind == kind::BLOCK32 && record::block_has(one.body, map, address);
            if !is_open && hidden.is_none() {
                hidden = Some(depth);
            }
        } else if record::closes(one.kind) {
            if hidden == Some(depth) {
                hidden = None;
            }
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => break,
            }
        }
        if hidden.is_some() {
            has_places = false;
            continue;
        }
        if kind::DEFRANGES.contains(&one.kind) {
            if let Some(last) = found.last_mut().filter(|_| has_places)
                && last.place.is_none()
            {
                let base = match last.is_parameter {
                    true => bases.parameters,
                    false => bases.locals,
                };
                last.place = record::place(one, map, address, base);
            }
            continue;
        }
        has_places = false;
        if one.kind == kind::FRAMEPROC {
            bases = Bases::parse(one.body).unwrap_or_default();
        } else if one.kind == kind::LOCAL {
            let local = modern(one.body);
            has_places = local.is_some();
            found.extend(local);
        } else if let Some(mut local) = older(one) {
            local.is_parameter = parameters > 0;
            parameters = parameters.saturating_sub(1);
            found.push(local);
        }
    }
    found
}

/// `S_LOCAL`: type, flags, name. Its places are told by the records behind it.
fn modern(body: &[u8]) -> Option<LocalRecord> {
    const IS_PARAMETER: u16 = 1;
    Some(LocalRecord {
        ty: TypeIndex(u32_at(body, 0)?),
        is_parameter: u16_at(body, 4)? & IS_PARAMETER != 0,
        name: record::name(body, 6)?,
        place: None,
    })
}

/// `S_REGREL32`: offset, type, register, name; `S_BPREL32`: offset, type, name; `S_REGISTER`: type, register, name.
fn older(one: record::Record<'_>) -> Option<LocalRecord> {
    let body = one.body;
    let offset = || u32_at(body, 0).map(|offset| offset as i32);
    let (ty, place, name) = match one.kind {
        kind::REGREL32 => {
            let (base, offset) = (u16_at(body, 8)?, offset()?);
            (4, LocalPlace::Memory { base, offset }, 10)
        }
        kind::BPREL32 => {
            let (base, offset) = (RBP, offset()?);
            (4, LocalPlace::Memory { base, offset }, 8)
        }
        kind::REGISTER => (0, LocalPlace::Register(u16_at(body, 4)?), 6),
        _ => return None,
    };
    Some(LocalRecord {
        ty: TypeIndex(u32_at(body, ty)?),
        name: record::name(body, name)?,
        is_parameter: false,
        place: Some(place),
    })
}
