//! Images and PDBs made by the builders of `poolhit-fixtures`, read back.

use super::binding::names_image;
use super::binding::{BindError, FORWARD_LIMIT, MISSING_LIMIT, MissingReason, bind_imports};
use super::error::ImageError;
use super::exports::ExportTarget;
use super::imports::ImportName;
use super::pdb::{PdbError, PdbFile, PdbSymbolKind};
use super::pe::PeImage;
use crate::address::{Rva, Va};
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::pe_builder::{CODE, DATA, DISCARDABLE, Imported, PeBuilder, READ_ONLY};

const BASE: u64 = 0x1_4000_0000;

fn parse(builder: &mut PeBuilder) -> PeImage {
    PeImage::parse("test.sys", builder.build()).expect("the builder's image is sound")
}

fn error_of(bytes: Vec<u8>) -> ImageError {
    PeImage::parse("test.sys", bytes).expect_err("the image is broken")
}

fn with_word(mut bytes: Vec<u8>, at: usize, word: u32) -> Vec<u8> {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    bytes
}

/// Offsets in the builder's files.
const SIZE_OF_IMAGE: usize = 0x98 + 56;
const FIRST_SECTION: usize = 0x98 + 240;

fn small() -> PeBuilder {
    let mut builder = PeBuilder::new(BASE);
    let text = builder.section(".text", CODE, vec![0xcc; 0x10], 0x10);
    builder.export("Start", text).entry_point(text);
    builder
}

#[test]
fn headers_and_sections() {
    let mut builder = PeBuilder::new(BASE);
    let text = builder.section(".text", CODE, vec![0xcc; 0x300], 0x300);
    builder.section("INIT", CODE | DISCARDABLE, vec![1], 0x1800);
    builder.section(".data", DATA, vec![], 0x20);
    let image = parse(builder.entry_point(text).subsystem(1));
    assert_eq!(image.preferred_base(), Va(BASE));
    assert_eq!(image.entry_point(), Rva(0x1000));
    assert_eq!(image.size_of_image(), 0x5000);
    assert!(!image.is_user());
    let [text, init, data] = image.sections() else {
        panic!("three sections")
    };
    assert!(text.executable && text.readable && !text.writable && !text.discardable);
    assert!(init.discardable && init.executable);
    assert!(data.writable && !data.executable);
    assert_eq!(
        (init.rva, init.virtual_size, init.raw.len()),
        (Rva(0x2000), 0x1800, 0x200)
    );
    assert_eq!(image.bytes_at(Rva(0x2000), 1), Some(&[1][..]));
    assert_eq!(
        image.bytes_at(Rva(0x2200), 1),
        None,
        "the section's zeros are not in the file"
    );
    assert_eq!(image.bytes_at(Rva(0), 2), Some(&b"MZ"[..]));
    assert_eq!(image.bytes_at(Rva(0x4000), 1), None);
}

#[test]
fn a_section_smaller_than_its_raw_data_maps_its_pages() {
    let mut builder = PeBuilder::new(BASE);
    builder.section(".text", CODE, vec![0x90; 0x1400], 0x10);
    builder.section(".data", DATA, vec![7], 1);
    let image = parse(&mut builder);
    assert_eq!(image.sections()[0].raw.len(), 0x1000);
    // The builder leaves room for the raw data; the loader maps one page of it.
    let mapped = image.layout(Va(BASE)).unwrap();
    assert_eq!(
        (mapped[0x1fff], mapped[0x2000], mapped[0x3000]),
        (0x90, 0, 7)
    );
}

#[test]
fn exports_by_name_and_ordinal() {
    let mut builder = PeBuilder::new(BASE);
    let text = builder.section(".text", CODE, vec![0xcc; 0x100], 0x100);
    builder
        .export("Zulu", text)
        .export("Alpha", text + 8)
        .export_unnamed(text + 16);
    let image = parse(builder.export_forward("Mike", "NTDLL.RtlMike"));
    assert_eq!(image.export("Zulu").unwrap().ordinal, 1);
    assert_eq!(
        image.export("Alpha").unwrap().target,
        ExportTarget::Address(Rva(0x1008))
    );
    assert_eq!(image.export("alpha"), None);
    assert_eq!(image.export("Zulv"), None);
    assert_eq!(image.export_by_ordinal(3).unwrap().name, None);
    let forward = ExportTarget::Forward("NTDLL.RtlMike".into());
    assert_eq!(image.export_by_ordinal(4).unwrap().target, forward);
    assert_eq!(image.export_by_ordinal(5), None);
    assert_eq!(image.exports().len(), 4);
}

#[test]
fn imports_in_order() {
    let mut builder = small();
    builder
        .import("ntoskrnl.exe", ["ExFreePoolWithTag", "DbgPrint"])
        .import("HAL.dll", [7u16]);
    let image = parse(&mut builder);
    let [free, print, hal] = image.imports() else {
        panic!("three imports")
    };
    assert_eq!(
        (&*free.dll, free.function.to_string()),
        ("ntoskrnl.exe", "ExFreePoolWithTag".into())
    );
    assert_eq!(print.slot.0, free.slot.0 + 8);
    assert_eq!(
        (&*hal.dll, &hal.function),
        ("HAL.dll", &ImportName::Ordinal(7))
    );
}

#[test]
fn pdb_reference_and_exception_directory() {
    let mut builder = small();
    builder
        .function(0x1000, 0x1008, 0x1008)
        .function(0x1008, 0x1010, 0x1008);
    let image = parse(builder.pdb([9; 16], 3, "c:\\build\\test.pdb"));
    let pdb = image.pdb_reference().unwrap();
    assert_eq!(
        (pdb.base_name(), pdb.guid, pdb.age),
        ("test.pdb", [9; 16], 3)
    );
    let (rva, size) = image.exception_directory().unwrap();
    assert_eq!(size, 24);
    assert_eq!(image.bytes_at(rva, 4), Some(&0x1000u32.to_le_bytes()[..]));
}

#[test]
fn an_exception_directory_is_cut_to_its_section() {
    let mut builder = small();
    let bytes = builder.function(0x1000, 0x1008, 0x1008).build();
    let size_at = 0x98 + 112 + 3 * 8 + 4;
    let image = PeImage::parse("test.sys", with_word(bytes, size_at, 0x200)).unwrap();
    assert_eq!(image.exception_directory().unwrap().1, 12);
}

#[test]
fn relocated_layout() {
    let mut builder = PeBuilder::new(BASE);
    let pointers = [BASE + 0x1000, BASE + 0x1008]
        .map(u64::to_le_bytes)
        .concat();
    builder.section(".data", DATA, pointers, 16);
    builder.section("PAGE", DATA, (BASE + 0x2000).to_le_bytes().to_vec(), 8);
    let image = parse(
        builder
            .relocation(0x1000)
            .relocation(0x2000)
            .relocation_of_type(0x1004, 0),
    );
    let unmoved = image.layout(Va(BASE)).unwrap();
    let moved = image.layout(Va(0xfffff880_0496d000)).unwrap();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(word(&unmoved, 0x1000), BASE + 0x1000);
    assert_eq!(word(&moved, 0x1000), 0xfffff880_0496e000);
    assert_eq!(
        word(&moved, 0x1008),
        BASE + 0x1008,
        "not in the relocations"
    );
    assert_eq!(word(&moved, 0x2000), 0xfffff880_0496f000);
    assert_eq!(
        word(&moved, 0x98 + 24),
        0xfffff880_0496d000,
        "ImageBase in the header"
    );
    assert_eq!(moved.len(), image.size_of_image() as usize);
}

#[test]
fn bases_no_image_can_have() {
    let image = parse(&mut small());
    for base in [0x1001, u64::MAX - 0xfff, 0x7fff_ffff_f000, 0x8000_0000_0000] {
        assert!(
            matches!(image.layout(Va(base)), Err(ImageError::BadBase { .. })),
            "{base:#x}"
        );
    }
    let image = parse(small().characteristics(1));
    assert!(image.layout(Va(BASE)).is_ok());
    let error = image.layout(Va(0x10000)).unwrap_err();
    assert!(matches!(error, ImageError::NotRelocatable { .. }));
    assert!(
        error.to_string().contains("has to be at 00000001`40000000"),
        "{error}"
    );
}

#[test]
fn relocations_of_other_machines() {
    let image = parse(small().relocation_of_type(0x1000, 3));
    let error = image.layout(Va(0x10000)).unwrap_err();
    assert_eq!(
        error,
        ImageError::UnknownRelocation {
            image: "test.sys".into(),
            rva: Rva(0x1000),
            kind: 3
        }
    );
    // Eight bytes there would reach behind the image's last page.
    let image = parse(small().relocation(0x3ffc));
    assert_eq!(image.size_of_image(), 0x4000);
    assert!(matches!(
        image.layout(Va(0x10000)),
        Err(ImageError::BadDirectory { .. })
    ));
}

#[test]
fn limits_and_broken_headers() {
    let bytes = || small().build();
    let error = error_of(with_word(bytes(), SIZE_OF_IMAGE, 0x1000_0001));
    let text = "test.sys: SizeOfImage is 268435457, the limit is 268435456";
    assert_eq!(error.to_string(), text);
    let machine = with_word(bytes(), 0x84, 0x0002_014c);
    assert!(matches!(
        error_of(machine),
        ImageError::NotX64 { machine: 0x14c, .. }
    ));
    let sections = with_word(bytes(), 0x84, 0x0061_8664);
    assert!(matches!(
        error_of(sections),
        ImageError::OverLimit { limit: 96, .. }
    ));
    let far = with_word(bytes(), FIRST_SECTION + 12, 0x7fff_f000);
    let error = error_of(far).to_string();
    assert_eq!(
        error,
        "test.sys: section 1 (.text): it reaches behind SizeOfImage"
    );
    let long = with_word(bytes(), FIRST_SECTION + 16, 0x7fff_fe00);
    let text = "test.sys: section 1 (.text): its raw data reaches behind the end of the file";
    assert_eq!(error_of(long).to_string(), text);
    let overlapping = with_word(bytes(), FIRST_SECTION + 8, 0x1800);
    let text = "test.sys: section 2 (.edata): it overlaps the headers or the section before it";
    assert_eq!(error_of(overlapping).to_string(), text);
    assert!(matches!(error_of(Vec::new()), ImageError::NotPe { .. }));
}

#[test]
fn one_long_name_is_not_repeated_for_ever() {
    // A table of 4,000 names, all of which are the same string of 4,000 bytes.
    let mut builder = PeBuilder::new(BASE);
    let text = builder.section(".text", CODE, vec![0xcc], 1);
    let count = 4000u32;
    let mut data = vec![0; 40];
    let rva = 0x2000;
    let place = |at: u32| (rva + at).to_le_bytes();
    let names = 40 + 4;
    let ordinals = names + 4 * count;
    let string = ordinals + 2 * count;
    data[16..20].copy_from_slice(&1u32.to_le_bytes());
    data[20..24].copy_from_slice(&1u32.to_le_bytes());
    data[24..28].copy_from_slice(&count.to_le_bytes());
    data[28..32].copy_from_slice(&place(40));
    data[32..36].copy_from_slice(&place(names));
    data[36..40].copy_from_slice(&place(ordinals));
    data.extend(text.to_le_bytes());
    data.extend(place(string).repeat(count as usize));
    data.extend(vec![0; 2 * count as usize]);
    data.extend(vec![b'x'; 4000]);
    data.push(0);
    let size = data.len() as u32;
    assert_eq!(builder.section(".edata", READ_ONLY, data, size), rva);
    let bytes = with_word(builder.build(), 0x98 + 112, rva);
    let error = error_of(with_word(bytes, 0x98 + 116, size));
    assert!(matches!(
        error,
        ImageError::BadDirectory {
            directory: "export directory",
            ..
        }
    ));
}

/// Binds the imports of `importer` to `providers`, which are at 0x1000_0000, 0x2000_0000, …
fn bind(importer: &PeImage, providers: &[PeImage]) -> Result<Vec<u64>, BindError> {
    let mut mapped = importer.layout(Va(BASE)).unwrap();
    bind_imports(importer, &mut mapped, &mut |dll| {
        let place = providers
            .iter()
            .position(|image| names_image(dll, image.name()))?;
        Some((Va(0x1000_0000 * (place as u64 + 1)), &providers[place]))
    })?;
    let word = |slot: Rva| &mapped[slot.0 as usize..slot.0 as usize + 8];
    let slots = importer.imports().iter().map(|import| word(import.slot));
    Ok(slots
        .map(|slot| u64::from_le_bytes(slot.try_into().unwrap()))
        .collect())
}

fn provider(name: &str, exports: &[(&str, &str)]) -> PeImage {
    let mut builder = PeBuilder::new(BASE);
    let text = builder.section(".text", CODE, vec![0xcc; 0x100], 0x100);
    for (i, (export, forward)) in exports.iter().enumerate() {
        match *forward {
            "" => builder.export(export, text + i as u32),
            target => builder.export_forward(export, target),
        };
    }
    PeImage::parse(name, builder.build()).unwrap()
}

fn importer(dll: &str, functions: Vec<Imported>) -> PeImage {
    PeImage::parse("driver.sys", small().import(dll, functions).build()).unwrap()
}

#[test]
fn forwarders_are_followed() {
    let kernel32 = provider(
        "kernel32.dll",
        &[("Sleep", ""), ("Alloc", "NTDLL.RtlAlloc")],
    );
    let ntdll = provider("ntdll.dll", &[("X", ""), ("RtlAlloc", "ntdll.#1")]);
    let driver = importer(
        "KERNEL32.DLL",
        vec!["Alloc".into(), "Sleep".into(), 1u16.into()],
    );
    let slots = bind(&driver, &[kernel32, ntdll]).unwrap();
    assert_eq!(slots, [0x2000_1000, 0x1000_1000, 0x1000_1000]);
}

#[test]
fn all_missing_imports_are_named() {
    let kernel = provider("ntoskrnl.exe", &[("There", ""), ("Away", "gone.Function")]);
    let driver = importer(
        "ntoskrnl.exe",
        vec!["Foo".into(), "There".into(), "Away".into()],
    );
    let error = bind(&driver, &[kernel]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "driver.sys needs ntoskrnl.exe!Foo, which nothing provides (it has no such export)\n\
         driver.sys needs ntoskrnl.exe!Away, which nothing provides \
         (it is forwarded to gone!Function) (no such image is loaded)"
    );
    let names: Vec<Imported> = (0..40).map(|i| Imported::Name(format!("F{i}"))).collect();
    let error = bind(&importer("hal.dll", names), &[]).unwrap_err();
    let BindError::Missing { missing, more, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((missing.len(), more), (MISSING_LIMIT, 40 - MISSING_LIMIT));
    assert_eq!(missing[39 - more].function.to_string(), "F31");
}

#[test]
fn circles_of_forwarders_end() {
    let round = provider(
        "round.dll",
        &[("A", "round.B"), ("B", "round.A"), ("Bad", "nothing")],
    );
    let driver = importer("round.dll", vec!["A".into(), "Bad".into()]);
    let BindError::Missing { missing, .. } = bind(&driver, &[round]).unwrap_err() else {
        panic!("the imports are missing");
    };
    let reasons: Vec<_> = missing.iter().map(|missing| missing.reason).collect();
    assert_eq!(
        reasons,
        [
            MissingReason::ForwardedTooOften,
            MissingReason::BadForwarder
        ]
    );
    // A chain as long as the limit is no circle.
    let names: Vec<String> = (0..=FORWARD_LIMIT).map(|i| format!("F{i}")).collect();
    let targets: Vec<String> = (1..=FORWARD_LIMIT).map(|i| format!("chain.F{i}")).collect();
    let targets = targets.iter().map(String::as_str).chain([""]);
    let exports: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(targets).collect();
    let slots = bind(
        &importer("chain.dll", vec!["F0".into()]),
        &[provider("chain.dll", &exports)],
    );
    assert_eq!(slots.unwrap(), [0x1000_1000 + FORWARD_LIMIT as u64]);
}

#[test]
fn memory_of_another_image_is_refused() {
    let driver = importer("hal.dll", vec!["F".into()]);
    let error = bind_imports(&driver, &mut [0; 16], &mut |_| None).unwrap_err();
    assert!(
        matches!(error, BindError::SlotOutside { size: 16, .. }),
        "{error}"
    );
}

#[test]
fn pdb_records() {
    let mut builder = PdbBuilder::new([1; 16], 4);
    builder.section(0x1000, 0x1000).section(0x5000, 0x100);
    builder
        .public("Public", 2, 0x10, false)
        .data("Data", 1, 8)
        .procedure("Procedure", 1, 0x20, 9);
    builder
        .public("NoSuchSection", 3, 0, true)
        .public("SectionZero", 0, 0, true);
    builder.public("Wraps", 1, u32::MAX, true);
    let pdb = PdbFile::parse(&builder.build()).unwrap();
    assert_eq!((pdb.guid(), pdb.age()), ([1; 16], 4));
    let found: Vec<_> = pdb
        .symbols()
        .iter()
        .map(|s| (s.name.as_str(), s.rva.0, s.length, s.kind))
        .collect();
    let expected = [
        ("Public", 0x5010, 0, PdbSymbolKind::Public),
        ("Data", 0x1008, 0, PdbSymbolKind::Data),
        ("Procedure", 0x1020, 9, PdbSymbolKind::Procedure),
    ];
    assert_eq!(found, expected);
}

#[test]
fn reordered_images_have_their_symbols_moved() {
    let mut builder = PdbBuilder::new([1; 16], 1);
    builder
        .section(0x1000, 0x1000)
        .original_section(0x3000, 0x1000);
    builder
        .omap(0x3000, 0x1800)
        .omap(0x3100, 0)
        .omap(0x3200, 0x1000);
    builder
        .public("First", 1, 4, true)
        .public("Dropped", 1, 0x110, true);
    builder.public("Second", 1, 0x208, true);
    let pdb = PdbFile::parse(&builder.build()).unwrap();
    let found: Vec<_> = pdb
        .symbols()
        .iter()
        .map(|s| (s.name.as_str(), s.rva.0))
        .collect();
    assert_eq!(found, [("First", 0x1804), ("Second", 0x1008)]);
}

#[test]
fn a_pdb_without_section_headers_is_of_no_use() {
    let bytes = PdbBuilder::new([1; 16], 1).build();
    assert!(matches!(PdbFile::parse(&bytes), Err(PdbError::NoSections)));
}
