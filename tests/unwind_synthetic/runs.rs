//! Random programs, interrupted at random places.

use crate::guest::{Guest, IMAGE, VECTORS};
use crate::oracle::shadow::Way;
use crate::program::{Program, plans, program};
use poolhit::address::Va;
use poolhit::machine::{Exit, Fault};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// All operations of unwind codes (`UWOP_…`), by number: 6 describes epilogues, 7 is not used.
const ALL_CODES: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10];

/// An interruption: in front of which instruction, and with an error code or not.
type Interruption = (Index, Index, bool);

/// What runs were like.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    compared: u64,
    frames: u64,
    deepest: usize,
    interruptions: u64,
    /// Those that came while a handler ran.
    nested: u64,
    /// Runs that went all the way back.
    complete: u64,
}

fn run(program: &Program, ring: u8, seed: u64, interruptions: &[Interruption]) -> Seen {
    let mut guest = Guest::start(program, ring, seed);
    let mut seen = Seen::default();
    let mut to_come: Vec<(Va, bool)> = Vec::new();
    for (function, instruction, has_code) in interruptions {
        let function = function.index(program.functions.len());
        let instruction = instruction.index(program.functions[function].instructions.len());
        let place = program.place(IMAGE, function, instruction);
        guest.machine.set_breakpoint(place).unwrap();
        to_come.push((place, *has_code));
    }
    loop {
        let limit = guest.machine.work() + 0x10_0000;
        match guest.machine.run(limit).unwrap() {
            Exit::Breakpoint { address } => {
                let next = to_come.iter().position(|(place, _)| *place == address);
                match next {
                    Some(next) => {
                        let oracle = guest.watch.oracle();
                        let callers = oracle.shadow.callers();
                        let nests = callers.iter().any(|it| it.way == Way::Interruption);
                        drop(oracle);
                        seen.interruptions += 1;
                        seen.nested += u64::from(nests);
                        interrupt(&mut guest, to_come.remove(next));
                    }
                    None => guest.machine.clear_breakpoint(address).unwrap(),
                }
            }
            // The end of a function that does not return, or a stack that is too small.
            Exit::HardcodedBreakpoint { .. } => break,
            Exit::Fault(Fault { vector: 14, .. }) => {
                seen.complete = u64::from(guest.machine.registers().rip == 0);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let counts = guest.watch.oracle().finish();
    assert_eq!(counts.boundaries, counts.compared);
    Seen {
        compared: counts.compared,
        frames: counts.frames,
        deepest: counts.deepest,
        ..seen
    }
}

fn interrupt(guest: &mut Guest, (address, has_code): (Va, bool)) {
    let machine = &mut guest.machine;
    let mut registers = machine.registers();
    if has_code {
        let fault = Fault {
            vector: VECTORS[1].into(),
            address,
            accessed: Some(Va(0)),
        };
        machine.deliver_fault(&fault).unwrap();
    } else {
        // Handlers run with interrupts off, but nothing stops a kernel from nesting them.
        registers.rflags |= 1 << 9;
        machine.set_registers(&registers).unwrap();
        machine.interrupt(VECTORS[0]).unwrap();
    }
    guest.watch.oracle().interrupt(&registers, machine);
}

/// Runs random programs in a ring; all of their boundaries are compared.
fn random_programs(ring: u8) {
    const CASES: u32 = 128;
    let interruptions = prop::collection::vec(any::<Interruption>(), 0..8);
    let all = Cell::new(Seen::default());
    let codes = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
    let result = runner.run(
        &(plans(), any::<u64>(), interruptions),
        |(plan, seed, interruptions)| {
            let program = program(&plan);
            let seen = run(&program, ring, seed, &interruptions);
            codes.borrow_mut().extend(program.unwind_codes());
            let before = all.get();
            all.set(Seen {
                compared: before.compared + seen.compared,
                frames: before.frames + seen.frames,
                deepest: before.deepest.max(seen.deepest),
                interruptions: before.interruptions + seen.interruptions,
                nested: before.nested + seen.nested,
                complete: before.complete + seen.complete,
            });
            Ok(())
        },
    );
    result.unwrap_or_else(|error| panic!("{error}"));
    let all = all.get();
    println!("ring {ring}: {all:?}");
    // What was to happen has happened: less than half of what is usual would be odd.
    let cases = u64::from(CASES);
    assert!(
        all.compared > cases * 60 && all.frames > all.compared * 2,
        "{all:?}"
    );
    assert!(
        all.interruptions > cases && all.nested > cases / 4,
        "{all:?}"
    );
    assert!(all.complete > cases / 32 && all.deepest > 6, "{all:?}");
    assert_eq!(codes.take().into_iter().collect::<Vec<_>>(), ALL_CODES);
}

#[test]
fn in_ring_0() {
    random_programs(0);
}

#[test]
fn in_ring_3() {
    random_programs(3);
}
