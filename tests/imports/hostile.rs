//! Import tables that somebody broke or made to hurt: they are refused with an error or lead to a
//! lab that stops.

use crate::driver::{BASE, Step, bytes};
use poolhit::Lab;
use poolhit::guest::{GuestImages, ImageFile, list_imports};
use poolhit::image::PeImage;
use poolhit_fixtures::pe_builder::{CODE, DATA, PeBuilder};
use proptest::prelude::*;

/// Reads the tables in every way there is.
fn use_image(bytes: Vec<u8>) -> Option<PeImage> {
    let image = PeImage::parse("a.sys", bytes).ok()?;
    let kernel = &GuestImages::built_in().kernel.image;
    if let Ok(listed) = list_imports(&image, kernel) {
        assert!(listed.len() >= image.imports().len());
        assert!(listed.len() <= 2 * poolhit::image::imports::IMPORT_LIMIT);
        for import in listed {
            assert!(import.import.slot.0 + 8 <= image.size_of_image());
        }
    }
    if let Some(cookie) = image.security_cookie() {
        assert!(image.section_at(cookie).unwrap().writable);
    }
    Some(image)
}

/// Loads and runs it for a moment.
fn run_image(bytes: Vec<u8>) {
    if let Ok(file) = ImageFile::parse("a.sys", bytes, None)
        && let Ok(booted) = Lab::builder().driver(file).boot()
        && let Some(used) = booted.unprovided_use()
    {
        assert_eq!(used.importer, "a.sys");
        assert!(!booted.ready().unwrap_err().to_string().is_empty());
    }
}

/// An image with a section of import tables that `words` are, all of them RVAs or what stands for
/// them.
fn with_tables(directory: usize, size: u32, words: &[u32]) -> Vec<u8> {
    let mut builder = PeBuilder::new(BASE);
    let text = builder.section(".text", CODE, vec![0x31, 0xc0, 0xc3], 3);
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let tables = builder.section(".idata", DATA, data, size);
    builder.directory(directory, tables, size);
    builder.entry_point(text).build()
}

/// Where `with_tables` puts them.
const TABLES: u32 = 0x2000;

#[test]
fn descriptors_that_share_one_table_count_each_time() {
    // Name and table of each descriptor are the same: at the end of the words.
    let count = 100u32;
    let at = TABLES + count * 20 + 20;
    let mut words = Vec::new();
    for _ in 0..count {
        words.extend([at, 0, 0, at + 24, at]);
    }
    words.extend([0; 5]);
    words.extend([at + 32, 0, at + 32, 0, 0, 0, 0x7379732e, 0, 0x4241_0000, 0]);
    let image = use_image(with_tables(1, 0x2000, &words)).unwrap();
    assert_eq!(image.imports().len(), 200);
    run_image(with_tables(1, 0x2000, &words));
}

/// A table of ordinals as long as a section of zeros may be is bounded by the limit, not by memory.
#[test]
fn more_imports_than_the_limit_are_refused() {
    let ordinals: Vec<u32> = (0..70_000).flat_map(|_| [1, 0x8000_0000]).collect();
    let at = TABLES + 40;
    let mut words = vec![at, 0, 0, 12, at, 0, 0, 0, 0, 0];
    words.extend(&ordinals);
    words.extend([0, 0]);
    let bytes = with_tables(1, 0x10_0000, &words);
    let error = PeImage::parse("a.sys", bytes).unwrap_err().to_string();
    assert!(error.contains("the number of imports is 65537"), "{error}");
    // The same for those that are loaded late: the image is sound, its list is not.
    let delay = [1, 12, 0, at, at, 0, 0, 0, 0, 0];
    words[..10].copy_from_slice(&delay);
    let image = PeImage::parse("a.sys", with_tables(13, 0x10_0000, &words)).unwrap();
    let error = image.delay_imports().unwrap_err().to_string();
    assert!(error.contains("the number of imports is 65537"), "{error}");
}

/// As many as there may be, all missing: each has an address of its own.
#[test]
fn as_many_imports_as_there_may_be() {
    let most = poolhit::image::imports::IMPORT_LIMIT as u32;
    let at = TABLES + 40;
    let mut words = vec![at, 0, 0, 12, at, 0, 0, 0, 0, 0];
    words.extend((0..most).flat_map(|_| [1, 0x8000_0000]));
    words.extend([0, 0]);
    let bytes = with_tables(1, 0x10_0000, &words);
    let image = use_image(bytes.clone()).unwrap();
    assert_eq!(image.imports().len(), most as usize);
    let file = ImageFile::parse("a.sys", bytes, None).unwrap();
    Lab::builder().driver(file).build().unwrap();
}

/// Addresses that a linker or a binder wrote: without a table of names they name nothing.
#[test]
fn bound_imports_without_names_are_refused() {
    let at = TABLES + 40;
    let bound = [0, u32::MAX, u32::MAX, 12, at, 0, 0, 0, 0, 0];
    let words = [&bound[..], &[0x7d61_0000, 0x7fe, 0, 0]].concat();
    let error = PeImage::parse("a.sys", with_tables(1, 0x100, &words)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("an import's name is behind 4 GiB"),
        "{error}"
    );
    // With one they are bound anew.
    let names = TABLES + 40 + 16;
    let mut words = [
        &bound[..],
        &[0x7d61_0000, 0x7fe, 0, 0, 5, 0x8000_0000, 0, 0],
    ]
    .concat();
    words[0] = names;
    let image = use_image(with_tables(1, 0x100, &words)).unwrap();
    assert_eq!(image.imports()[0].function.to_string(), "#5");
}

/// A delay-load descriptor of the old kind, by 32-bit addresses.
#[test]
fn delay_descriptors_by_address_are_refused() {
    let words = [0, 12, 0, TABLES, TABLES, 0, 0, 0];
    let image = PeImage::parse("a.sys", with_tables(13, 0x100, &words)).unwrap();
    let error = image.delay_imports().unwrap_err().to_string();
    assert!(error.contains("not by relative addresses"), "{error}");
}

#[test]
fn security_cookies_that_cannot_be_are_none() {
    let config = |size: u32, cookie: u64| {
        let mut builder = PeBuilder::new(BASE);
        let text = builder.section(".text", CODE, vec![0x31, 0xc0, 0xc3], 3);
        let default = 0x2b99_2ddf_a232_u64.to_le_bytes().to_vec();
        builder.section(".data", DATA, default, 0x10);
        let mut words = vec![0; 0x60];
        words[..4].copy_from_slice(&size.to_le_bytes());
        words[0x58..].copy_from_slice(&cookie.to_le_bytes());
        let at = builder.section(".rdata", 0x4000_0040, words, 0x60);
        builder.directory(10, at, 0x60).entry_point(text).build()
    };
    for (size, cookie, found) in [
        (0x60, BASE + 0x2000, true),
        (0x60, BASE + 0x2008, true),
        (0x60, BASE + 0x2009, false), // its last byte is outside
        (0x5f, BASE + 0x2000, false),
        (0x60, BASE + 0x1000, false), // code
        (0x60, 0, false),
        (0x60, u64::MAX, false),
        (0x60, BASE - 8, false),
        (0x60, BASE + 0x1_0000_2000, false),
    ] {
        let bytes = config(size, cookie);
        let image = PeImage::parse("a.sys", bytes.clone()).unwrap();
        assert_eq!(
            image.security_cookie().is_some(),
            found,
            "{size:#x} {cookie:#x}"
        );
        // It is set where it has the default, and only there.
        let file = ImageFile::parse("a.sys", bytes, None).unwrap();
        let value = |base| {
            use poolhit::memory::ReadMemory;
            let lab = Lab::builder().driver(file.clone()).driver_base(base);
            let lab = lab.build().unwrap();
            lab.machine().read_u64(base.wrapping_add(0x2000)).unwrap()
        };
        let [here, there] = [BASE, BASE + 0x10_0000].map(|base| value(poolhit::address::Va(base)));
        if found && cookie == BASE + 0x2000 {
            assert!(here != there && here >> 48 == 0 && here != 0);
            assert_ne!(here, 0x2b99_2ddf_a232);
        } else {
            assert_eq!(here, 0x2b99_2ddf_a232);
        }
    }
}

/// A driver with everything that there is to break.
fn driver() -> Vec<u8> {
    let mut builder = PeBuilder::new(BASE);
    let code = vec![
        0x48, 0x83, 0xec, 0x28, 0xff, 0x15, 0xf6, 0x1f, 0, 0, 0x48, 0x83, 0xc4, 0x28, 0xc3,
    ];
    let text = builder.section(".text", CODE, code, 0x40);
    let data = builder.section(
        ".data",
        DATA,
        vec![0x32, 0xa2, 0xdf, 0x2d, 0x99, 0x2b, 0, 0],
        8,
    );
    let mut config = vec![0; 0x60];
    config[0] = 0x60;
    config[0x58..].copy_from_slice(&(BASE + u64::from(data)).to_le_bytes());
    let at = builder.section(".rdata", 0x4000_0040, config, 0x60);
    builder.directory(10, at, 0x60);
    builder
        .import("ntoskrnl.exe", ["ExNobody", "IoDeleteDevice"])
        .import("ext.sys", [1u16, 2])
        .delay_import("late.sys", ["Late"]);
    builder.relocation(data).entry_point(text).build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn broken_tables(
        places in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            prop::sample::select(vec![0u32, 1, 0x1000, 0x2000, 0x4000, 0x7fff_ffff, 0x8000_0000, u32::MAX]),
            0u32..0x8000,
            any::<u32>(),
        ]), 1..5),
    ) {
        let mut bytes = driver();
        // The directories' entries and everything behind the code.
        let telling: Vec<usize> = (0x108..0x188).chain(0x600..bytes.len() - 4).step_by(4)
            .filter(|&at| at < 0x188 || bytes[at..at + 4] != [0; 4])
            .collect();
        for (at, word) in places {
            let at = telling[at.index(telling.len())];
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        use_image(bytes);
    }

    #[test]
    fn random_tables(
        directory in prop::sample::select(vec![1usize, 10, 13]),
        words in prop::collection::vec(prop_oneof![
            2 => TABLES..TABLES + 0x200,
            1 => Just(0u32),
            1 => prop::sample::select(vec![1, 0x8000_0000, u32::MAX]),
            1 => any::<u32>(),
        ], 0..0x80),
    ) {
        use_image(with_tables(directory, 0x200, &words));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Slots anywhere in the image, over its headers and code too: what then runs ends.
    #[test]
    fn tables_that_overwrite_the_image(slots in prop::collection::vec(0u32..0x3000, 1..6)) {
        let at = TABLES + 20 * (slots.len() as u32 + 1);
        let mut words = Vec::new();
        for &slot in &slots {
            words.extend([at, 0, 0, 12, slot.max(1)]);
        }
        words.extend([0; 5]);
        words.extend([3, 0x8000_0000, 4, 0x8000_0000, 0, 0]);
        run_image(with_tables(1, 0x1000, &words));
    }

    #[test]
    fn broken_drivers_end(
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = bytes(&[("ext.sys", &["One", "Two"])], &[Step::Read(0, 0), Step::Call(1)]);
        let at = 0x80 + at.index(bytes.len() - 0x80);
        bytes[at] ^= 1 << bit;
        run_image(bytes);
    }
}
