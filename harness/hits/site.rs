//! The places in a kernel where a pool hit can happen.
//!
//! Windows' pool code compares a tag with the doubleword `nt!PoolHitTag` inline, and executes an
//! `int 3` where they are equal: `cmp register,[PoolHitTag]`, then `je` to a cold block that begins
//! with the `int 3`, or `jne` over it. [`hit_sites`] finds them in the kernel's file, so that what a
//! debugger has patched in memory does not matter.

use super::argument::{
    ArgumentFlow, Location, Width, decode, entry_of, gpr, next, place, target, writes,
};
use crate::address::{Rva, Va};
use crate::guest::Lab;
use crate::image::PeImage;
use crate::image::function_table::FunctionTable;
use crate::registers::Gpr;
use crate::symbols::SymbolTable;
use iced_x86::{Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, Register};
use std::collections::BTreeMap;

/// The most comparisons with `PoolHitTag` that are looked at.
pub const REFERENCE_LIMIT: usize = 256;
/// The most instructions that are looked at in all, each time counted.
pub const STEP_LIMIT: usize = 1 << 18;

/// The most instructions between comparison and jump, and between jump and `int 3`.
const GAP_LIMIT: usize = 16;

/// Whether pool is allocated or freed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HitKind {
    /// Pool is allocated.
    Allocate,
    /// Pool is freed.
    Free,
}

/// A place where the kernel breaks because a tag equals `nt!PoolHitTag`, and what is where then.
///
/// Locations hold at the `int 3`, before it executes. One is `None` where the function has no such
/// argument, or has dropped it by then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HitSite {
    /// The `int 3`.
    pub address: Va,
    /// The comparison.
    pub compare: Va,
    /// The register compared, which holds the tag in its low 32 bits: the caller's in an
    /// allocation, the one kept with the block in a free.
    pub tag: Gpr,
    /// The entry of the function that compares, by its primary unwind record.
    pub function: Va,
    /// Allocation or free. Nothing but the function's name tells: it frees if `Free` is part of
    /// that, and allocates otherwise.
    pub kind: HitKind,
    /// The number of bytes asked for (`SIZE_T NumberOfBytes`, 64 bits).
    pub bytes: Option<Location>,
    /// The pool asked for (`POOL_TYPE PoolType`, 32 bits).
    pub pool_type: Option<Location>,
    /// The block freed (`PVOID P`, 64 bits).
    pub block: Option<Location>,
    /// The return address of `function`: its caller asked for pool, or frees it.
    pub return_address: Option<Location>,
}

/// Which arguments, from 1 on, mean what.
#[derive(Clone, Copy, Default)]
struct Signature {
    pool_type: Option<usize>,
    bytes: Option<usize>,
    block: Option<usize>,
}

const ALLOCATES: Signature = Signature {
    pool_type: Some(1),
    bytes: Some(2),
    block: None,
};
const FREES: Signature = Signature {
    pool_type: None,
    bytes: None,
    block: Some(1),
};

/// The functions whose arguments are known: `wdm.h` has all but `ExpAllocateBigPool`, which is the
/// kernel's own and takes those of `ExAllocatePoolWithTag` first.
const SIGNATURES: [(&str, Signature); 7] = [
    ("ExAllocatePool", ALLOCATES),
    ("ExAllocatePoolWithQuotaTag", ALLOCATES),
    ("ExAllocatePoolWithTag", ALLOCATES),
    ("ExAllocatePoolWithTagPriority", ALLOCATES),
    ("ExFreePool", FREES),
    ("ExFreePoolWithTag", FREES),
    ("ExpAllocateBigPool", ALLOCATES),
];

/// A comparison with `PoolHitTag` that leads to an `int 3`.
struct Comparison {
    compare: Rva,
    tag: Gpr,
    address: Rva,
}

/// Finds the places in a kernel where a pool hit can happen, sorted by address, for the kernel at
/// `base`. There are none without the symbol `PoolHitTag`.
///
/// A comparison counts if a 32-bit register is compared with the doubleword by a RIP-relative
/// operand, a `je` or `jne` follows (with nothing between that changes flags, goes elsewhere or
/// writes to the register), and the way of equality comes to an `int 3` over nothing but `nop` and
/// `jmp`. Where several comparisons share an `int 3`, the first is given; if they compare different
/// registers or are in different functions, none is, since nothing tells which of them it was.
///
/// Images are not trusted: at most [`REFERENCE_LIMIT`] comparisons are looked at, and about
/// [`STEP_LIMIT`] instructions for all of them together; what is behind these limits is left out, or
/// comes without locations.
///
/// ```
/// use poolhit::Lab;
/// use poolhit::address::Va;
/// use poolhit::hits::{HitKind, hit_sites};
/// let lab = Lab::builder().build()?;
/// let kernel = &lab.images().kernel;
/// let sites = hit_sites(&kernel.image, &kernel.symbols, lab.bases().kernel);
/// assert_eq!(sites.len(), 5);
/// let big = &sites[0];
/// assert_eq!((big.address, big.kind), (Va(0xfffff800_014798f6), HitKind::Allocate));
/// assert_eq!(Some(big.function), lab.kernel_symbol("ExpAllocateBigPool"));
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
pub fn hit_sites(image: &PeImage, symbols: &SymbolTable, base: Va) -> Vec<HitSite> {
    one_each(sites(image, symbols, base, |found| found.address))
}

/// The places in a lab's kernel where each call for pool comes by, whatever its tag: the comparisons
/// that [`hit_sites`] finds, with locations that hold in front of the comparison. Comparisons that
/// share an `int 3` are all there.
///
/// ```
/// use poolhit::Lab;
/// use poolhit::hits::{lab_sites, pool_call_sites};
/// let lab = Lab::builder().build()?;
/// let compares: Vec<_> = lab_sites(&lab).iter().map(|site| site.compare).collect();
/// let calls = pool_call_sites(&lab);
/// assert!(calls.iter().all(|site| compares.contains(&site.compare) && site.return_address.is_some()));
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
pub fn pool_call_sites(lab: &Lab) -> Vec<HitSite> {
    let kernel = &lab.images().kernel;
    let base = lab.bases().kernel;
    sites(&kernel.image, &kernel.symbols, base, |found| found.compare)
}

/// All comparisons, with the locations as of a place that each of them has.
fn sites(
    image: &PeImage,
    symbols: &SymbolTable,
    base: Va,
    place_of: fn(&Comparison) -> Rva,
) -> Vec<HitSite> {
    let Some(hit_tag) = symbols.by_name("PoolHitTag") else {
        return Vec::new();
    };
    let mut steps = STEP_LIMIT;
    let mut functions: BTreeMap<Rva, Vec<Comparison>> = BTreeMap::new();
    for opcode in references(image, hit_tag.rva) {
        let function = entry_of(image, opcode).or_else(|| {
            let (symbol, _) = symbols.nearest(opcode)?;
            let section = image.section_at(opcode)?;
            section.contains(symbol.rva).then_some(symbol.rva)
        });
        let function = function.unwrap_or(opcode);
        if let Some(found) = comparison(image, hit_tag.rva, opcode, function, &mut steps) {
            functions.entry(function).or_default().push(found);
        }
    }
    let mut sites = Vec::new();
    for (function, comparisons) in functions {
        let places: Vec<Rva> = comparisons.iter().map(place_of).collect();
        let flow = ArgumentFlow::follow(image, function, &places, &mut steps);
        let name = symbols.nearest(function);
        let signature = name
            .filter(|(_, offset)| *offset == 0)
            .and_then(|(symbol, _)| SIGNATURES.iter().find(|known| known.0 == &*symbol.name))
            .map_or(Signature::default(), |known| known.1);
        let kind = match name {
            Some((symbol, _)) if symbol.name.contains("Free") => HitKind::Free,
            _ => HitKind::Allocate,
        };
        sites.extend(comparisons.into_iter().map(|found| {
            let at = |number: Option<usize>, width| {
                number.and_then(|number| flow.argument(place_of(&found), number, width))
            };
            HitSite {
                address: base + found.address,
                compare: base + found.compare,
                tag: found.tag,
                function: base + function,
                kind,
                bytes: at(signature.bytes, Width::Quadword),
                pool_type: at(signature.pool_type, Width::Doubleword),
                block: at(signature.block, Width::Quadword),
                return_address: flow.return_address(place_of(&found)),
            }
        }));
    }
    sites.sort_by_key(|site| (site.address, site.compare));
    sites
}

/// The places in a lab's kernel.
///
/// ```
/// use poolhit::{Lab, hits::lab_sites};
/// assert_eq!(lab_sites(&Lab::builder().build()?).len(), 5);
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
pub fn lab_sites(lab: &Lab) -> Vec<HitSite> {
    let kernel = &lab.images().kernel;
    hit_sites(&kernel.image, &kernel.symbols, lab.bases().kernel)
}

/// Of the sites that share an `int 3` the first, if they agree on the function and the tag's register.
fn one_each(sites: Vec<HitSite>) -> Vec<HitSite> {
    sites
        .chunk_by(|a, b| a.address == b.address)
        .filter(|same| {
            let first = (same[0].function, same[0].tag);
            same.iter().all(|site| (site.function, site.tag) == first)
        })
        .map(|same| same[0])
        .collect()
}

/// The opcodes of what may be comparisons with the doubleword at `tag`: `39` or `3b`, a RIP-relative
/// operand, and the distance that fits.
fn references(image: &PeImage, tag: Rva) -> Vec<Rva> {
    /// Opcode, operand, distance.
    const LENGTH: usize = 6;
    /// Bytes that are looked at together: wide enough for vector instructions.
    const BLOCK: usize = 256;
    let mut found = Vec::new();
    for section in image.sections().iter().filter(|section| section.executable) {
        let Some(bytes) = image.bytes_at(section.rva, section.raw.len()) else {
            continue;
        };
        let mut start = 0;
        while start + LENGTH <= bytes.len() {
            let end = (start + BLOCK).min(bytes.len() - LENGTH + 1);
            let pairs = bytes[start..end].iter().zip(&bytes[start + 1..=end]);
            let any = pairs.fold(false, |any, (opcode, operand)| {
                any | ((opcode & 0xfd == 0x39) & (operand & 0xc7 == 0x05))
            });
            for at in (start..end).filter(|_| any) {
                let code = &bytes[at..at + LENGTH];
                if code[0] & 0xfd != 0x39 || code[1] & 0xc7 != 0x05 {
                    continue;
                }
                let distance = u32::from_le_bytes([code[2], code[3], code[4], code[5]]);
                let opcode = section.rva.0.wrapping_add(at as u32);
                let next = opcode.wrapping_add(LENGTH as u32);
                if next.wrapping_add(distance) == tag.0 {
                    found.push(Rva(opcode));
                    if found.len() == REFERENCE_LIMIT {
                        return found;
                    }
                }
            }
            start = end;
        }
    }
    found
}

/// The comparison with the opcode at `opcode`, if it is one and leads to an `int 3`.
fn comparison(
    image: &PeImage,
    tag: Rva,
    opcode: Rva,
    function: Rva,
    steps: &mut usize,
) -> Option<Comparison> {
    let instruction = instruction_around(image, opcode, function, steps)?;
    let compares = matches!(instruction.code(), Code::Cmp_r32_rm32 | Code::Cmp_rm32_r32);
    let by_segment = matches!(instruction.memory_segment(), Register::FS | Register::GS);
    if !compares
        || by_segment
        || !instruction.is_ip_rel_memory_operand()
        || instruction.ip_rel_memory_address() != u64::from(tag.0)
    {
        return None;
    }
    let register = match instruction.code() {
        Code::Cmp_r32_rm32 => instruction.op0_register(),
        _ => instruction.op1_register(),
    };
    let register = gpr(register)?;
    let equal = where_equal(image, &instruction, register)?;
    Some(Comparison {
        compare: place(&instruction),
        tag: register,
        address: break_instruction(image, equal)?,
    })
}

/// The instruction with the opcode at `opcode`. Whether the byte before that is a prefix of it or the
/// end of another instruction shows in the code from the function's part on; where that does not lead
/// there, a REX prefix is taken for one.
fn instruction_around(
    image: &PeImage,
    opcode: Rva,
    function: Rva,
    steps: &mut usize,
) -> Option<Instruction> {
    let end = opcode.0.checked_add(6)?;
    let fits = |instruction: &Instruction| instruction.next_ip() == u64::from(end);
    let table = FunctionTable::of(image);
    let part = table.and_then(|table| table.lookup(opcode));
    let mut at = part.map_or(function, |part| part.begin);
    while at <= opcode && *steps > 0 {
        *steps -= 1;
        let Some(instruction) = decode(image, at) else {
            break;
        };
        let behind = next(&instruction)?;
        if behind > opcode {
            if fits(&instruction) {
                return Some(instruction);
            }
            break;
        }
        at = behind;
    }
    let prefixed = opcode.0.checked_sub(1).map(Rva);
    let prefixed = prefixed.filter(|prefix| {
        let byte = image.bytes_at(*prefix, 1);
        byte.is_some_and(|byte| byte[0] & 0xf0 == 0x40)
    });
    decode(image, prefixed.unwrap_or(opcode)).filter(fits)
}

/// Where the code goes on behind `compare` when both are equal.
fn where_equal(image: &PeImage, compare: &Instruction, tag: Gpr) -> Option<Rva> {
    let mut factory = InstructionInfoFactory::new();
    let mut at = next(compare)?;
    for _ in 0..GAP_LIMIT {
        let instruction = decode(image, at)?;
        match instruction.mnemonic() {
            Mnemonic::Je => return target(&instruction),
            Mnemonic::Jne => return next(&instruction),
            _ => {}
        }
        let used = factory.info(&instruction).used_registers();
        let writes_tag = used
            .iter()
            .any(|used| gpr(used.register()) == Some(tag) && writes(used.access()));
        if instruction.flow_control() != FlowControl::Next
            || instruction.rflags_modified() != 0
            || writes_tag
        {
            return None;
        }
        at = next(&instruction)?;
    }
    None
}

/// The `int 3` that the code at `at` comes to at once. One with prefixes is not what compilers write,
/// and would be no longer one byte to patch.
fn break_instruction(image: &PeImage, mut at: Rva) -> Option<Rva> {
    for _ in 0..GAP_LIMIT {
        let instruction = decode(image, at)?;
        at = match instruction.mnemonic() {
            Mnemonic::Int3 if instruction.len() == 1 => return Some(at),
            Mnemonic::Nop => next(&instruction)?,
            Mnemonic::Jmp => target(&instruction)?,
            _ => return None,
        };
    }
    None
}
