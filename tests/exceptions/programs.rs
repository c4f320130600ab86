//! Random programs of guarded blocks: the driver's filters, handlers and termination handlers run in the
//! order that the model says.

use crate::guest::{Place, Request, ask, lab, notes, pairs, run_to_end};
use crate::kind;
use crate::model::{Model, Op, encode};
use poolhit::guest::SavedLab;
use proptest::prelude::*;
use std::sync::LazyLock;

const RUN_PROGRAM: u32 = 16;
/// What a kernel stack has room for, but for the system call, the driver's dispatch routine, and what a
/// handler calls.
const STACK: usize = 0x5400;

static SAVED: LazyLock<SavedLab> = LazyLock::new(|| {
    let mut lab = lab(&Request::new(0, Place::Dispatch, 0));
    lab.save().unwrap()
});

fn run(program: &[Op], place: Place, filter_raises: u64) -> Vec<(u32, u64)> {
    let mut lab = SAVED.lab().unwrap();
    let mut request = Request::new(RUN_PROGRAM, place, 0);
    request.program = encode(program);
    request.arguments = [request.program.len() as u64, filter_raises];
    ask(&mut lab, &request);
    let exit = run_to_end(&mut lab);
    let notes = pairs(&notes(&lab));
    assert_eq!(exit, None, "{:?} {notes:x?}", lab.bug_check());
    notes
}

/// A leaf of a program.
fn leaf(raises: bool) -> BoxedStrategy<Op> {
    let note = any::<u8>().prop_map(Op::Note);
    if !raises {
        return prop_oneof![4 => note, 1 => Just(Op::Return)].boxed();
    }
    let faults = [
        kind::READ_NULL,
        kind::READ_NOT_CANONICAL,
        kind::DIVIDE,
        kind::UNDEFINED,
        kind::CALL_NULL,
        kind::RAISE_MISALIGNMENT,
    ];
    let faults = faults.map(|kind| kind as u8).to_vec();
    prop_oneof![
        3 => note,
        3 => any::<u8>().prop_map(Op::Raise),
        2 => prop::sample::select(faults).prop_map(Op::Fault),
        1 => Just(Op::Return),
    ]
    .boxed()
}

/// A block with scopes so deep. Exceptions in termination handlers and in filters stay on the stack until
/// someone handles them, and it has no room for many: so deep in each other may termination handlers have
/// one.
fn block(depth: u32, raises: bool, handlers: u32) -> BoxedStrategy<Vec<Op>> {
    if depth == 0 {
        return prop::collection::vec(leaf(raises), 0..3).boxed();
    }
    let inner = move || block(depth - 1, raises, handlers);
    let ending = block(depth.min(2) - 1, handlers > 0, handlers.saturating_sub(1));
    let op = prop_oneof![
        2 => leaf(raises),
        3 => (inner(), ending).prop_map(|(body, rest)| Op::Finally(body, rest)),
        4 => (0u8..5, inner(), inner())
            .prop_map(|(filter, body, rest)| Op::Except(filter, body, rest)),
        2 => (prop::sample::select(vec![0u8, 1, 2, 0x20, 0xff]), inner())
            .prop_map(|(shape, body)| Op::Call(shape, body)),
    ];
    prop::collection::vec(op, 0..4).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn exceptions_go_their_documented_ways(
        program in block(3, true, 1).prop_filter(
            "does not fit the driver's request or its notes",
            |program| encode(program).len() <= 0x400,
        ),
        place in prop::sample::select(vec![Place::Dispatch, Place::Thread]),
        filter_raises in 0u64..2,
    ) {
        let expected = Model::run(&program, filter_raises);
        prop_assume!(expected.notes.len() <= 512 && expected.stack <= STACK);
        prop_assert_eq!(run(&program, place, filter_raises), expected.notes);
    }
}

/// The same at DISPATCH_LEVEL, where page faults are no exceptions.
#[test]
fn a_program_at_dispatch_level() {
    let finally = |body, number| Op::Finally(body, vec![Op::Note(number)]);
    let raise = vec![Op::Call(1, vec![finally(vec![Op::Raise(3)], 1)])];
    let inner = Op::Except(2, raise, vec![Op::Fault(kind::DIVIDE as u8)]);
    let program = [Op::Except(
        1,
        vec![finally(vec![inner], 2)],
        vec![Op::Note(3)],
    )];
    let expected = Model::run(&program, 0).notes;
    assert!(expected.len() > 8);
    for place in [Place::Dpc, Place::DispatchLevel, Place::WorkItem] {
        assert_eq!(run(&program, place, 0), expected);
    }
}
