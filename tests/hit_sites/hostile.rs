//! Kernels that somebody broke, or wrote to be broken: looking for places ends, and what it gives
//! holds together.

use poolhit::address::{Rva, Va};
use poolhit::guest::GuestImages;
use poolhit::hits::site::REFERENCE_LIMIT;
use poolhit::hits::{HitSite, hit_sites};
use poolhit::image::PeImage;
use poolhit::symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable};
use poolhit_fixtures::pe_builder::{CODE, DATA, PeBuilder};
use proptest::prelude::*;

const BASE: Va = Va(0xfffff800_01450000);
const TEXT: u32 = 0x1000;

fn symbols(hit_tag: u32, functions: &[u32]) -> SymbolTable {
    let symbol = |name: &str, rva: u32| Symbol {
        name: name.into(),
        rva: Rva(rva),
        length: 0,
        kind: SymbolKind::Public,
    };
    let names = [
        "ExAllocatePoolWithTag",
        "ExFreePoolWithTag",
        "ExpAllocateBigPool",
    ];
    let mut all = vec![symbol("PoolHitTag", hit_tag)];
    all.extend((names.iter().zip(functions)).map(|(name, rva)| symbol(name, *rva)));
    SymbolTable::new(SymbolSource::Pdb, all)
}

fn check(image: &PeImage, symbols: &SymbolTable) -> Vec<HitSite> {
    let sites = hit_sites(image, symbols, BASE);
    assert!(sites.len() <= REFERENCE_LIMIT);
    assert!(
        sites
            .windows(2)
            .all(|pair| pair[0].address < pair[1].address)
    );
    for site in &sites {
        let at = site
            .address
            .rva_from(BASE)
            .expect("an address in the image");
        assert_eq!(image.bytes_at(at, 1), Some(&[0xcc][..]));
        assert!(
            site.compare
                .rva_from(BASE)
                .is_some_and(|at| image.section_at(at).is_some())
        );
        assert!(site.pool_type.is_none() || site.block.is_none());
    }
    sites
}

/// One comparison behind the other, each with its `int 3`, all in one function or in one each.
fn crowd(count: u32, one_function: bool) -> (PeImage, SymbolTable) {
    // cmp ebx, [PoolHitTag]; jne over it; int 3
    const SIZE: u32 = 9;
    let text = (count * SIZE).max(1);
    let data = TEXT + text.next_multiple_of(0x1000);
    let mut code = Vec::new();
    for at in (0..count).map(|number| TEXT + number * SIZE) {
        code.extend([0x3b, 0x1d]);
        code.extend(data.wrapping_sub(at + 6).to_le_bytes());
        code.extend([0x75, 1, 0xcc]);
    }
    let mut builder = PeBuilder::new(0x1_4000_0000);
    builder.section(".text", CODE, code, text);
    builder.section(".data", DATA, vec![0; 8], 8);
    builder.section(".xdata", DATA, vec![1, 0, 0, 0], 4);
    let records = if one_function { 1 } else { count };
    for number in 0..records {
        let begin = TEXT + number * SIZE;
        let end = if one_function {
            TEXT + text
        } else {
            begin + SIZE
        };
        builder.function(begin, end, data + 0x1000);
    }
    let image = PeImage::parse("ntoskrnl.exe", builder.build()).unwrap();
    (image, symbols(data, &[TEXT]))
}

#[test]
fn crowds_of_comparisons_are_cut_off() {
    for one_function in [false, true] {
        for (count, found) in [(3, 3), (255, 255), (256, 256), (257, 256), (200_000, 256)] {
            let (image, symbols) = crowd(count, one_function);
            let sites = check(&image, &symbols);
            assert_eq!(sites.len(), found);
            // A function that long is not followed.
            let followed = !(one_function && count > 1000);
            assert_eq!(sites[0].bytes.is_some(), followed);
        }
    }
}

/// All of the code is one comparison's way: jumps in a circle, and jumps to themselves.
#[test]
fn circles_end() {
    let jumps: Vec<u8> = [0xeb, 0x00].repeat(0x2000);
    for tail in [
        &[0xeb, 0xfe][..],
        &[0xe9, 0xfb, 0xbf, 0xff, 0xff],
        &[0x75, 0xfe],
    ] {
        let mut code = vec![0x3b, 0x1d, 0, 0, 0, 0, 0x74, 0];
        code.extend(&jumps);
        code.extend(tail);
        let data = TEXT + (code.len() as u32).next_multiple_of(0x1000);
        code[2..6].copy_from_slice(&(data - TEXT - 6).to_le_bytes());
        let mut builder = PeBuilder::new(0x1_4000_0000);
        let size = code.len() as u32;
        builder.section(".text", CODE, code, size);
        builder.section(".data", DATA, vec![1, 0, 0, 0], 4);
        builder.function(TEXT, TEXT + size, data);
        let image = PeImage::parse("ntoskrnl.exe", builder.build()).unwrap();
        assert_eq!(check(&image, &symbols(data, &[TEXT])), []);
    }
}

/// Where `PoolHitTag` is said to be matters as little.
#[test]
fn symbols_anywhere() {
    let image = &GuestImages::built_in().kernel.image;
    for hit_tag in [0, 1, 0x1000, 0x2030fc, image.size_of_image(), u32::MAX] {
        check(image, &symbols(hit_tag, &[0, u32::MAX, 0x1000]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The built-in kernel with bytes changed where it matters: headers, the pool's functions, their
    /// cold parts, the function table, unwind data.
    #[test]
    fn a_broken_kernel(changes in prop::collection::vec(
        (0_usize..7, any::<prop::sample::Index>(), any::<u8>()), 1..40)
    ) {
        let kernel = &GuestImages::built_in().kernel;
        let image = &kernel.image;
        let headers = image.bytes_at(Rva(0), 0x400).unwrap();
        let table = image.exception_directory().unwrap();
        let places = [
            (0x80, 0x380),
            (0x284f6, 0x50),
            (0xb26b0, 0x150),
            (0x1be590, 0x60),
            (0x1c00e0, 0x100),
            (table.0.0, table.1),
            (0x202000, 0x200),
        ];
        let mut bytes = poolhit_fixtures::prebuilt::KERNEL.bytes.to_vec();
        assert_eq!(&bytes[..0x400], headers);
        for (place, index, byte) in changes {
            let (rva, size) = places[place];
            let rva = Rva(rva + index.index(size as usize) as u32);
            let at = match image.section_at(rva) {
                Some(section) => section.raw.start + (rva.0 - section.rva.0) as usize,
                None => rva.0 as usize,
            };
            bytes[at] = byte;
        }
        if let Ok(broken) = PeImage::parse("ntoskrnl.exe", bytes) {
            check(&broken, &kernel.symbols);
        }
    }
}

/// Bytes of comparisons with a doubleword nearby, jumps and `int 3`s, among any others.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let compare = (prop::sample::select(vec![0x39_u8, 0x3b]), 0_u8..8, 0_u8..4).prop_map(
        |(opcode, register, prefix)| {
            let mut bytes = match prefix {
                0 => vec![0x44],
                1 => vec![0x66],
                _ => vec![],
            };
            // The distance is filled in by the test.
            bytes.extend([opcode, register << 3 | 5, 0xaa, 0xaa, 0xaa, 0xaa]);
            bytes
        },
    );
    let jump = (0x74_u8..0x76, any::<u8>()).prop_map(|(jump, by)| vec![jump, by]);
    let any = prop::collection::vec(any::<u8>(), 1..5);
    let stop = prop::sample::select(vec![vec![0xcc], vec![0x90], vec![0xeb, 1], vec![0xc3]]);
    let parts = prop_oneof![3 => compare, 3 => jump, 1 => any, 3 => stop];
    prop::collection::vec(parts, 0..80).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_kernel(
        mut code in code(),
        records in prop::collection::vec((0_u32..400, 0_u32..400, 0_u32..40), 0..8),
        unwind_data in prop::collection::vec(any::<u8>(), 40),
        functions in prop::collection::vec(0_u32..400, 3),
    ) {
        code.push(0xc3);
        let size = code.len() as u32;
        let data = TEXT + size.next_multiple_of(0x1000);
        for at in 0..code.len().saturating_sub(4) {
            if code[at..at + 4] == [0xaa; 4] {
                let next = TEXT + at as u32 + 4;
                code[at..at + 4].copy_from_slice(&data.wrapping_sub(next).to_le_bytes());
            }
        }
        let mut builder = PeBuilder::new(0x1_4000_0000);
        builder.section(".text", CODE, code, size);
        builder.section(".data", DATA, unwind_data, 40);
        for (begin, length, info) in records {
            builder.function(TEXT + begin, TEXT + begin + length, data + info);
        }
        let functions: Vec<u32> = functions.into_iter().map(|at| TEXT + at).collect();
        let image = PeImage::parse("ntoskrnl.exe", builder.build()).unwrap();
        check(&image, &symbols(data, &functions));
    }
}
