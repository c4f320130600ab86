//! Symbols and modules over built images.

use super::SymbolTable;
use super::{Module, Modules, ResolveError, Symbol, SymbolError, SymbolKind, SymbolSource};
use crate::address::{Rva, Va};
use crate::image::PeImage;
use crate::image::pdb::PdbFile;
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
use proptest::prelude::*;
use std::sync::Arc;

const KERNEL: u64 = 0xfffff800_01450000;
const STRING: &str = "??_C@_0BB@NMHIOPAC@guest?5cold?5text@FNODOBFM@";

fn symbol(name: &str, rva: u32, kind: SymbolKind) -> Symbol {
    Symbol {
        name: name.into(),
        rva: Rva(rva),
        length: 0,
        kind,
    }
}

fn table(symbols: &[(&str, u32)]) -> Arc<SymbolTable> {
    let symbols = symbols
        .iter()
        .map(|&(name, rva)| symbol(name, rva, SymbolKind::Public));
    Arc::new(SymbolTable::new(SymbolSource::Pdb, symbols.collect()))
}

/// The kernel, a driver without symbols, and two DLLs that share a name.
fn modules() -> Modules {
    let mut modules = Modules::default();
    let kernel = [
        ("ExAllocatePoolWithTag", 0x1c00e0),
        (STRING, 0x4ecc),
        ("PoolHitTag", 0x2030fc),
    ];
    let add = |modules: &mut Modules, module| modules.add(module).map(drop).unwrap();
    add(
        &mut modules,
        Module::new("ntoskrnl.exe", Va(KERNEL), 0x3af000).with_symbols(table(&kernel)),
    );
    add(
        &mut modules,
        Module::new("myfault.sys", Va(0xfffff880_0496d000), 0x8000),
    );
    let open = table(&[("Open", 0x1000), ("close", 0x1010)]);
    let second = table(&[("Open", 0x1020), ("CLOSE", 0x1030)]);
    add(
        &mut modules,
        Module::new("kernel32.dll", Va(0x773f0000), 0x3000).with_symbols(open),
    );
    add(
        &mut modules,
        Module::new("KERNELBASE.dll", Va(0x7fefd5f0000), 0x3000).with_symbols(second),
    );
    modules
}

#[test]
fn addresses_as_windbg_prints_them() {
    let modules = modules();
    let check = |address: u64, expected: &str| {
        let found = modules.nearest(Va(address)).map(|place| place.to_string());
        assert_eq!(
            found.as_deref().unwrap_or("nothing"),
            expected,
            "{address:#x}"
        );
    };
    check(0xfffff800_0161090e, "nt!ExAllocatePoolWithTag+0x82e");
    check(0xfffff800_016100e0, "nt!ExAllocatePoolWithTag");
    check(0xfffff800_014798f6, "nt! ?? ::FNODOBFM::`string'+0x24a2a");
    check(0xfffff800_01450010, "nt+0x10");
    check(0xfffff880_0496e634, "myfault+0x1634");
    check(0xfffff880_0496d000, "myfault");
    check(0xfffff880_04974fff, "myfault+0x7fff");
    check(0xfffff880_04975000, "nothing");
    check(KERNEL + 0x3af000, "nothing");
    check(KERNEL - 1, "nothing");
    check(0, "nothing");
}

#[test]
fn names_to_addresses() {
    let modules = modules();
    let at = |name: &str| modules.resolve(name).map(|va| va.0);
    assert_eq!(at("nt!PoolHitTag"), Ok(0xfffff800_016530fc));
    assert_eq!(at("NT!poolhittag"), Ok(0xfffff800_016530fc));
    assert_eq!(at("PoolHitTag"), Ok(0xfffff800_016530fc));
    assert_eq!(at("myfault"), Ok(0xfffff880_0496d000));
    assert_eq!(at("kernelbase!open"), Ok(0x7fefd5f1020));
    for name in [
        "",
        "!",
        "nt!",
        "!PoolHitTag",
        "nt!Pool",
        "myfault!x",
        "other!PoolHitTag",
        "a!b!c",
    ] {
        let error = modules.resolve(name).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Couldn't resolve error at '{name}'")
        );
    }
}

#[test]
fn a_name_in_two_modules_is_ambiguous() {
    let error = modules().resolve("Open").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Matched: 00000000`773f1000 kernel32!Open\n\
         Matched: 000007fe`fd5f1020 KERNELBASE!Open\n\
         Ambiguous symbol error at 'Open'"
    );
    assert!(matches!(
        modules().resolve("close"),
        Err(ResolveError::Ambiguous { .. })
    ));
}

#[test]
fn the_same_name_twice_at_one_address_is_not_ambiguous() {
    let mut modules = Modules::default();
    let symbols = vec![
        symbol("Start", 0x10, SymbolKind::Public),
        symbol("start", 0x10, SymbolKind::Procedure),
    ];
    let symbols = Arc::new(SymbolTable::new(SymbolSource::Pdb, symbols));
    modules
        .add(Module::new("a.sys", Va(0x10000), 0x1000).with_symbols(symbols))
        .unwrap();
    assert_eq!(modules.resolve("START"), Ok(Va(0x10010)));
}

#[test]
fn one_name_is_shown_of_those_at_an_address() {
    let names = ["NtOpen", "ZwOpen", "NtOpen"];
    let kinds = [SymbolKind::Data, SymbolKind::Public, SymbolKind::Procedure];
    let shown = |symbols: Vec<Symbol>| {
        let table = SymbolTable::new(SymbolSource::Pdb, symbols);
        table
            .nearest(Rva(9))
            .map(|(symbol, offset)| (symbol.name.to_string(), offset))
    };
    let publics = names
        .map(|name| symbol(name, 8, SymbolKind::Public))
        .to_vec();
    assert_eq!(shown(publics), Some(("ZwOpen".into(), 1)));
    let mixed: Vec<_> = names
        .iter()
        .zip(kinds)
        .map(|(name, kind)| symbol(name, 8, kind))
        .collect();
    assert_eq!(shown(mixed.clone()), Some(("NtOpen".into(), 1)));
    let table = SymbolTable::new(SymbolSource::Pdb, mixed);
    assert_eq!(
        table.len(),
        2,
        "a public and a procedure record of one thing are one symbol"
    );
}

#[test]
fn a_pdb_must_be_the_images_own() {
    let mut builder = PeBuilder::new(0x10000);
    builder.section(".text", CODE, vec![0xc3], 0x1000);
    let guid: [u8; 16] = std::array::from_fn(|i| i as u8);
    let image =
        |builder: &mut PeBuilder| Arc::new(PeImage::parse("a.sys", builder.build()).unwrap());
    let pdb = |guid, age| {
        let mut pdb = PdbBuilder::new(guid, age);
        pdb.section(0x1000, 0x1000)
            .public("Start", 1, 0, true)
            .public("Outside", 1, 0x80000, true);
        PdbFile::parse(&pdb.build()).unwrap()
    };
    let without = image(&mut builder);
    let own = image(builder.pdb(guid, 2, "a.pdb"));
    let module = Module::from_image(own.clone(), Va(0x20000), Some(&pdb(guid, 2))).unwrap();
    assert_eq!(module.symbol_source().to_string(), "pdb symbols");
    let names: Vec<&str> = module
        .symbols()
        .iter()
        .map(|symbol| &*symbol.name)
        .collect();
    assert_eq!(names, ["Start"], "a symbol outside the image is none of it");
    let error = SymbolTable::for_image(&own, &pdb(guid, 3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the PDB does not match a.sys: the image needs 030201000504070608090A0B0C0D0E0F2, \
         the PDB is 030201000504070608090A0B0C0D0E0F3"
    );
    let error = SymbolTable::for_image(&without, &pdb(guid, 2)).unwrap_err();
    assert_eq!(
        error,
        SymbolError::NoReference {
            image: "a.sys".into()
        }
    );
}

#[test]
fn modules_cannot_overlap_or_wrap() {
    let mut modules = modules();
    let before = modules.len();
    let mut refused = |base: u64, size: u32| {
        let error = modules
            .add(Module::new("x.sys", Va(base), size))
            .unwrap_err();
        assert_eq!(modules.len(), before);
        error.to_string()
    };
    refused(KERNEL, 1);
    refused(KERNEL - 0x1000, 0x1001);
    refused(KERNEL + 0x3aefff, 0x1000);
    refused(KERNEL - 0x1000, 0x4000_0000);
    refused(0x1000, 0);
    assert_eq!(
        refused(u64::MAX, 2),
        "x cannot be 0x2 bytes at ffffffff`ffffffff"
    );
    assert!(modules.add(Module::new("x.sys", Va(u64::MAX), 1)).is_ok());
    assert!(
        modules
            .add(Module::new("x.sys", Va(KERNEL - 0x1000), 0x1000))
            .is_ok()
    );
    let bases: Vec<u64> = modules.iter().map(|module| module.base().0).collect();
    assert!(bases.is_sorted());
}

proptest! {
    /// The binary searches find what a walk over all symbols finds.
    #[test]
    fn look_ups_agree_with_a_walk(
        symbols in prop::collection::vec(("[abAB]{1,2}", 0u32..40, 0usize..4), 0..40),
        rva in 0u32..50,
        name in "[abAB]{1,2}",
    ) {
        let kinds =
            [SymbolKind::Data, SymbolKind::Export, SymbolKind::Public, SymbolKind::Procedure];
        let symbols: Vec<_> =
            symbols.iter().map(|(name, rva, kind)| symbol(name, *rva, kinds[*kind])).collect();
        let table = SymbolTable::new(SymbolSource::Pdb, symbols.clone());
        prop_assert!(table.iter().map(|s| s.rva).is_sorted());

        let nearest = symbols.iter().map(|s| s.rva.0).filter(|&at| at <= rva).max();
        let found = table.nearest(Rva(rva));
        prop_assert_eq!(found.map(|(s, offset)| (s.rva.0, offset)), nearest.map(|n| (n, rva - n)));
        if let Some((found, _)) = found {
            let here = symbols.iter().filter(|s| s.rva == found.rva);
            prop_assert_eq!(Some(found.kind), here.clone().map(|s| s.kind).max());
            let best = here.filter(|s| s.kind == found.kind).map(|s| &s.name).max();
            prop_assert_eq!(Some(&found.name), best);
        }

        let exact = symbols.iter().any(|s| *s.name == *name);
        let same = |s: &&Symbol| match exact {
            true => *s.name == *name,
            false => s.name.eq_ignore_ascii_case(&name),
        };
        let mut expected: Vec<_> =
            symbols.iter().filter(same).map(|s| (s.name.clone(), s.rva)).collect();
        expected.sort();
        expected.dedup();
        let found: Vec<_> = table.named(&name).map(|s| (s.name.clone(), s.rva)).collect();
        prop_assert_eq!(found, expected);
    }

    /// An address is in at most one module, and is called after no other.
    #[test]
    fn modules_agree_with_a_walk(
        extents in prop::collection::vec((0u64..200, 1u32..30), 0..12),
        address in 0u64..250,
    ) {
        let mut modules = Modules::default();
        let mut kept: Vec<(u64, u32)> = Vec::new();
        for (base, size) in extents {
            let free = kept.iter().all(|&(other, other_size)| {
                base + u64::from(size) <= other || other + u64::from(other_size) <= base
            });
            let added = modules.add(Module::new("m.sys", Va(base), size)).is_ok();
            prop_assert_eq!(added, free);
            if free {
                kept.push((base, size));
            }
        }
        let inside = kept.iter().find(|&&(base, size)| {
            (base..base + u64::from(size)).contains(&address)
        });
        let found = modules.containing(Va(address)).map(|module| module.base().0);
        prop_assert_eq!(found, inside.map(|&(base, _)| base));
    }

    #[test]
    fn any_text_can_be_resolved(name in "\\PC{0,40}") {
        let _ = modules().resolve(&name);
    }
}
