//! Images and PDBs that somebody broke: reading them ends with a value or an error, never with a
//! panic, and what was read holds together.

use poolhit::address::{Rva, Va};
use poolhit::image::PeImage;
use poolhit::image::binding::bind_imports;
use poolhit::image::pdb::{PdbError, PdbFile};
use poolhit::symbols::{Module, Modules, SymbolTable};
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::pe_builder::{CODE, DATA, PeBuilder};
use proptest::prelude::*;
use std::sync::Arc;

/// An image that has something in every directory the project reads.
fn image() -> Vec<u8> {
    let mut builder = PeBuilder::new(0x1_4000_0000);
    let text = builder.section(".text", CODE, vec![0xcc; 0x40], 0x40);
    let data = builder.section(".data", DATA, vec![0; 0x20], 0x1100);
    builder
        .export("Start", text)
        .export_unnamed(text + 8)
        .export_forward("Stop", "a.Start");
    builder
        .import("a", ["Start", "Stop", "Gone"])
        .import("b.dll", [1u16, 2]);
    builder
        .function(text, text + 8, text + 0x30)
        .relocation(data)
        .relocation(data + 8);
    builder.pdb([7; 16], 1, "a.pdb").entry_point(text).build()
}

fn pdb() -> Vec<u8> {
    let mut builder = PdbBuilder::new([7; 16], 1);
    builder.section(0x1000, 0x40).section(0x2000, 0x1100);
    builder
        .original_section(0x1000, 0x40)
        .original_section(0x2000, 0x1100);
    builder
        .omap(0x1000, 0x1000)
        .omap(0x1020, 0)
        .omap(0x2000, 0x2000);
    builder.public("Start", 1, 0, true).data("Table", 2, 8);
    builder.public("??_C@_0BB@NMHIOPAC@text@FNODOBFM@", 1, 0x10, false);
    builder
        .procedure("Stop", 1, 8, 8)
        .procedure("Other", 1, 0x28, 8)
        .build()
}

/// Reads everything there is.
fn use_image(bytes: Vec<u8>) -> Option<PeImage> {
    let image = PeImage::parse("a.sys", bytes).ok()?;
    let size = image.size_of_image();
    for section in image.sections() {
        assert!(section.rva.0 + section.virtual_size <= size);
    }
    for export in image.exports() {
        assert!(image.export_by_ordinal(export.ordinal).is_some());
        if let Some(name) = &export.name {
            assert!(image.export(name).is_some());
        }
    }
    if let Some((rva, length)) = image.exception_directory() {
        assert!(rva.0 + length <= size);
    }
    for rva in [0, 1, 0x3ff, 0x1000, 0x2fff, size, u32::MAX] {
        for length in [0, 1, 0x1000, usize::MAX] {
            assert!(
                image
                    .bytes_at(Rva(rva), length)
                    .is_none_or(|bytes| bytes.len() == length)
            );
        }
    }
    image.pdb_reference();
    for base in [image.preferred_base(), Va(0xfffff880_0496d000)] {
        if let Ok(mut mapped) = image.layout(base) {
            assert_eq!(mapped.len(), size as usize);
            let _ = bind_imports(&image, &mut mapped, &mut |dll| {
                (dll == "a").then_some((Va(0x10000), &image))
            });
        }
    }
    let mut modules = Modules::default();
    let module = Module::from_image(Arc::new(image.clone()), Va(0x10000), None).unwrap();
    for symbol in modules.add(module).unwrap().symbols().iter() {
        assert!(symbol.rva.0 < size);
    }
    assert!(modules.nearest(Va(0x10000 + u64::from(size))).is_none());
    Some(image)
}

fn use_pdb(bytes: &[u8]) -> Option<SymbolTable> {
    let table = SymbolTable::from_pdb(&PdbFile::parse(bytes).ok()?);
    for symbol in table.iter() {
        assert!(!symbol.display_name().is_empty());
        assert_eq!(table.nearest(symbol.rva).unwrap().1, 0);
        assert!(table.named(&symbol.name).any(|found| found == symbol));
    }
    Some(table)
}

/// One way to break a file.
#[derive(Clone, Debug)]
enum Damage {
    Bit(prop::sample::Index, u8),
    Byte(prop::sample::Index, u8),
    Word(prop::sample::Index, u32),
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let word = prop_oneof![
        prop::sample::select(vec![
            0,
            1,
            8,
            0xffff,
            0x1_0000,
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX
        ]),
        0u32..0x4000,
        any::<u32>(),
    ];
    let one = prop_oneof![
        4 => (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        2 => any::<(prop::sample::Index, u8)>().prop_map(|(at, byte)| Damage::Byte(at, byte)),
        6 => (any::<prop::sample::Index>(), word).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
    ];
    prop::collection::vec(one, 1..5)
}

/// Breaks `bytes`, mostly where they say something: nearly all bytes of these files are zeros.
fn apply(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    let telling: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let last = bytes.len() - 1;
        let place = |at: &prop::sample::Index| telling[at.index(telling.len())].min(last);
        match damage {
            Damage::Bit(at, bit) => bytes[place(at)] ^= 1 << bit,
            Damage::Byte(at, byte) => bytes[place(at)] = *byte,
            Damage::Word(at, word) => {
                let at = place(at) & !3;
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
    bytes
}

#[test]
fn whole_files_are_read() {
    let image = use_image(image()).unwrap();
    assert_eq!((image.exports().len(), image.imports().len()), (3, 5));
    let table = use_pdb(&pdb()).unwrap();
    let names: Vec<_> = table
        .iter()
        .map(|symbol| symbol.display_name().into_owned())
        .collect();
    // "Other" is at 0x1028, which the OMAP says was dropped.
    assert_eq!(
        names,
        ["Start", "Stop", " ?? ::FNODOBFM::`string'", "Table"]
    );
    assert!(SymbolTable::for_image(&image, &PdbFile::parse(&pdb()).unwrap()).is_ok());
}

#[test]
fn every_cut_image_and_pdb_ends() {
    let (image, pdb) = (image(), pdb());
    for end in 0..image.len() {
        use_image(image[..end].to_vec());
    }
    for end in (0..pdb.len()).step_by(7) {
        use_pdb(&pdb[..end]);
    }
}

#[test]
fn every_header_bit_may_be_wrong() {
    let image = image();
    for at in 0..0x300 {
        for bit in 0..8 {
            let mut broken = image.clone();
            broken[at] ^= 1 << bit;
            use_image(broken);
        }
    }
}

/// A page list that names one page again and again is a stream far larger than its file.
#[test]
fn a_pdb_cannot_multiply_itself() {
    const PAGE: usize = 0x400;
    let mut bytes = pdb();
    // The builder puts the stream directory's page list, which has one entry, into the last page.
    let list = bytes.len() - PAGE;
    let directory: [u8; 4] = bytes[list..list + 4].try_into().unwrap();
    for entry in bytes[list..].chunks_exact_mut(4) {
        entry.copy_from_slice(&directory);
    }
    let directory_size = PAGE / 4 * PAGE;
    assert!(directory_size > 10 * bytes.len());
    bytes[0x2c..0x30].copy_from_slice(&(directory_size as u32).to_le_bytes());
    let error = PdbFile::parse(&bytes).unwrap_err().to_string();
    assert!(
        error.ends_with("its streams are larger than itself"),
        "{error}"
    );
}

/// What made the PDB reader panic once, each in a file that is sound otherwise.
#[test]
fn sums_that_overflow_and_odd_constants() {
    let mut bytes = pdb();
    let signature = [u32::MAX.to_le_bytes(), 19990903u32.to_le_bytes()].concat();
    let header = bytes
        .windows(8)
        .position(|window| window == signature)
        .unwrap();
    for size in [header + 24, header + 28] {
        bytes[size..size + 4].copy_from_slice(&0x8000_0000u32.to_le_bytes());
    }
    let error = PdbFile::parse(&bytes).unwrap_err();
    assert!(matches!(error, PdbError::Substreams { .. }), "{error}");

    let mut builder = PdbBuilder::new([7; 16], 1);
    builder
        .section(0x1000, 0x40)
        .public("Wraps", 1, u32::MAX - 0xfff, true);
    // An S_CONSTANT of every kind of number: the crate panics on those it does not know.
    for leaf in 0x8000u16..=0x8020 {
        let body = [&0x22u32.to_le_bytes()[..], &leaf.to_le_bytes(), &[1; 32]].concat();
        builder.raw(0x1107, &body, "Constant");
    }
    let table = use_pdb(&builder.public("Last", 1, 8, true).build()).unwrap();
    assert_eq!(
        table.iter().map(|symbol| &*symbol.name).collect::<Vec<_>>(),
        ["Last"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn broken_images(damages in damage()) {
        use_image(apply(image(), &damages));
    }

    #[test]
    fn broken_pdbs(damages in damage()) {
        use_pdb(&apply(pdb(), &damages));
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(use_image(bytes.clone()).is_none());
        prop_assert!(use_pdb(&bytes).is_none());
    }

    /// Sound headers before random directories and sections.
    #[test]
    fn random_sections(seed in prop::collection::vec(any::<u8>(), 0x400..0x800)) {
        let mut bytes = image();
        for (at, byte) in bytes.iter_mut().skip(0x400).zip(seed.iter().cycle()) {
            *at = *byte;
        }
        use_image(bytes);
    }
}
