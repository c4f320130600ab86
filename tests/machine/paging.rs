//! Page tables: as the debugger walks them, as the processor does, and as the manual says.

use crate::code::Code;
use crate::guest::{Guest, KERNEL, KERNEL_DATA, USER, USER_DATA, go};
use poolhit::address::{Pa, Va};
use poolhit::machine::paging::{Translation, entry, translate};
use poolhit::machine::{Exit, GuestRam};
use poolhit::memory::{FaultReason, ReadMemory, WriteMemory, pages};
use poolhit::registers::Gpr;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Addresses near ends of pages, of the address space and of its halves.
fn address() -> impl Strategy<Value = Va> {
    let near = |base: u64| {
        (0u64..0x40).prop_map(move |offset| Va(base.wrapping_add(offset).wrapping_sub(0x20)))
    };
    prop_oneof![
        any::<u64>().prop_map(Va),
        near(0),
        near(0x1000),
        near(0x8000_0000_0000),
        near(0xffff_8000_0000_0000),
        near(0xffff_ffff_ffff_f000),
    ]
}

proptest! {
    #[test]
    fn pages_are_what_one_page_holds_each_and_all_of_it(start in address(), length in 0usize..0x4000) {
        let mut next = 0;
        for (at, part) in pages(start, length) {
            prop_assert_eq!(part.start, next, "no gap and no overlap");
            prop_assert!(part.end > part.start);
            prop_assert_eq!(at, start.wrapping_add(part.start as u64));
            let last = at.wrapping_add((part.len() - 1) as u64);
            prop_assert_eq!(at.0 >> 12, last.0 >> 12, "one page");
            prop_assert!(part.start == 0 || at.0 & 0xfff == 0, "as much of it as there is");
            next = part.end;
        }
        prop_assert_eq!(next, length);
    }
}

/// Pages that are mapped beside pages that are not, and around the end of the address space.
const MAPPED: [u64; 6] = [
    0,
    0x1000,
    0x3000,
    0x7fff_ffff_f000,
    0xffff_8000_0000_0000,
    0xffff_ffff_ffff_f000,
];

/// What memory ought to do: bytes, and the first address of a range that has none.
#[derive(Default)]
struct Model(BTreeMap<u64, u8>);

impl Model {
    fn reach(&self, at: Va, length: usize) -> usize {
        let is_there = |address: u64| MAPPED.contains(&(address & !0xfff));
        (0..length)
            .position(|offset| !is_there(at.0.wrapping_add(offset as u64)))
            .unwrap_or(length)
    }

    fn byte(&self, address: u64) -> u8 {
        self.0.get(&address).copied().unwrap_or(0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn memory_reads_back_what_was_written_up_to_where_it_ends(
        operations in prop::collection::vec(
            (prop::sample::select(&MAPPED[..]), -0x30i64..0x1030, 0usize..0x1800, any::<u8>()),
            1..20,
        ),
    ) {
        let guest = MAPPED.iter().fold(Guest::new(), |guest, &page| guest.page(Va(page)));
        let mut machine = guest.in_ring_0();
        let mut model = Model::default();
        for (page, offset, length, seed) in operations {
            let at = Va(page.wrapping_add_signed(offset));
            let bytes: Vec<u8> = (0..length).map(|index| (index as u8).wrapping_mul(seed)).collect();
            let reach = model.reach(at, length);
            let written = machine.write(at, &bytes);
            for (index, &byte) in bytes[..reach].iter().enumerate() {
                model.0.insert(at.0.wrapping_add(index as u64), byte);
            }
            let mut back = vec![0xee; length];
            let read = machine.read(at, &mut back);
            prop_assert_eq!(written, read, "a read ends where a write does");
            for (index, &byte) in back.iter().enumerate() {
                let wanted = if index < reach {
                    model.byte(at.0.wrapping_add(index as u64))
                } else {
                    0xee
                };
                prop_assert_eq!(byte, wanted);
            }
            match read {
                Ok(()) => prop_assert_eq!(reach, length),
                Err(fault) => {
                    prop_assert_eq!(fault.done, reach);
                    prop_assert_eq!(fault.address, at.wrapping_add(reach as u64));
                    let canonical = fault.address.is_canonical();
                    prop_assert_eq!(fault.reason == FaultReason::NotCanonical, !canonical);
                }
            }
            prop_assert_eq!(machine.read_partial(at, &mut back), reach);
        }
    }
}

/// The walk as the manual tells it (Intel SDM volume 3, tables 4-15 to 4-20), entry by entry.
fn walk(memory: &[u64], root: u64, address: u64) -> Result<Translation, FaultReason> {
    let sign = address >> 47;
    if sign != 0 && sign != 0x1ffff {
        return Err(FaultReason::NotCanonical);
    }
    let size = memory.len() as u64 * 8;
    let look = |table: u64, index: u64, level: u8| {
        let physical = table + index * 8;
        let value = memory.get((physical / 8) as usize);
        let value = *value.ok_or(FaultReason::OutsideRam { physical })?;
        if value % 2 == 0 {
            return Err(FaultReason::NotPresent { level });
        }
        Ok(value)
    };
    let frame = |value: u64| (value << 12 >> 24) << 12; // bits 51 to 12
    let is_large = |value: u64| value >> 7 & 1 == 1;
    let pml4e = look(frame(root), address >> 39 & 511, 4)?;
    let pdpte = look(frame(pml4e), address >> 30 & 511, 3)?;
    let mut entries = vec![pml4e, pdpte];
    let (base, bits) = if is_large(pdpte) {
        (frame(pdpte), 30)
    } else {
        let pde = look(frame(pdpte), address >> 21 & 511, 2)?;
        entries.push(pde);
        if is_large(pde) {
            (frame(pde), 21)
        } else {
            let pte = look(frame(pde), address >> 12 & 511, 1)?;
            entries.push(pte);
            (frame(pte), 12)
        }
    };
    let physical = (base >> bits << bits) + (address % (1 << bits));
    if physical >= size {
        return Err(FaultReason::OutsideRam { physical });
    }
    Ok(Translation {
        physical: Pa(physical),
        user: entries.iter().all(|entry| entry >> 2 & 1 == 1),
        write: entries.iter().all(|entry| entry >> 1 & 1 == 1),
        execute: entries.iter().all(|entry| entry >> 63 == 0),
    })
}

/// Entries that lead somewhere often enough.
fn table_entry() -> impl Strategy<Value = u64> {
    let frame =
        prop_oneof![8 => 0u64..16, 1 => 16u64..0x1000, 1 => any::<u64>().prop_map(|at| at >> 24)];
    let flags = (
        any::<u64>(),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.1),
    );
    (frame, flags).prop_map(|(frame, (noise, present, large))| {
        let noise = noise & !(entry::FRAME | entry::PRESENT | entry::LARGE);
        noise | frame << 12 | u64::from(present) | if large { entry::LARGE } else { 0 }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn translation_follows_the_manual(
        entries in prop::collection::vec(table_entry(), 16),
        root in 0u64..18,
        addresses in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 40),
    ) {
        // Sixteen pages of tables; each takes its entries from the sixteen, in an order of its own.
        let memory: Vec<u64> = (0..16 * 512)
            .map(|slot: usize| entries[(slot * 7 + slot / 512 * 3) % 16])
            .collect();
        let ram = GuestRam::new(memory.len() as u64 * 8).unwrap();
        let bytes: Vec<u8> = memory.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        prop_assert!(ram.write(Pa(0), &bytes));
        // CR3 has flags in its low bits, which are no part of the address.
        let root = Pa(root << 12 | 0x18);
        for (address, high, canonical) in addresses {
            let address = if canonical { ((address << 16) as i64 >> 16) as u64 } else { address ^ high };
            let wanted = walk(&memory, root.0, address);
            prop_assert_eq!(translate(&ram, root, Va(address)), wanted, "{:#x}", address);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Read,
    Write,
    Execute,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The processor can do with a page what the walk says: the debugger's view is the guest's.
    #[test]
    fn the_processor_agrees(
        ring in prop::sample::select(vec![0u8, 3]),
        kernels in any::<bool>(),
        access in prop::sample::select(vec![Use::Read, Use::Write, Use::Execute]),
        flips in prop::collection::vec(
            (1u32..=2, prop::sample::select(vec![
                entry::PRESENT, entry::WRITE, entry::USER, entry::NO_EXECUTE,
            ])),
            0..4,
        ),
    ) {
        // A page by itself, so that its entries of both levels concern nothing else.
        let page = Va(if kernels { 0xfffff900_00000000 } else { 0x7_0000_0000 });
        let start = if ring == 0 { KERNEL } else { USER };
        let mut code = Code::at(start);
        code.load(Gpr::Rax, page.0);
        let at = code.here();
        match access {
            Use::Read => code.put(&[0x8a, 0x08]), // mov cl, [rax]
            Use::Write => code.put(&[0xc6, 0x00, 0xcc]), // mov byte ptr [rax], 0cch
            Use::Execute => code.put(&[0xff, 0xe0]), // jmp rax
        };
        code.int3();
        let mut target = Code::at(page);
        target.int3();
        let guest = Guest::new().page(page).code(&code).code(&target);
        // Pages of `page` are data for both rings; each bit may be flipped more than once.
        let mut entries = [entry::PRESENT | entry::WRITE | entry::USER; 2];
        entries[0] |= entry::NO_EXECUTE;
        let guest = flips.iter().fold(guest, |guest, &(level, bits)| {
            entries[level as usize - 1] ^= bits;
            guest.flip_entry(page, level, bits)
        });
        let all = |bit: u64| entries.iter().all(|entry| entry & bit != 0);
        let allowed = all(entry::PRESENT)
            && (ring == 0 || all(entry::USER))
            && match access {
                Use::Read => true,
                Use::Write => all(entry::WRITE),
                Use::Execute => entries.iter().all(|value| value & entry::NO_EXECUTE == 0),
            };
        let mut machine = if ring == 0 { guest.in_ring_0() } else { guest.in_ring_3() };
        prop_assert_eq!(machine.read_u8(page).is_ok(), all(entry::PRESENT));
        match go(&mut machine) {
            Exit::HardcodedBreakpoint { .. } => prop_assert!(allowed),
            Exit::Fault(fault) => {
                prop_assert!(!allowed);
                let address = if access == Use::Execute { page } else { at };
                prop_assert_eq!((fault.vector, fault.address, fault.accessed), (14, address, Some(page)));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// A debugger writes whatever the pages' protection, and sees what the guest wrote.
#[test]
fn both_sides_see_one_memory() {
    let mut code = Code::at(KERNEL);
    code.fetch(Gpr::Rax, KERNEL_DATA)
        .put(&[0x48, 0xff, 0xc0]) // inc rax
        .store(USER_DATA, Gpr::Rax)
        .int3();
    let mut machine = Guest::new().code(&code).in_ring_0();
    machine.write(KERNEL_DATA, &41u64.to_le_bytes()).unwrap();
    go(&mut machine);
    assert_eq!(machine.read_u64(USER_DATA).unwrap(), 42);
    let read_only = crate::guest::USER_READ_ONLY;
    machine.write(read_only, b"written").unwrap();
    assert_eq!(machine.read_u8(read_only.wrapping_add(6)).unwrap(), b'n');
}
