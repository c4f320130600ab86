//! Comparisons as compilers may write them, in kernels of a few bytes.

use poolhit::address::{Rva, Va};
use poolhit::hits::{HitKind, HitSite, Location, hit_sites};
use poolhit::image::PeImage;
use poolhit::registers::Gpr;
use poolhit::symbols::{Symbol, SymbolKind, SymbolSource, SymbolTable};
use poolhit_fixtures::pe_builder::{CODE, DATA, PeBuilder};

const BASE: Va = Va(0xfffff800_01450000);
const TEXT: u32 = 0x1000;
const HIT_TAG: u32 = 0x3008;

/// A kernel of one function.
#[derive(Clone)]
struct Kernel {
    code: Vec<u8>,
    name: &'static str,
    /// Whether the function has an unwind record.
    record: bool,
}

enum Part {
    Code(&'static [u8]),
    /// From behind these four bytes to `PoolHitTag`.
    Distance,
}

use Part::{Code, Distance};

impl Kernel {
    fn new(parts: &[Part]) -> Kernel {
        let mut code = Vec::new();
        for part in parts {
            match part {
                Code(bytes) => code.extend(*bytes),
                Distance => {
                    let next = TEXT + code.len() as u32 + 4;
                    code.extend(HIT_TAG.wrapping_sub(next).to_le_bytes());
                }
            }
        }
        Kernel {
            code,
            name: "ExAllocatePoolWithTag",
            record: true,
        }
    }

    fn image(&self) -> PeImage {
        let mut builder = PeBuilder::new(0x1_4000_0000);
        let size = self.code.len() as u32;
        assert_eq!(
            builder.section(".text", CODE, self.code.clone(), size),
            TEXT
        );
        // Unwind data without codes, in front of the doubleword.
        let data = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(size <= 0x1000);
        builder.section(".pad", DATA, vec![0], 1);
        assert_eq!(builder.section(".data", DATA, data, 12), HIT_TAG - 8);
        if self.record {
            builder.function(TEXT, TEXT + size, HIT_TAG - 8);
        }
        PeImage::parse("ntoskrnl.exe", builder.build()).unwrap()
    }

    fn sites(&self) -> Vec<HitSite> {
        let symbol = |name: &str, rva| Symbol {
            name: name.into(),
            rva: Rva(rva),
            length: 0,
            kind: SymbolKind::Public,
        };
        let symbols = vec![symbol("PoolHitTag", HIT_TAG), symbol(self.name, TEXT)];
        let symbols = SymbolTable::new(SymbolSource::Pdb, symbols);
        let sites = hit_sites(&self.image(), &symbols, BASE);
        for site in &sites {
            let at = (site.address - BASE) as u32 - TEXT;
            assert_eq!(self.code[at as usize], 0xcc);
        }
        sites
    }
}

/// Where comparison and `int 3` are in the function, and the register.
fn found(parts: &[Part]) -> Vec<(u64, u64, Gpr)> {
    let offset = |va: Va| va - BASE - u64::from(TEXT);
    let sites = Kernel::new(parts).sites();
    let site = |site: &HitSite| (offset(site.compare), offset(site.address), site.tag);
    sites.iter().map(site).collect()
}

#[test]
fn comparisons() {
    use Gpr::{R12, R15, Rax, Rbx, Rdi};
    let jne: &[u8] = &[0x75, 1, 0xcc, 0xc3];
    for (what, parts, expected) in [
        (
            "cmp ebx, [PoolHitTag]; jne",
            vec![Code(&[0x3b, 0x1d]), Distance, Code(jne)],
            Some((0, 8, Rbx)),
        ),
        (
            "cmp [PoolHitTag], edi; jne",
            vec![Code(&[0x39, 0x3d]), Distance, Code(jne)],
            Some((0, 8, Rdi)),
        ),
        (
            "cmp r15d, [PoolHitTag]; jne",
            vec![Code(&[0x44, 0x3b, 0x3d]), Distance, Code(jne)],
            Some((0, 9, R15)),
        ),
        (
            "cmp [PoolHitTag], r12d; jne",
            vec![Code(&[0x44, 0x39, 0x25]), Distance, Code(jne)],
            Some((0, 9, R12)),
        ),
        (
            "a prefix without meaning",
            vec![Code(&[0x40, 0x3b, 0x05]), Distance, Code(jne)],
            Some((0, 9, Rax)),
        ),
        (
            "add rsp, 44h in front of cmp edi: no prefix",
            vec![
                Code(&[0x48, 0x83, 0xc4, 0x44, 0x3b, 0x3d]),
                Distance,
                Code(jne),
            ],
            Some((4, 12, Rdi)),
        ),
        (
            "je forward",
            vec![Code(&[0x3b, 0x1d]), Distance, Code(&[0x74, 1, 0xc3, 0xcc])],
            Some((0, 9, Rbx)),
        ),
        (
            "je back",
            vec![
                Code(&[0xeb, 2, 0xcc, 0xc3, 0x3b, 0x1d]),
                Distance,
                Code(&[0x74, 0xf6, 0xc3]),
            ],
            Some((4, 2, Rbx)),
        ),
        (
            "a far je",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x0f, 0x84, 1, 0, 0, 0, 0xc3, 0xcc]),
            ],
            Some((0, 13, Rbx)),
        ),
        (
            "nop of one, two and five bytes and a jump in front of int 3",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x75, 13, 0x90, 0x66, 0x90, 0x0f, 0x1f, 0x44, 0, 0, 0xeb, 2]),
                Code(&[0xc3, 0xc3, 0xcc, 0xc3]),
            ],
            Some((0, 20, Rbx)),
        ),
        (
            "mov rcx, rbx and nop between comparison and jump",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x48, 0x89, 0xd9, 0x90]),
                Code(jne),
            ],
            Some((0, 12, Rbx)),
        ),
        (
            "xor ecx, ecx between comparison and jump",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x31, 0xc9]),
                Code(jne),
            ],
            None,
        ),
        (
            "mov ebx, ecx between comparison and jump",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x89, 0xcb]),
                Code(jne),
            ],
            None,
        ),
        (
            "a call between comparison and jump",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0xe8, 0, 0, 0, 0]),
                Code(jne),
            ],
            None,
        ),
        (
            "ja",
            vec![Code(&[0x3b, 0x1d]), Distance, Code(&[0x77, 1, 0xcc, 0xc3])],
            None,
        ),
        (
            "jne, and no int 3",
            vec![Code(&[0x3b, 0x1d]), Distance, Code(&[0x75, 1, 0xc3, 0xcc])],
            None,
        ),
        (
            "int 3 by way of another instruction",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x75, 3, 0xff, 0xc0, 0xcc, 0xc3]),
            ],
            None,
        ),
        (
            "int 3 with a prefix",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x75, 2, 0x47, 0xcc, 0xc3]),
            ],
            None,
        ),
        (
            "a jump to itself",
            vec![
                Code(&[0x3b, 0x1d]),
                Distance,
                Code(&[0x75, 2, 0xeb, 0xfe, 0xc3]),
            ],
            None,
        ),
        (
            "cmp rbx: 64 bits",
            vec![Code(&[0x48, 0x3b, 0x1d]), Distance, Code(jne)],
            None,
        ),
        (
            "cmp bx: 16 bits",
            vec![Code(&[0x66, 0x3b, 0x1d]), Distance, Code(jne)],
            None,
        ),
        (
            "cmp ebx, gs:[PoolHitTag]",
            vec![Code(&[0x65, 0x3b, 0x1d]), Distance, Code(jne)],
            None,
        ),
        (
            "mov eax, 3b1d________h",
            vec![Code(&[0x48, 0xb8, 0, 0, 0x3b, 0x1d]), Distance, Code(jne)],
            None,
        ),
        (
            "cmp dword ptr [PoolHitTag], constant",
            vec![Code(&[0x83, 0x3d]), Distance, Code(&[0]), Code(jne)],
            None,
        ),
        (
            "mov ebx, [PoolHitTag]",
            vec![Code(&[0x8b, 0x1d]), Distance, Code(jne)],
            None,
        ),
        (
            "the end of the code behind it",
            vec![Code(&[0x3b, 0x1d]), Distance],
            None,
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(found(&parts), expected, "{what}");
    }
}

/// Bytes in the code that are no code put reading it out of step; then a prefix is taken for one.
#[test]
fn data_in_the_code() {
    use Gpr::{R11, Rbx};
    // `mov rax, …` swallows the comparison's first bytes.
    let parts = [
        Code(&[0xc3, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 0x44, 0x3b, 0x1d]),
        Distance,
        Code(&[0x75, 1, 0xcc, 0xc3]),
    ];
    assert_eq!(found(&parts), [(9, 18, R11)]);
    let parts = [
        Code(&[0xc3, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 0x3b, 0x1d]),
        Distance,
        Code(&[0x75, 1, 0xcc, 0xc3]),
    ];
    assert_eq!(found(&parts), [(9, 17, Rbx)]);
}

/// The cold blocks of two comparisons may be merged into one.
#[test]
fn shared_break_instructions() {
    const SAME: &[u8] = &[0x3b, 0x1d];
    const OTHER: &[u8] = &[0x3b, 0x3d];
    for (second, expected) in [(SAME, vec![(0, 17, Gpr::Rbx)]), (OTHER, vec![])] {
        let parts = [
            Code(&[0x3b, 0x1d]),
            Distance,
            Code(&[0x74, 9]),
            Code(second),
            Distance,
            Code(&[0x74, 1, 0xc3, 0xcc]),
        ];
        assert_eq!(found(&parts), expected);
    }
}

#[test]
fn names_decide() {
    let parts = [
        // mov [rsp+8], rcx; mov rcx, rdx
        Code(&[0x48, 0x89, 0x4c, 0x24, 8, 0x48, 0x89, 0xd1]),
        Code(&[0x3b, 0x1d]),
        Distance,
        Code(&[0x75, 1, 0xcc, 0xc3]),
    ];
    let first = Some(Location::Stack(8));
    let second = Some(Location::Register(Gpr::Rcx));
    for (name, kind, pool_type, bytes, block) in [
        (
            "ExAllocatePoolWithTag",
            HitKind::Allocate,
            first,
            second,
            None,
        ),
        (
            "ExAllocatePoolWithTagPriority",
            HitKind::Allocate,
            first,
            second,
            None,
        ),
        ("ExAllocatePool", HitKind::Allocate, first, second, None),
        ("ExpAllocateBigPool", HitKind::Allocate, first, second, None),
        ("ExFreePoolWithTag", HitKind::Free, None, None, first),
        ("ExFreePool", HitKind::Free, None, None, first),
        ("ExFreeHeapPool", HitKind::Free, None, None, None),
        ("ExAllocateHeapPool", HitKind::Allocate, None, None, None),
    ] {
        for record in [true, false] {
            let kernel = Kernel {
                name,
                record,
                ..Kernel::new(&parts)
            };
            let sites = kernel.sites();
            let [site] = sites[..] else {
                panic!("{name}: {sites:?}");
            };
            let found = (site.kind, site.pool_type, site.bytes, site.block);
            assert_eq!(found, (kind, pool_type, bytes, block), "{name}");
            assert_eq!(site.function, BASE + Rva(TEXT));
            assert_eq!(site.return_address, Some(Location::Stack(0)));
        }
    }
}
