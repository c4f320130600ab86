//! What a PDB says of lines, against another reader of PDBs.

use crate::driver::{FILE, image, line};
use pdb::{FallibleIterator, PDB};
use poolhit::address::Rva;
use poolhit::image::lines::LineError;
use poolhit::image::pdb::PdbFile;
use poolhit::symbols::LineTable;
use poolhit_fixtures::line_builder::LineBuilder;
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::prebuilt::{File, KERNEL_PDB, KERNELBASE_PDB, LEAKY_PDB, NTDLL_PDB};
use std::io::Cursor;

/// Where code starts, its end, file and line, by the `pdb` crate's own line programs.
fn by_pdb_crate(file: File) -> Vec<(u32, u32, String, u32)> {
    let mut pdb = PDB::open(Cursor::new(file.bytes)).unwrap();
    let map = pdb.address_map().unwrap();
    let names = pdb.string_table().unwrap();
    let information = pdb.debug_information().unwrap();
    let mut modules = information.modules().unwrap();
    let mut all = Vec::new();
    while let Some(module) = modules.next().unwrap() {
        let Some(module) = pdb.module_info(&module).unwrap() else {
            continue;
        };
        let program = module.line_program().unwrap();
        let mut lines = program.lines();
        while let Some(line) = lines.next().unwrap() {
            let start = line.offset.to_rva(&map).unwrap().0;
            let file = program.get_file_info(line.file_index).unwrap();
            let file = file.name.to_string_lossy(&names).unwrap().into_owned();
            let length = line.length.unwrap();
            if length > 0 && line.line_start > 0 {
                all.push((start, start + length, file, line.line_start));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn another_reader_finds_the_same() {
    for file in [LEAKY_PDB, KERNEL_PDB, NTDLL_PDB, KERNELBASE_PDB] {
        let pdb = PdbFile::parse(file.bytes).unwrap();
        let lines = pdb.lines().unwrap();
        let (ranges, error) = lines.ranges();
        assert_eq!(error, None);
        let own = ranges.iter().map(|range| {
            let name = lines.file_name(range.file).unwrap();
            (range.start.0, range.end.0, name, range.line)
        });
        let mut own: Vec<_> = own.collect();
        own.sort();
        assert!(own.len() > 5, "{}", file.name);
        assert_eq!(own, by_pdb_crate(file), "{}", file.name);
    }
}

#[test]
fn every_byte_of_a_range_has_its_line_and_no_other() {
    let pdb = PdbFile::parse(LEAKY_PDB.bytes).unwrap();
    let table = LineTable::from_pdb(&pdb);
    let (ranges, _) = pdb.lines().unwrap().ranges();
    let mut known = 0;
    for at in 0..0x3000 {
        let range = ranges
            .iter()
            .find(|range| (range.start.0..range.end.0).contains(&at));
        let found = table.find(Rva(at));
        assert_eq!(
            found.as_ref().map(|found| found.line),
            range.map(|range| range.line),
            "{at:#x}"
        );
        known += u32::from(found.is_some_and(|found| found.file == FILE));
    }
    assert!(known > 0x200);
}

#[test]
fn a_call_has_its_own_line_and_not_the_next_ones() {
    let file = image();
    let symbol = file.symbols.by_name("Parse").unwrap();
    let (start, end) = (symbol.rva.0, symbol.rva.0 + symbol.length);
    let lines: Vec<u32> = (start..end)
        .map(|at| file.lines.find(Rva(at)).unwrap().line)
        .collect();
    assert!(lines.contains(&line("caller of the error path")));
}

/// The table of one function at section 1, offset 0x100, of 0x40 bytes.
fn table(files: &[(&str, &[(u32, u32)])]) -> LineTable {
    let mut lines = LineBuilder::new();
    let files: Vec<_> = files
        .iter()
        .map(|(name, rows)| (lines.file(name), *rows))
        .collect();
    lines.function(1, 0x100, 0x40, &files);
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000)
        .lines(lines.records())
        .names(lines.names());
    LineTable::from_pdb(&PdbFile::parse(&pdb.build()).unwrap())
}

#[track_caller]
fn check(table: &LineTable, expected: &[(u32, Option<&str>)]) {
    assert_eq!(table.error(), None);
    for (at, line) in expected {
        let found = table.find(Rva(0x1100 + at)).map(|found| found.to_string());
        assert_eq!(found.as_deref(), *line, "{at:#x}");
    }
}

#[test]
fn a_line_goes_on_up_to_the_next_one_of_any_file() {
    let table = table(&[
        ("a.c", &[(0, 10), (0x10, 12), (0x30, 13)]),
        ("a.h", &[(0x20, 3), (0x28, 4)]),
    ]);
    check(
        &table,
        &[
            (0, Some("a.c @ 10")),
            (0xf, Some("a.c @ 10")),
            (0x10, Some("a.c @ 12")),
            (0x1f, Some("a.c @ 12")),
            (0x20, Some("a.h @ 3")),
            (0x2f, Some("a.h @ 4")),
            (0x30, Some("a.c @ 13")),
            (0x3f, Some("a.c @ 13")),
            (0x40, None),
        ],
    );
    assert_eq!(table.find(Rva(0x10ff)), None);
}

#[test]
fn hidden_code_has_no_line() {
    let rows = [
        (0, 10),
        (8, 0xfeefee),
        (0x10, 11),
        (0x18, 0xf00f00),
        (0x20, 0),
        (0x30, 12),
    ];
    let table = table(&[("a.c", &rows)]);
    check(
        &table,
        &[
            (7, Some("a.c @ 10")),
            (8, None),
            (0x10, Some("a.c @ 11")),
            (0x18, None),
            (0x2f, None),
            (0x30, Some("a.c @ 12")),
        ],
    );
}

#[test]
fn lines_behind_a_functions_end_are_cut() {
    let table = table(&[("a.c", &[(0, 10), (0x39, 11), (0x50, 12)])]);
    check(
        &table,
        &[
            (0x38, Some("a.c @ 10")),
            (0x3f, Some("a.c @ 11")),
            (0x40, None),
            (0x50, None),
        ],
    );
}

#[test]
fn columns_are_there_if_the_compiler_wrote_them() {
    let mut lines = LineBuilder::new();
    let file = lines.file("a.c");
    lines.function_with_column(1, 0, 8, &[(file, &[(0, 10), (4, 11)])], 5);
    lines.function(1, 8, 8, &[(file, &[(0, 12)])]);
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000)
        .lines(lines.records())
        .names(lines.names());
    let table = LineTable::from_pdb(&PdbFile::parse(&pdb.build()).unwrap());
    let found = [4, 8].map(|at| table.find(Rva(0x1000 + at)).unwrap());
    assert_eq!(
        found.map(|found| (found.line, found.column)),
        [(11, Some(5)), (12, None)]
    );
}

/// Code of an image that was reordered after linking is where it went.
#[test]
fn reordered_code_keeps_its_lines() {
    let mut lines = LineBuilder::new();
    let file = lines.file("a.c");
    lines.function(1, 0, 0x10, &[(file, &[(0, 1)])]);
    lines.function(1, 0x10, 0x10, &[(file, &[(0, 2)])]);
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x4000, 0x1000).original_section(0x1000, 0x1000);
    pdb.omap(0x1000, 0x4100)
        .omap(0x1010, 0)
        .omap(0x1020, 0x4000);
    pdb.lines(lines.records()).names(lines.names());
    let table = LineTable::from_pdb(&PdbFile::parse(&pdb.build()).unwrap());
    assert_eq!(table.find(Rva(0x4100)).unwrap().line, 1);
    assert_eq!(table.len(), 1);
}

#[test]
fn a_pdb_without_names_says_so() {
    let mut lines = LineBuilder::new();
    let file = lines.file("a.c");
    lines.function(1, 0, 0x10, &[(file, &[(0, 1)])]);
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000).lines(lines.records());
    let pdb = PdbFile::parse(&pdb.build()).unwrap();
    assert!(matches!(pdb.lines(), Err(LineError::NoStream { .. })));
    let table = LineTable::from_pdb(&pdb);
    assert!(table.is_empty());
    assert_eq!(
        table.error().unwrap().to_string(),
        "the PDB's source lines cannot be read: the names of files: the PDB names no such stream"
    );
}

#[test]
fn the_lines_in_front_of_a_broken_record_stand() {
    let mut lines = LineBuilder::new();
    let file = lines.file("a.c");
    lines.function(1, 0, 0x10, &[(file, &[(0, 1)])]);
    let mut records = lines.records();
    let at = records.len();
    records.extend([0xf2, 0, 0, 0, 0xff, 0, 0, 0]);
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000)
        .lines(records)
        .names(lines.names());
    let (ranges, error) = PdbFile::parse(&pdb.build())
        .unwrap()
        .lines()
        .unwrap()
        .ranges();
    let reason = "a record does not fit";
    assert_eq!(
        error,
        Some(LineError::Broken {
            module: 1,
            at,
            reason
        })
    );
    assert_eq!(ranges.len(), 1);
}
