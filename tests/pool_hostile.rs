//! Guest memory that has been written over, at random: the pool's commands say what they can still
//! see, and neither panic, hang, nor print without end.

use poolhit::address::Va;
use poolhit::guest::pool::{LIST_HEADS, PAGE_SIZE, PoolKind, PoolPage};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::{Lab, Session};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

/// The most that one command may print here: the guest has few blocks, and none is made up.
const OUTPUT_LIMIT: usize = 1 << 20;

const BLOCK: Va = Va(0xfffff8a0_00000e80);

fn session() -> Session {
    let mut lab = Lab::builder().build().unwrap();
    for (kind, bytes) in [(1, 0x100), (1, 0x40), (0, 0x80), (0, 0x700), (1, 0x2000)] {
        let arguments = [kind, bytes, 0x3261_654c];
        lab.call_kernel("ExAllocatePoolWithTag", &arguments)
            .unwrap();
    }
    Session::new(lab)
}

thread_local! {
    /// One guest for all cases of a thread: each case puts back what it wrote over, and one that
    /// failed to leaves the next a new guest.
    static SESSION: RefCell<Session> = RefCell::new(session());
    static WRITTEN_OVER: Cell<bool> = const { Cell::new(false) };
}

/// Asks everything there is to ask about the pool.
fn look_at(session: &mut Session) {
    let commands = [
        "!poolused",
        "!poolused 1 L*",
        "!poolused 2",
        "!poolused 4",
        "!poolfind Le*",
        "!poolfind * 1",
        "!poolfind -paged *",
        "!pool fffff8a000000e80",
        "!pool fffff8a000000e80 1",
        "!pool fffff8a000000e80 2",
        "!pool fffff8a000003010",
        "!pool poi(nt!PoolTrackTable)",
        "!poolval fffff8a000000e80 3",
        "!poolval fffff8a000003010",
    ];
    for command in commands {
        let mut out = String::new();
        let failure = session.execute_to(command, &mut out).err();
        assert!(
            out.len() < OUTPUT_LIMIT,
            "{command} printed {} bytes",
            out.len()
        );
        assert!(
            failure.is_some() || !out.is_empty(),
            "{command} said nothing"
        );
        if let Some(error) = failure {
            assert!(!error.to_string().is_empty());
        }
    }
    let pool = session.lab().pool().unwrap();
    for kind in PoolKind::ALL {
        if let Ok(descriptor) = pool.descriptor(kind) {
            for index in 0..LIST_HEADS {
                pool.free_list(&descriptor, index);
            }
        }
    }
}

/// Bytes written over, as offsets into what is written over.
fn edits(size: usize) -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let word = prop_oneof![
        any::<u64>().prop_map(|value| value.to_le_bytes().to_vec()),
        // Plausible pointers, and sizes that are too much.
        (0u64..0x8000).prop_map(|at| (0xfffff8a0_00000000 + at).to_le_bytes().to_vec()),
        (0u64..0x40000).prop_map(|at| (0xfffffa80_00000000 + at).to_le_bytes().to_vec()),
        (0u32..64).prop_map(|bit| (1u64 << bit).to_le_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..32),
    ];
    prop::collection::vec((0..size, word), 1..12)
}

/// Writes over what is at `base`, looks, and puts it back.
fn with_edits(base: Va, size: usize, edits: &[(usize, Vec<u8>)]) {
    SESSION.with_borrow_mut(|session| {
        if WRITTEN_OVER.replace(true) {
            *session = self::session();
        }
        let mut kept = vec![0; size + 32];
        let machine = session.lab().machine();
        machine.read(base, &mut kept).unwrap();
        let mut bytes = kept.clone();
        for (at, edit) in edits {
            bytes[*at..at + edit.len()].copy_from_slice(edit);
        }
        session.write(base, &bytes).unwrap();
        look_at(session);
        session.write(base, &kept).unwrap();
        WRITTEN_OVER.set(false);
    });
}

fn variable(name: &str) -> Va {
    SESSION.with_borrow(|session| session.lab().kernel_symbol(name).unwrap())
}

fn pointer(name: &str) -> Va {
    let at = variable(name);
    SESSION.with_borrow(|session| session.lab().machine().read_va(at).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn pages_of_blocks(edits in edits(PAGE_SIZE as usize - 32)) {
        with_edits(Va(BLOCK.0 & !0xfff), PAGE_SIZE as usize - 32, &edits);
    }

    #[test]
    fn headers(unit in 0usize..256, edit in prop::collection::vec(any::<u8>(), 1..16)) {
        with_edits(Va(BLOCK.0 & !0xfff), PAGE_SIZE as usize - 32, &[(unit * 16 % 0xfe0, edit)]);
    }

    #[test]
    fn trackers(edits in edits(0x2000)) {
        with_edits(pointer("PoolTrackTable"), 0x2000, &edits);
    }

    #[test]
    fn large_allocations(edits in edits(0x2000)) {
        with_edits(pointer("PoolBigPageTable"), 0x2000, &edits);
    }

    #[test]
    fn the_entry_of_a_large_allocation(bytes: [u8; 24], keep in 0usize..24) {
        let table = pointer("PoolBigPageTable");
        let slot = SESSION.with_borrow(|session| {
            let memory = session.lab().machine();
            (0..4096).map(|slot| table.wrapping_add(slot * 24))
                .find(|at| memory.read_u64(*at).is_ok_and(|block| block & 1 == 0 && block != 0)).unwrap()
        });
        with_edits(slot, 24, &[(0, bytes[..keep].to_vec())]);
    }

    #[test]
    fn descriptors(edits in edits(0x1140)) {
        with_edits(variable("PagedPoolDescriptor"), 0x1140, &edits);
    }

    /// The kernel's variables: where the tables are, and how large.
    #[test]
    fn tables(name in 0usize..5, value in prop_oneof![any::<u64>(), 0u64..1 << 21]) {
        let names = [
            "PoolTrackTable",
            "PoolTrackTableSize",
            "PoolBigPageTable",
            "PoolBigPageTableSize",
            "PoolVector",
        ];
        with_edits(variable(names[name]), 8, &[(0, value.to_le_bytes().to_vec())]);
    }

    /// Any bytes at all: blocks do not overlap, lie in the page, and damage has an order.
    #[test]
    fn any_bytes_are_a_page(seed in prop::collection::vec(any::<[u8; 4]>(), 256), base: bool) {
        let mut bytes = Box::new([0; PAGE_SIZE as usize]);
        for (unit, header) in seed.iter().enumerate() {
            bytes[unit * 16..unit * 16 + 4].copy_from_slice(header);
        }
        let base = PoolKind::ALL[usize::from(base)].range().start;
        let page = PoolPage::parse(base, bytes);
        let mut end = base;
        for block in &page.blocks {
            prop_assert!(block.address >= end && block.size() > 0);
            end = block.address.wrapping_add(block.size());
        }
        prop_assert!(end <= base.wrapping_add(PAGE_SIZE));
        prop_assert!(page.damage.is_sorted_by_key(|one| one.address));
        let covered: u64 = page.blocks.iter().map(|block| block.size()).sum();
        prop_assert!(covered == PAGE_SIZE || !page.damage.is_empty());
        page.single_bits();
    }
}

/// A block is found by every address in it. A bit wrong in a header's sizes is damage, and in most
/// cases named.
#[test]
fn single_bits_are_found() {
    let mut session = session();
    let base = Va(BLOCK.0 & !0xfff);
    let page = session.lab().pool().unwrap().page(base).unwrap();
    assert!(page.damage.is_empty());
    let mut named = 0;
    for block in page.blocks.clone() {
        for address in [block.address, Va(block.address.0 + block.size() - 1)] {
            assert_eq!(page.block_at(address), Some(&block));
        }
        // PreviousSize, and BlockSize where a header follows.
        for bit in (0..8).chain(16..24) {
            let at = block.address.wrapping_add(bit / 8);
            let byte = session.lab().machine().read_u8(at).unwrap();
            session.write(at, &[byte ^ 1 << (bit % 8)]).unwrap();
            let damaged = session.lab().pool().unwrap().page(base).unwrap();
            // A size that reaches to the page's end swallows what was there: nothing denies it.
            let swallows = damaged.blocks.last().map(|one| one.address) == Some(block.address);
            let detected = !damaged.damage.is_empty() || swallows;
            assert!(detected, "bit {bit} of {}", block.address);
            let found = damaged.single_bits();
            named += usize::from(
                found
                    .iter()
                    .any(|one| one.address == block.address && u64::from(one.bit) == bit),
            );
            session.write(at, &[byte]).unwrap();
        }
    }
    assert!(
        named > page.blocks.len() * 14,
        "{named} of {} bits named",
        page.blocks.len() * 16
    );
}

/// A table larger than any can be is refused, by name and limit, before anything is read of it.
#[test]
fn sizes_that_make_no_sense_are_refused() {
    let mut session = session();
    let size = session.lab().kernel_symbol("PoolTrackTableSize").unwrap();
    session.write(size, &u64::MAX.to_le_bytes()).unwrap();
    let error = session.execute("!poolused").unwrap_err().to_string();
    assert_eq!(
        error,
        "nt!PoolTrackTable has 18446744073709551615 entries, it says; the limit is 65536"
    );
    let table = session.lab().kernel_symbol("PoolTrackTable").unwrap();
    session.write(size, &1025u64.to_le_bytes()).unwrap();
    session.write(table, &0x1000u64.to_le_bytes()).unwrap();
    let error = session.execute("!poolused").unwrap_err().to_string();
    let expected =
        "nt!PoolTrackTable cannot be read: memory at 00000000`00001000 cannot be accessed";
    assert!(error.starts_with(expected), "{error}");
}

/// A pool full of the smallest blocks, seen through every page the range has: the listing ends.
#[test]
fn a_listing_ends() {
    let mut lab = Lab::builder().build().unwrap();
    // Fill paged pool's pages with headers of one unit each.
    let mut pages = 0;
    while pages < 300 {
        let arguments = [1, 0xfe0, 0x3261_654c];
        lab.call_kernel("ExAllocatePoolWithTag", &arguments)
            .unwrap();
        pages += 1;
    }
    let mut page = Vec::new();
    for unit in 0..256 {
        page.extend_from_slice(&[u8::from(unit > 0), 0, 1, 3]);
        page.extend_from_slice(b"Lea2\0\0\0\0\0\0\0\0");
    }
    let all: Vec<Va> = lab.pool().unwrap().mapped_pages(PoolKind::Paged).collect();
    for base in all {
        lab.machine_mut().write(base, &page).unwrap();
    }
    let text = Session::new(lab).execute("!poolfind Lea2 1").unwrap();
    assert!(
        text.lines().count() < (1 << 16) + 16,
        "{}",
        text.lines().count()
    );
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("...terminating - searched pool to fffff8a0"),
        "{last}"
    );
}
