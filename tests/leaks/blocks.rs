//! Which blocks are leaked, told from what a ledger has been told.

use poolhit::address::Va;
use poolhit::hits::StackId;
use poolhit::leaks::{DriverSet, Growth, Held, Ledger, LedgerLimits, PoolCall};
use poolhit::tag::Tag;

const DRIVER: DriverSet = DriverSet(1);

struct Told {
    ledger: Ledger,
    next: u64,
}

impl Told {
    fn new() -> Told {
        let mut ledger = Ledger::new(LedgerLimits::default());
        ledger.mark_started();
        Told { ledger, next: 0 }
    }

    fn call(stack: u32) -> PoolCall {
        PoolCall {
            tag: Tag::from_bytes(*b"Leak"),
            stack: StackId(stack),
            drivers: DRIVER,
            work: 0,
        }
    }

    fn allocate(&mut self, stack: u32, bytes: u64) -> Va {
        self.next += 0x1000;
        let (sequence, block) = (self.ledger.next_call(), Va(self.next));
        let call = Told::call(stack);
        self.ledger.allocated(sequence, &call, block, bytes, None);
        block
    }

    fn free(&mut self, stack: u32, block: Va) {
        self.ledger.freed(&Told::call(stack), block);
    }

    fn leaked(&self) -> Held {
        let all = self.ledger.leaked(DriverSet::NONE);
        all.iter().fold(Held::default(), |sum, one| Held {
            blocks: sum.blocks + one.blocks,
            bytes: sum.bytes + one.bytes,
        })
    }
}

fn held(blocks: u64, bytes: u64) -> Held {
    Held { blocks, bytes }
}

/// As in a DPC, which has on its stack what it interrupted: each block comes by a path of its own.
#[test]
fn a_leak_that_never_comes_by_the_same_path_grows() {
    for each in [1, 2, 3] {
        let mut told = Told::new();
        for repeat in 0..40 {
            if repeat % each == 0 {
                told.allocate(repeat, 0x40);
            }
            told.ledger.mark_repeat();
        }
        let growths = told.ledger.path_growths();
        assert!(growths.iter().all(|growth| *growth == Growth::WithTag));
        let blocks = 40_u64.div_ceil(each.into());
        assert_eq!(told.leaked(), held(blocks, blocks * 0x40), "each {each}");
    }
}

#[test]
fn caches_that_fill_at_first_are_kept_beside_a_leak() {
    let mut told = Told::new();
    for repeat in 0..20 {
        if repeat < 5 {
            told.allocate(100 + repeat, 0x100);
        }
        told.allocate(1, 0x10);
        told.ledger.mark_repeat();
    }
    assert_eq!(told.leaked(), held(20, 0x140));
}

#[test]
fn a_block_that_takes_another_one_s_place_behind_the_last_mark_is_leaked() {
    for bytes in [0x20, 0x40, 0x80] {
        let mut told = Told::new();
        let first = told.allocate(1, 0x40);
        for _ in 0..3 {
            told.ledger.mark_repeat();
        }
        assert_eq!(told.leaked(), held(0, 0));
        told.free(1, first);
        told.allocate(1, bytes);
        assert_eq!(told.leaked(), held(1, bytes));
    }
}

#[test]
fn a_driver_that_is_loaded_again_keeps_what_it_starts_with_and_has_left_the_rest() {
    let mut told = Told::new();
    told.ledger.mark_starting();
    told.allocate(1, 0x40);
    told.ledger.mark_started();
    assert_eq!(told.leaked(), held(0, 0));
    assert_eq!(told.ledger.mark_unloaded(DRIVER), held(1, 0x40));
    told.ledger.mark_starting();
    told.allocate(1, 0x40);
    told.ledger.mark_started();
    assert_eq!(told.leaked(), held(1, 0x40));
    told.allocate(1, 0x40);
    assert_eq!(told.leaked(), held(2, 0x80));
}
