//! Variables against another reader of PDBs.

use pdb::{FallibleIterator, PDB, SymbolData};
use poolhit::address::Rva;
use poolhit::image::pdb::PdbFile;
use poolhit::symbols::TypeTable;
use poolhit_fixtures::prebuilt::{File, KERNEL_PDB, LEAKY_PDB, NTDLL_PDB};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

type Names = BTreeMap<u32, (u32, BTreeSet<(String, bool)>)>;

/// Of each procedure its length, and the names in it, by the `pdb` crate.
fn by_pdb_crate(file: File) -> Names {
    let mut pdb = PDB::open(Cursor::new(file.bytes)).unwrap();
    let map = pdb.address_map().unwrap();
    let information = pdb.debug_information().unwrap();
    let mut modules = information.modules().unwrap();
    let mut all = Names::new();
    while let Some(module) = modules.next().unwrap() {
        let Some(module) = pdb.module_info(&module).unwrap() else {
            continue;
        };
        let mut symbols = module.symbols().unwrap();
        let (mut current, mut inlined) = (None, 0);
        while let Some(symbol) = symbols.next().unwrap() {
            match symbol.raw_kind() {
                0x114d | 0x115d => inlined += 1,
                0x114e => inlined -= 1,
                _ => {}
            }
            match symbol.parse() {
                Ok(SymbolData::Procedure(one)) => {
                    let start = one.offset.to_rva(&map).unwrap().0;
                    all.insert(start, (one.len, BTreeSet::new()));
                    current = Some(start);
                }
                Ok(SymbolData::Local(one)) if inlined == 0 => {
                    let (_, names) = all.get_mut(&current.unwrap()).unwrap();
                    names.insert((one.name.to_string().into_owned(), one.flags.isparam));
                }
                _ => {}
            }
        }
    }
    all
}

#[test]
fn another_reader_finds_the_same_names() {
    for file in [LEAKY_PDB, KERNEL_PDB, NTDLL_PDB] {
        let types = TypeTable::from_pdb(&PdbFile::parse(file.bytes).unwrap());
        for (start, (length, expected)) in by_pdb_crate(file) {
            let mut found = BTreeSet::new();
            for at in (start..start + length).map(Rva) {
                let procedure = types.procedure(at).unwrap();
                assert_eq!(procedure.start(), Rva(start));
                let locals = procedure.locals(at).into_iter();
                found.extend(locals.map(|one| (one.name, one.is_parameter)));
            }
            assert_eq!(found, expected, "{} at {start:x}", file.name);
        }
    }
}
