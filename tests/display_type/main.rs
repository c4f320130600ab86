//! `dt` against listings that users of WinDbg published. Each test names where its text is from;
//! the structures are built as those listings show them, and filled with the values they show.

use poolhit::address::Va;
use poolhit::image::pdb::PdbFile;
use poolhit::report::typed::{FieldPath, ListingError, ListingOptions, write_type};
use poolhit::symbols::TypeTable;
use poolhit::{Lab, Session};
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::type_builder::TypeBuilder;

mod command;
mod guest_types;
mod numbers;
mod structures;

const VOID_POINTER: u32 = 0x603;
const CHAR: u32 = 0x70;
const UCHAR: u32 = 0x20;
const WCHAR: u32 = 0x71;
const SHORT: u32 = 0x11;
const USHORT: u32 = 0x21;
const LONG: u32 = 0x12;
const ULONG: u32 = 0x22;
const INT64: u32 = 0x13;
const UINT64: u32 = 0x23;

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

fn table(types: &TypeBuilder) -> TypeTable {
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000).types(types.build());
    TypeTable::from_pdb(&PdbFile::parse(&pdb.build()).unwrap())
}

/// Memory of the guest's that nothing uses while it is stopped, filled with zeros.
fn scratch(session: &mut Session) -> Va {
    let at = session.resolve("nt!PagedPoolDescriptor").unwrap();
    session.write(at, &[0; 0x1000]).unwrap();
    at
}

fn options() -> ListingOptions {
    ListingOptions::default()
}

fn fields(paths: &[&str]) -> ListingOptions {
    ListingOptions {
        fields: paths
            .iter()
            .map(|path| FieldPath::new(path, false))
            .collect(),
        ..options()
    }
}

#[track_caller]
fn check(
    session: &Session,
    table: &TypeTable,
    name: &str,
    at: Option<Va>,
    options: &ListingOptions,
    expected: &str,
) {
    let ty = table.find(name).unwrap().unwrap();
    let mut text = String::new();
    // An error stands below the listing.
    match write_type(&mut text, session, ty, at, options) {
        Err(error @ ListingError::Unreadable(_)) => text.extend([error.to_string(), "\n".into()]),
        result => result.unwrap(),
    }
    assert_eq!(text, expected);
}
