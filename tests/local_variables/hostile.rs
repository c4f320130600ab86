//! PDBs whose variables somebody broke: reading them ends with variables or without, never with a panic.

use super::records::{local, pdb, procedure};
use poolhit::address::Rva;
use poolhit::image::pdb::PdbFile;
use poolhit::symbols::TypeTable;
use poolhit_fixtures::pdb_builder::{PdbBuilder, symbol};
use poolhit_fixtures::prebuilt::LEAKY_PDB;
use proptest::prelude::*;

/// Looks at everything there is.
fn use_locals(bytes: &[u8]) {
    let Ok(pdb) = PdbFile::parse(bytes) else {
        return;
    };
    let types = TypeTable::from_pdb(&pdb);
    let starts: Vec<Rva> = pdb.locals().map_or(Vec::new(), |locals| {
        let all = locals.procedures();
        assert!(all.is_sorted_by_key(|one| one.start));
        all.iter().map(|one| one.start).collect()
    });
    for start in starts.into_iter().take(64) {
        for at in [0, 1, 0x10, 0x20, 0x40].map(|offset| Rva(start.0.wrapping_add(offset))) {
            let Some(procedure) = types.procedure(at) else {
                continue;
            };
            for local in procedure.locals(at) {
                assert!(!local.name.is_empty());
                assert!(!local.name.chars().any(char::is_control));
                local.ty.declared_name();
            }
        }
    }
}

/// A record of one of the kinds that are looked at, or near them, with any body.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just(6_u16),
        Just(0x1012),
        0x1102_u16..0x1112,
        0x113e_u16..0x1158,
        any::<u16>()
    ];
    let number = prop_oneof![0_u8..0x30, any::<u8>()];
    let body = prop::collection::vec(number, 0..48);
    (kind, body, "[a-z\\PC]{0,6}").prop_map(|(kind, body, name)| symbol(kind, &body, &name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_records(records in prop::collection::vec(any_record(), 0..40), rest: Vec<u8>) {
        let mut all = vec![procedure(0x1110, 0, 0x100, 0x1000), local("A", 1)];
        all.extend(records);
        all.push(rest);
        use_locals(&pdb(&all));
    }

    #[test]
    fn any_bytes_for_symbols(bytes: Vec<u8>) {
        let mut builder = PdbBuilder::new([7; 16], 1);
        builder.section(0x1000, 0x1000);
        use_locals(&builder.symbols(&[bytes]).build());
    }

    #[test]
    fn a_broken_drivers_pdb(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = LEAKY_PDB.bytes.to_vec();
        // where its symbols are
        let name = b"LeakyDeviceControl\0";
        let place = bytes.windows(name.len()).rposition(|window| window == name).unwrap();
        let from = place.saturating_sub(0x400);
        for (at, value) in damages {
            bytes[from + at.index(0x800)] = value;
        }
        use_locals(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        use_locals(&bytes);
    }
}

#[test]
fn scopes_without_end_are_left() {
    let block = symbol(0x1103, &[0; 18], "");
    let mut records = vec![procedure(0x1110, 0, 0x100, 0)];
    records.extend(std::iter::repeat_n(block, 100_000));
    records.push(local("A", 0));
    use_locals(&pdb(&records));
}
