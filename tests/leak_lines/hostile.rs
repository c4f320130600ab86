//! PDBs whose lines somebody broke: reading them ends with lines or an error, never with a panic.

use poolhit::address::Rva;
use poolhit::image::lines::{FILE_NAME_LIMIT, LineError};
use poolhit::image::pdb::PdbFile;
use poolhit::symbols::LineTable;
use poolhit_fixtures::line_builder::{LineBuilder, record};
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::prebuilt::LEAKY_PDB;
use proptest::prelude::*;

fn lines() -> LineBuilder {
    let mut lines = LineBuilder::new();
    let (a, b) = (lines.file("a.c"), lines.file("b.h"));
    lines.function(
        1,
        0x10,
        0x30,
        &[(a, &[(0, 1), (8, 2), (0x20, 3)]), (b, &[(0x10, 7)])],
    );
    lines.function_with_column(1, 0x40, 0x20, &[(a, &[(0, 9), (4, 10)])], 3);
    lines.function(1, 0x60, 0x10, &[(b, &[(0, 0xfeefee), (4, 10)])]);
    lines
}

fn pdb(records: Vec<u8>, names: Vec<u8>) -> Vec<u8> {
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000).lines(records).names(names);
    pdb.build()
}

/// Looks at everything there is; every line has a place.
fn use_lines(bytes: &[u8]) -> Option<LineTable> {
    let pdb = PdbFile::parse(bytes).ok()?;
    let table = LineTable::from_pdb(&pdb);
    let _ = table.error().map(ToString::to_string);
    for at in (0x1000..0x1100).chain([0, u32::MAX]) {
        if let Some(line) = table.find(Rva(at)) {
            assert!(
                line.line > 0 && !line.file.is_empty() && line.file.len() <= 3 * FILE_NAME_LIMIT
            );
            assert!(!line.file.chars().any(char::is_control));
        }
    }
    if let Ok(lines) = pdb.lines() {
        let (ranges, _) = lines.ranges();
        assert!(ranges.iter().all(|range| range.start < range.end));
        assert!(ranges.is_sorted_by_key(|range| range.start));
        assert_eq!(ranges.len(), table.len());
    }
    Some(table)
}

fn error(records: Vec<u8>) -> LineError {
    let table = use_lines(&pdb(records, lines().names())).unwrap();
    table.error().cloned().expect("an error")
}

#[test]
fn every_cut_and_every_bit() {
    let (records, names) = (lines().records(), lines().names());
    assert!(
        use_lines(&pdb(records.clone(), names.clone()))
            .unwrap()
            .error()
            .is_none()
    );
    for end in 0..records.len() {
        use_lines(&pdb(records[..end].to_vec(), names.clone()));
    }
    for at in 0..records.len() {
        for bit in 0..8 {
            let mut broken = records.clone();
            broken[at] ^= 1 << bit;
            use_lines(&pdb(broken, names.clone()));
        }
    }
}

#[test]
fn lengths_that_do_not_fit() {
    let header =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let function = [0, 1, 0x10];
    let reason = |body: &[u32]| match error(record(0xf2, &header(body))) {
        LineError::Broken { reason, .. } => reason,
        other => panic!("{other}"),
    };
    assert_eq!(
        reason(&[0, 1]),
        "the header of a function's lines does not fit"
    );
    let with = |block: &[u32]| [&function[..], block].concat();
    assert_eq!(
        reason(&with(&[0, 0])),
        "the header of a file's lines does not fit"
    );
    assert_eq!(reason(&with(&[0, 0, 13])), "a file's lines do not fit");
    for (count, size) in [(1, 12), (u32::MAX, 12), (0, 0), (0x2000_0000, 12), (0, 11)] {
        assert_eq!(
            reason(&with(&[0, count, size])),
            "more lines than there is room for"
        );
    }
    assert!(matches!(
        error(vec![0xf2, 0, 0]),
        LineError::Broken { at: 0, .. }
    ));
}

#[test]
fn names_have_a_limit() {
    let found = |length: usize| {
        let mut lines = LineBuilder::new();
        let file = lines.file(&"x".repeat(length));
        lines.function(1, 0, 0x10, &[(file, &[(0, 1)])]);
        let table = use_lines(&pdb(lines.records(), lines.names())).unwrap();
        table.find(Rva(0x1000)).map(|line| line.file.len())
    };
    assert_eq!(found(FILE_NAME_LIMIT), Some(FILE_NAME_LIMIT));
    assert_eq!(found(FILE_NAME_LIMIT + 1), None);
    assert_eq!(found(0), None);
    // The last name has no end.
    let (records, mut names) = (lines().records(), lines().names());
    names.pop();
    let table = use_lines(&pdb(records, names)).unwrap();
    assert_eq!(table.find(Rva(0x1064)), None);
    assert!(table.find(Rva(0x1010)).is_some());
}

#[derive(Clone, Debug)]
enum Damage {
    Bit(prop::sample::Index, u8),
    Word(prop::sample::Index, u32),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let word = prop_oneof![0u32..64, 0xf0u32..0xf8, Just(u32::MAX), any::<u32>()];
    let one = prop_oneof![
        (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        (any::<prop::sample::Index>(), word).prop_map(|(at, word)| Damage::Word(at, word)),
    ];
    prop::collection::vec(one, 1..6)
}

fn apply(bytes: &mut [u8], damages: &[Damage]) {
    for damage in damages {
        match damage {
            Damage::Bit(at, bit) => bytes[at.index(bytes.len())] ^= 1 << bit,
            Damage::Word(at, word) => {
                let at = at.index(bytes.len()) & !3;
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
            }
        }
    }
}

/// Where the driver's PDB has something that lines need: its stream of names, and its lists of streams.
fn places() -> [usize; 2] {
    let find = |needle: &[u8]| {
        let mut windows = LEAKY_PDB.bytes.windows(needle.len());
        windows.position(|window| window == needle).unwrap()
    };
    // In the map of streams with names, and in front of the module list.
    [
        find(b"/names\0") - 32,
        find(&19_990_903_u32.to_le_bytes()) - 4,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn broken_records(damages in damages(), of_names in damages()) {
        let (mut records, mut names) = (lines().records(), lines().names());
        apply(&mut records, &damages);
        apply(&mut names, &of_names);
        use_lines(&pdb(records, names));
    }

    #[test]
    fn random_records(kind in 0xf1u32..0xf6, body in prop::collection::vec(any::<u8>(), 0..200), rest: Vec<u8>) {
        let mut records = record(kind, &body);
        records.extend(rest);
        use_lines(&pdb(records, lines().names()));
    }

    #[test]
    fn a_broken_drivers_pdb(damages in damages(), anywhere in damages(), which in 0..2_usize, cut in any::<prop::sample::Index>()) {
        let start = places()[which];
        let mut bytes = LEAKY_PDB.bytes.to_vec();
        apply(&mut bytes[start..start + 0x200], &damages);
        use_lines(&bytes);
        apply(&mut bytes, &anywhere);
        use_lines(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        use_lines(&bytes);
    }
}
