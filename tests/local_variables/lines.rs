//! Addresses of source lines.

use poolhit::address::{CodeAddress, Rva};
use poolhit::image::pdb::PdbFile;
use poolhit::symbols::LineTable;
use poolhit::{Lab, Session};
use poolhit_fixtures::line_builder::LineBuilder;
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::prebuilt::LEAKY_PDB;

fn table(build: impl FnOnce(&mut LineBuilder)) -> LineTable {
    let mut lines = LineBuilder::new();
    build(&mut lines);
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000)
        .lines(lines.records())
        .names(lines.names());
    LineTable::from_pdb(&PdbFile::parse(&pdb.build()).unwrap())
}

#[test]
fn pieces_of_a_line_and_lines_without_code() {
    let table = table(|lines| {
        let file = lines.file(r"c:\src\one\a.c");
        let code = [(0, 10), (4, 11), (8, 10), (0xc, 10), (0x10, 14)];
        lines.function(1, 0, 0x20, &[(file, &code)]);
        lines.function(1, 0x20, 0x10, &[(file, &[(0, 14), (4, 20)])]);
        let other = lines.file(r"c:\src\two\A.C");
        lines.function(1, 0x40, 0x10, &[(other, &[(0, 5), (4, 30)])]);
    });
    for (file, line, expected) in [
        ("a.c", Some(10), &[0x1000, 0x1008][..]),
        ("A.c", Some(1), &[0x1000, 0x1008]),
        ("one/a.c", Some(11), &[0x1004]),
        // the end of one function and the start of the next are one piece
        (r"ONE\a.c", Some(12), &[0x1010]),
        ("a.c", Some(20), &[0x1024]),
        ("a.c", Some(21), &[]),
        (r"two\a.c", Some(21), &[0x1044]),
        (r"c:\src\two\a.c", None, &[0x1040]),
        ("a.c", None, &[0x1000]),
        (".c", None, &[]),
        ("", None, &[]),
        (r"d:\c:\src\two\a.c", Some(5), &[]),
    ] {
        let starts = table.starts_of(file, line);
        let expected: Vec<Rva> = expected.iter().map(|at| Rva(*at)).collect();
        assert_eq!(starts, expected, "{file} {line:?}");
    }
    assert_eq!(table.start_of(Rva(0x100b)), Some(Rva(0x1008)));
    assert_eq!(table.start_of(Rva(0x1030)), None);
}

/// Every address that a line is said to start at is of that line, and every start of a line is found.
#[test]
fn there_and_back() {
    let table = LineTable::from_pdb(&PdbFile::parse(LEAKY_PDB.bytes).unwrap());
    let mut checked = 0;
    for at in (0x1000..0x2000).map(Rva) {
        let Some(line) = table.find(at) else {
            continue;
        };
        let starts = table.starts_of(&line.file, Some(line.line));
        let found: Vec<_> = starts
            .iter()
            .map(|start| table.find(*start).unwrap())
            .collect();
        assert!(
            found
                .iter()
                .all(|one| (&one.file, one.line) == (&line.file, line.line))
        );
        // code of the line before it in one piece may have no start of its own
        let start = starts.iter().rev().find(|start| **start <= at).unwrap();
        assert!(
            (start.0..=at.0).all(|at| table.find(Rva(at)).is_some_and(|one| one.line == line.line))
        );
        checked += 1;
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn a_session_finds_its_lines() {
    let session = Session::new(Lab::builder().build().unwrap());
    let entry = session.resolve("nt!ExFreePool").unwrap();
    let line = session
        .source_line(CodeAddress::InstructionPointer(entry))
        .unwrap();
    for file in [line.file.clone(), format!("NT!{}", line.file)] {
        assert_eq!(session.addresses_of_line(&file, line.line), [entry]);
    }
    assert!(
        session
            .addresses_of_line(&format!("myfault!{}", line.file), line.line)
            .is_empty()
    );
    assert!(!session.shows_source_lines());
}
