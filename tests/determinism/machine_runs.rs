//! Stopping a machine on its way changes nothing.

use crate::{LEAK, LEAK_PAGED, first_difference, lab};
use poolhit::Lab;
use poolhit::machine::Exit;
use poolhit::registers::Registers;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::LazyLock;

/// A function of the kernel that each request comes through once.
const CALL: &str = "NtDeviceIoControlFile";

/// A stop that the guest itself brought about.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Event {
    exit: Exit,
    work: u64,
    registers: Registers,
    /// Only for some events, since hashing takes longer than running there.
    hash: Option<u128>,
}

/// Runs a guest to its end, stopping after each of `steps` (in bytes of code) on the way, and
/// gives the stops that are not due to these.
fn history(mut lab: Lab, breakpoint: &str, steps: impl IntoIterator<Item = u64>) -> Vec<Event> {
    const HASH_EVERY: usize = 300;
    let mut steps = steps.into_iter();
    let address = lab.kernel_symbol(breakpoint).unwrap();
    let machine = lab.machine_mut();
    machine.set_breakpoint(address).unwrap();
    let mut events = Vec::new();
    pass_break_instruction(&mut lab);
    loop {
        let machine = lab.machine_mut();
        let limit = steps
            .next()
            .map_or(u64::MAX, |step| machine.work().saturating_add(step));
        let exit = machine.run(limit).unwrap();
        if exit == Exit::Limit {
            continue;
        }
        let hashed = exit == Exit::Halt || events.len() % HASH_EVERY == 0;
        events.push(Event {
            exit,
            work: machine.work(),
            registers: machine.registers(),
            hash: hashed.then(|| machine.state_hash()),
        });
        match exit {
            Exit::Halt => return events,
            Exit::HardcodedBreakpoint { .. } => pass_break_instruction(&mut lab),
            Exit::Breakpoint { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn pass_break_instruction(lab: &mut Lab) {
    let mut registers = lab.machine().registers();
    registers.rip += 1;
    lab.machine_mut().set_registers(&registers).unwrap();
}

/// What hits and what the guest's code does with it, at full length.
#[test]
fn stopping_after_every_block_changes_nothing() {
    const BLOCKS: usize = 30_000;
    let straight = &STRAIGHT[0];
    let hits = straight
        .iter()
        .filter(|event| matches!(event.exit, Exit::HardcodedBreakpoint { .. }));
    assert_eq!(hits.count(), 256 * 6);
    let calls = straight
        .iter()
        .filter(|event| matches!(event.exit, Exit::Breakpoint { .. }));
    assert_eq!(calls.count(), 256 * 8);
    let stopped = history(lab(LEAK), CALL, std::iter::repeat_n(1, BLOCKS));
    assert!(
        *straight == stopped,
        "{}",
        first_difference(straight, &stopped)
    );
}

/// The histories that nothing stopped, with each of two tags.
static STRAIGHT: LazyLock<[Vec<Event>; 2]> =
    LazyLock::new(|| [LEAK, LEAK_PAGED].map(|tag| history(lab(tag), CALL, [])));

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn stopping_anywhere_changes_nothing(
        // far, and then from block to block
        bursts in vec((0u64..300_000, 0usize..500), 0..50),
        which in 0usize..2,
    ) {
        let straight = &STRAIGHT[which];
        let steps = bursts
            .into_iter()
            .flat_map(|(far, blocks)| std::iter::once(far).chain(std::iter::repeat_n(1, blocks)));
        let stopped = history(lab([LEAK, LEAK_PAGED][which]), CALL, steps);
        prop_assert!(*straight == stopped, "{}", first_difference(straight, &stopped));
    }
}

/// A limit that is reached already: not one instruction runs.
#[test]
fn a_run_without_work_changes_nothing() {
    let mut lab = lab(LEAK);
    let mut before = lab.machine().state_hash();
    for _ in 0..3 {
        let machine = lab.machine_mut();
        assert_eq!(machine.run(machine.work()).unwrap(), Exit::Limit);
        assert_eq!(machine.state_hash(), before);
        pass_break_instruction(&mut lab);
        let machine = lab.machine_mut();
        machine.run(u64::MAX).unwrap();
        before = machine.state_hash();
    }
}
