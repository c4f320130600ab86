//! Drivers for x64 inline what reads and sets the interrupt request level: `mov` from and to CR8.

use crate::guest::{Note, Place, Request, builder, notes, pass_break_instruction, run};
use crate::status;
use poolhit::machine::Exit;

const LEVELS: u32 = 18;

/// Each note with the level that the kernel says it was made at.
fn told(notes: &[Note]) -> Vec<(u32, u64, u32)> {
    let told = |note: &Note| (note.event, note.value, note.irql);
    notes.iter().map(told).collect()
}

fn expected() -> Vec<(u32, u64, u32)> {
    vec![
        (140, 0, 0),
        (141, 1, 1),
        (142, 2, 2),
        // A deferred procedure call is queued, and comes when the level is low again.
        (143, 1, 2),
        (144, 0, 2),
        (146, 2, 2),
        (145, 1, 0),
        (147, 2, 2), // KfRaiseIrql
        (148, 0, 0),
        // A value above 15 is a general-protection fault, and changes nothing.
        (149, status::ACCESS_VIOLATION, 0),
        (150, 0, 0),
        (9999, 0, 0),
    ]
}

#[test]
fn a_driver_that_inlines_cr8_changes_the_level() {
    for place in [Place::Dispatch, Place::Thread, Place::WorkItem] {
        let notes = run(&Request::new(LEVELS, place, 0));
        assert_eq!(told(&notes), expected());
    }
}

/// Wherever a run is stopped and gone on with, the same state comes of it; in a copy of a saved lab, too.
#[test]
fn levels_do_not_depend_on_where_runs_stop() {
    let request = Request::new(LEVELS, Place::Dispatch, 0);
    let mut lab = builder(&request).build().unwrap();
    pass_break_instruction(&mut lab);
    let saved = lab.save().unwrap();
    let end = lab.machine().work() + 0x4_0000;
    assert_eq!(lab.run(end).unwrap(), Exit::Limit);
    assert_eq!(told(&notes(&lab)), expected());
    for step in [1, 7, 61, 1009] {
        let mut copy = saved.lab().unwrap();
        while copy.machine().work() < end {
            let limit = (copy.machine().work() + step).min(end);
            assert_eq!(copy.run(limit).unwrap(), Exit::Limit);
        }
        assert_eq!(
            copy.machine().state_hash(),
            lab.machine().state_hash(),
            "{step}"
        );
    }
    lab.restore(&saved).unwrap();
    assert_eq!(lab.run(end).unwrap(), Exit::Limit);
    assert_eq!(told(&notes(&lab)), expected());
}
