//! Same inputs, same run: threads and timers change nothing of that, wherever runs are stopped, saved and
//! restored.

use crate::guest::{ENOUGH, Note, lab, notes};
use poolhit::Lab;
use poolhit::machine::Exit;
use proptest::collection::vec;
use proptest::prelude::*;

/// The scenario in which six threads do all kinds of things at random.
const MIXTURE: u32 = 30;

/// What is left in the end.
type End = (Vec<Note>, u64, u64, u128);

fn end(lab: &Lab) -> End {
    let machine = lab.machine();
    (
        notes(lab),
        machine.work(),
        machine.time(),
        machine.state_hash(),
    )
}

/// Where two ends differ.
fn difference(found: &End, expected: &End) -> String {
    let at = found.0.iter().zip(&expected.0).position(|(a, b)| a != b);
    let note = at.map(|at| (at, found.0[at], expected.0[at]));
    let times = |end: &End| (end.0.len(), end.1, end.2);
    format!("{note:?}, {:?} and {:?}", times(found), times(expected))
}

fn straight(seed: u32) -> End {
    let mut lab = lab(MIXTURE, seed);
    assert_eq!(
        lab.run(ENOUGH).unwrap(),
        Exit::Halt,
        "{:?}",
        lab.bug_check()
    );
    end(&lab)
}

#[test]
fn all_threads_come_to_their_end() {
    for seed in 0..20 {
        let (notes, work, time, _) = straight(seed);
        for number in 0..6 {
            let event = 1000 + number;
            let count = notes.iter().filter(|note| note.event == event).count();
            assert_eq!(count, 30, "seed {seed}");
        }
        assert!(time > work, "it has slept");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn stopping_anywhere_changes_nothing(
        seed in 0u32..20,
        steps in vec((prop_oneof![1u64..40, 1u64..3_000, 1u64..200_000], any::<bool>()), 0..300),
    ) {
        let expected = straight(seed);
        let mut lab = lab(MIXTURE, seed);
        let mut ended = false;
        for (step, saves) in steps {
            let limit = lab.machine().work() + step;
            match lab.run(limit).unwrap() {
                Exit::Limit => {}
                Exit::Halt => {
                    ended = true;
                    break;
                }
                other => panic!("{other:?}"),
            }
            if saves && step % 8 == 0 {
                // Something else happens, and is undone.
                let saved = lab.save().unwrap();
                let limit = lab.machine().work() + step * 3;
                lab.run(limit).unwrap();
                lab.restore(&saved).unwrap();
                if step % 16 == 0 {
                    lab = saved.lab().unwrap();
                }
            }
        }
        if !ended {
            lab.run(ENOUGH).unwrap();
        }
        let found = end(&lab);
        prop_assert!(found == expected, "seed {seed}: {}", difference(&found, &expected));
    }

    /// A breakpoint is passed as it was set: runs that come by it differ in nothing.
    #[test]
    fn breakpoints_change_nothing(seed in 0u32..20, which in 0usize..3) {
        let expected = straight(seed);
        let mut lab = lab(MIXTURE, seed);
        let name = ["KeWaitForSingleObject", "KiSwapContext", "KeSetEvent"][which];
        let address = lab.kernel_symbol(name).unwrap();
        lab.machine_mut().set_breakpoint(address).unwrap();
        let mut hits = 0;
        while lab.run(ENOUGH).unwrap() == (Exit::Breakpoint { address }) {
            hits += 1;
        }
        lab.machine_mut().clear_breakpoint(address).unwrap();
        prop_assert!(hits > 10);
        let found = end(&lab);
        prop_assert!(found == expected, "seed {seed}: {}", difference(&found, &expected));
    }
}
