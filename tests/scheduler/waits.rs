//! Random programs of several threads that wait, signal, take and release, against a model of what the
//! documentation says of it.

use crate::model::check;
use crate::steps::{
    Act, Event, Guest, Program, Record, SEMAPHORE_LIMIT, Step, THREADS, Task, Wait, WaitKind, When,
    object,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// When everything has been done that is going to be, in ticks.
const END: u32 = 2600;
/// The mutant that may be taken as often as can be.
const FILLED: u8 = object::MUTANTS.start;

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        3 => (1u32..12).prop_map(When::Relative),
        1 => (1u32..12).prop_map(When::Absolute),
    ]
}

fn timeout() -> impl Strategy<Value = Option<When>> {
    prop_oneof![
        3 => Just(None),
        2 => Just(Some(When::Now)),
        4 => when().prop_map(Some),
    ]
}

/// All that can be waited for; threads seldom, since they are signaled for good.
fn waited() -> impl Strategy<Value = u8> {
    prop_oneof![9 => 0..object::THREADS.start, 1 => object::THREADS]
}

fn wait() -> impl Strategy<Value = Wait> {
    let single = waited().prop_map(|it| (WaitKind::Single, vec![it]));
    // Up to six, in any order; more than three want wait blocks of the caller's.
    let objects = |from: u8| subsequence((from..object::THREADS.end).collect::<Vec<u8>>(), 1..=6);
    let any = objects(0).prop_shuffle();
    let any = any.prop_map(|objects| (WaitKind::Any, objects));
    let all = subsequence((0..object::THREADS.start).collect::<Vec<u8>>(), 1..=4);
    let all = all.prop_shuffle().prop_map(|mut objects| {
        // Whether the limit counts before all are signaled is not said.
        objects.retain(|it| *it != FILLED);
        match objects.is_empty() {
            true => (WaitKind::Single, vec![FILLED]),
            false => (WaitKind::All, objects),
        }
    });
    let which = prop_oneof![4 => single, 3 => any, 3 => all];
    (which, timeout()).prop_map(|((kind, objects), timeout)| Wait {
        kind,
        objects,
        timeout,
    })
}

/// Calls that may say that a wait follows.
fn signal() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => object::EVENTS.prop_map(Act::SetEvent),
        2 => object::EVENTS.prop_map(Act::PulseEvent),
        4 => (object::SEMAPHORES, 1..=SEMAPHORE_LIMIT as i8)
            .prop_map(|(object, count)| Act::ReleaseSemaphore(object, count)),
        5 => (object::MUTEXES.start..object::MUTANTS.end).prop_map(Act::ReleaseMutex),
    ]
}

fn timer() -> impl Strategy<Value = Act> {
    (object::TIMERS, when(), 0..3_i8).prop_map(|(timer, when, period)| {
        let is_periodic = timer == object::PERIODIC_TIMER;
        Act::SetTimer(timer, when, if is_periodic { period } else { 0 })
    })
}

fn act() -> impl Strategy<Value = Act> {
    let mutexes = object::MUTEXES.start..object::MUTANTS.end;
    prop_oneof![
        12 => signal(),
        1 => object::EVENTS.prop_map(Act::ResetEvent),
        1 => object::EVENTS.prop_map(Act::ClearEvent),
        1 => object::EVENTS.prop_map(Act::ReadEvent),
        1 => object::SEMAPHORES.prop_map(Act::ReadSemaphore),
        1 => mutexes.prop_map(Act::ReadMutex),
        4 => timer(),
        1 => object::TIMERS.prop_map(Act::CancelTimer),
        1 => object::TIMERS.prop_map(Act::ReadTimer),
        2 => (object::THREADS, 16..20_i8).prop_map(|(it, priority)| Act::SetPriority(it, priority)),
        1 => Just(Act::ApcsDisabled),
        4 => when().prop_map(Act::Delay),
        1 => Just(Act::Delay(When::Now)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        8 => wait().prop_map(|wait| vec![Step { act: Act::Nothing, wait: Some(wait) }]),
        8 => act().prop_map(|act| vec![Step::of(act)]),
        4 => (signal(), wait()).prop_map(|(act, wait)| vec![Step { act, wait: Some(wait) }]),
        1 => Just(take_too_often()),
    ];
    vec(one, 0..10).prop_map(|steps| {
        let mut steps = steps.concat();
        steps.truncate(16);
        // A thread must not end with one of these.
        steps.extend(object::MUTEXES.map(|it| Step::of(Act::DropMutex(it))));
        steps
    })
}

/// A mutex is taken, and then more often than it can be.
fn take_too_often() -> Vec<Step> {
    let take = || Step {
        act: Act::Nothing,
        wait: Some(Wait {
            kind: WaitKind::Single,
            objects: vec![FILLED],
            timeout: Some(When::Relative(2)),
        }),
    };
    vec![take(), Step::of(Act::FillMutex(FILLED)), take(), take()]
}

/// What the thread does that makes the others: nothing until all is over; then it looks at what is left.
fn maker() -> Program {
    let acts = [
        Act::Delay(When::Relative(END)),
        Act::CancelTimer(object::PERIODIC_TIMER),
    ];
    let events = object::EVENTS.map(Act::ReadEvent);
    let semaphores = object::SEMAPHORES.map(Act::ReadSemaphore);
    let mutexes = (object::MUTEXES.start..object::MUTANTS.end).map(Act::ReadMutex);
    let timers = object::TIMERS.map(Act::ReadTimer);
    let reads = events.chain(semaphores).chain(mutexes).chain(timers);
    Program {
        priority: 0,
        steps: acts.into_iter().chain(reads).map(Step::of).collect(),
    }
}

fn task() -> impl Strategy<Value = Task> {
    let events = vec(0..2_u8, object::EVENTS.len());
    let semaphores = vec(0..=SEMAPHORE_LIMIT as u8, object::SEMAPHORES.len());
    let programs = vec((16..20_u8, steps()), THREADS - 1);
    (events, semaphores, programs).prop_map(|(events, semaphores, programs)| {
        let mut task = Task {
            states: [0; object::SEMAPHORES.end as usize],
            programs: Default::default(),
        };
        task.states[..events.len()].copy_from_slice(&events);
        task.states[events.len()..].copy_from_slice(&semaphores);
        task.programs[0] = maker();
        for (place, (priority, steps)) in task.programs[1..].iter_mut().zip(programs) {
            *place = Program { priority, steps };
        }
        task
    })
}

/// How often each thing came of a step; those that are one kind of thing are one.
fn count(counts: &mut BTreeMap<String, u32>, task: &Task, records: &[Record]) {
    for record in records {
        let Some(step) = task.programs[record.thread].steps.get(record.step) else {
            continue;
        };
        let kind = step.wait.as_ref().map(|wait| wait.kind);
        let name = match (record.event, kind) {
            (Event::Begins { .. }, _) => continue,
            (Event::Raises(status), _) => format!("raised {status:x}"),
            (Event::Ends(value), Some(kind)) => format!("{kind:?} {value:x}"),
            (Event::Ends(_), None) => continue,
        };
        *counts.entry(name).or_default() += 1;
    }
}

/// Runs so many tasks; gives what came of their steps.
fn run(cases: u32) -> BTreeMap<String, u32> {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let (guest, counts) = (RefCell::new(Guest::new()), RefCell::default());
    let result = TestRunner::new(config).run(&task(), |task| {
        let records = guest.borrow_mut().run(&task);
        let records = records.map_err(TestCaseError::fail)?;
        let show = |why| TestCaseError::fail(format!("{why}\n{}", shown(&records)));
        check(&task, &records).map_err(show)?;
        count(&mut counts.borrow_mut(), &task, &records);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    counts.into_inner()
}

fn shown(records: &[Record]) -> String {
    let lines = records.iter().map(|record| format!("{record:?}"));
    lines.collect::<Vec<String>>().join("\n")
}

/// Waits of all kinds, satisfied in each way, and all that is raised.
fn expected() -> Vec<String> {
    let each = [
        "Single 0",
        "Single 80",
        "Single 102",
        "All 0",
        "All 80",
        "All 102",
        "Any 0",
        "Any 1",
        "Any 3",
        "Any 5",
        "Any 80",
        "Any 81",
        "Any 102",
        "raised c0000046",
        "raised c0000047",
        "raised c0000191",
    ];
    each.map(str::to_string).to_vec()
}

#[test]
fn threads_wait_as_documented() {
    let counts = run(500);
    for name in expected() {
        assert!(counts.contains_key(&name), "{name} never came: {counts:?}");
    }
}

#[test]
#[ignore = "10,000 cases"]
fn threads_wait_as_documented_at_length() {
    println!("{:#?}", run(10_000));
}

/// A task of two threads; the others end at once.
fn two(first: (u8, Step), second: (u8, Step)) -> Task {
    let mut task = Task {
        states: [0; object::SEMAPHORES.end as usize],
        programs: Default::default(),
    };
    task.programs[0] = maker();
    for (place, (priority, step)) in task.programs[1..].iter_mut().zip([first, second]) {
        let steps = vec![step];
        *place = Program { priority, steps };
    }
    for program in &mut task.programs[3..] {
        program.priority = 16;
    }
    task
}

/// A signal leaves it to the wait that follows it to give up the processor: however that comes out.
#[test]
fn a_wait_behind_a_signal_lets_those_run_that_are_woken() {
    let event = object::SYNCHRONIZATION_EVENTS.start;
    let wait = |object, timeout| {
        let (kind, objects) = (WaitKind::Single, vec![object]);
        Some(Wait {
            kind,
            objects,
            timeout,
        })
    };
    let mut guest = Guest::new();
    for (other, timeout) in [(0, When::Now), (0, When::Relative(2)), (5, When::Now)] {
        let waits = Step {
            act: Act::Nothing,
            wait: wait(event, None),
        };
        let signals = Step {
            act: Act::SetEvent(event),
            wait: wait(other, Some(timeout)),
        };
        let mut task = two((19, waits), (18, signals));
        task.states[5] = 1;
        let records = guest.run(&task).unwrap();
        check(&task, &records).unwrap();
        let ends = |thread| {
            let is_end = |it: &Record| it.thread == thread && matches!(it.event, Event::Ends(_));
            records.iter().position(is_end).unwrap()
        };
        assert!(ends(1) < ends(2), "{}", shown(&records));
    }
}

/// The model notices what is not as it ought to be.
#[test]
fn other_records_are_refused() {
    let mut guest = Guest::new();
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig::default(),
        TestRng::deterministic_rng(Default::default()),
    );
    let mut refused = [0; 3];
    for _ in 0..20 {
        let task = task().new_tree(&mut runner).unwrap().current();
        let records = guest.run(&task).unwrap();
        check(&task, &records).unwrap();
        for at in 0..records.len() {
            let mut other = records.clone();
            match &mut other[at].event {
                Event::Ends(value) => *value ^= 1,
                Event::Raises(status) => *status ^= 1,
                Event::Begins { .. } => continue,
            }
            assert!(check(&task, &other).is_err(), "{at} {}", shown(&records));
            refused[0] += 1;
            let mut other = records.clone();
            other.remove(at);
            assert!(check(&task, &other).is_err(), "{at} {}", shown(&records));
            refused[1] += 1;
            let mut other = records.clone();
            other[at].tick += 1;
            refused[2] += u32::from(check(&task, &other).is_err());
        }
    }
    assert!(refused.iter().all(|count| *count > 300), "{refused:?}");
}
