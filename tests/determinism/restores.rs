//! The laws of saved labs, with the kernel and its pool at random points of random runs.

use crate::{LEAK, MEMORY, lab};
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{CallError, SavedLab};
use poolhit::machine::Exit;
use poolhit::memory::WriteMemory;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

/// What is done to a lab, and has the same effect each time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deed {
    /// Runs for that much work, passing break instructions.
    Run(u64),
    /// Allocates that much of a pool, and frees it if asked to.
    Allocate { pool: u64, bytes: u64, free: bool },
    /// Another first byte for a function that requests and calls go through: its own, or one that
    /// breaks in front of it.
    Patch(&'static str, bool),
    /// Sets a breakpoint there, or takes it away.
    Breakpoint(&'static str),
    /// Another tag to be hit.
    Tag([u8; 4]),
}

const FUNCTIONS: [&str; 3] = [
    "NtDeviceIoControlFile",
    "ExAllocatePoolWithTag",
    "ExFreePoolWithTag",
];

/// A lab, and what has happened to it.
struct Subject {
    lab: Lab,
    breakpoints: Vec<Va>,
    /// It stands at a fault of the patched kernel's: going on from there is not what saving is for.
    at_fault: bool,
}

/// What can be seen of a deed.
type Outcome = (Vec<(Exit, u64)>, Vec<u64>, u128);

impl Subject {
    fn new(lab: Lab) -> Subject {
        Subject {
            lab,
            breakpoints: Vec::new(),
            at_fault: false,
        }
    }

    fn address(&self, function: &str) -> Va {
        self.lab.kernel_symbol(function).unwrap()
    }

    fn hash(&self) -> u128 {
        self.lab.machine().state_hash()
    }

    fn run(&mut self, work: u64, exits: &mut Vec<(Exit, u64)>) {
        let limit = self.lab.machine().work() + work;
        loop {
            let exit = self.lab.machine_mut().run(limit).unwrap();
            self.at_fault = matches!(exit, Exit::Fault(_));
            let machine = self.lab.machine_mut();
            exits.push((exit, machine.work()));
            match exit {
                Exit::Breakpoint { .. } => {}
                Exit::HardcodedBreakpoint { .. } => {
                    let mut registers = machine.registers();
                    registers.rip += 1;
                    machine.set_registers(&registers).unwrap();
                }
                _ => return,
            }
            // A patched function breaks for ever.
            if exits.len() > 300 {
                return;
            }
        }
    }

    fn does(&mut self, deed: &Deed) -> Outcome {
        let (mut exits, mut values) = (Vec::new(), Vec::new());
        match *deed {
            Deed::Run(work) => self.run(work, &mut exits),
            Deed::Allocate { pool, bytes, free } => {
                let mut fault = self.at_fault;
                let mut call = |lab: &mut Lab, name, arguments: &[u64]| {
                    match lab.call_kernel(name, arguments) {
                        Ok(called) => {
                            values.push(called.value);
                            values.extend(called.hits.iter().map(|hit| hit.0));
                            Some(called.value)
                        }
                        // in user mode, at a breakpoint
                        Err(error) => {
                            fault |= matches!(
                                error,
                                CallError::Stopped {
                                    exit: Exit::Fault(_),
                                    ..
                                }
                            );
                            values.push(u64::MAX);
                            None
                        }
                    }
                };
                let tag = u32::from_le_bytes(*LEAK).into();
                let block = call(&mut self.lab, "ExAllocatePoolWithTag", &[pool, bytes, tag]);
                if let Some(block) = block.filter(|block| free && *block != 0) {
                    call(&mut self.lab, "ExFreePoolWithTag", &[block, tag]);
                }
                self.at_fault = fault;
            }
            Deed::Patch(function, breaks) => {
                let at = self.address(function);
                let base = self.lab.bases().kernel;
                let image = self.lab.images().kernel.image.clone();
                let rva = poolhit::address::Rva((at - base) as u32);
                let own = image.bytes_at(rva, 1).unwrap()[0];
                let byte = if breaks { 0xcc } else { own };
                self.lab.machine_mut().write(at, &[byte]).unwrap();
            }
            Deed::Breakpoint(function) => {
                let at = self.address(function);
                let machine = self.lab.machine_mut();
                match self.breakpoints.iter().position(|set| *set == at) {
                    Some(index) => {
                        self.breakpoints.remove(index);
                        machine.clear_breakpoint(at).unwrap();
                    }
                    None => {
                        self.breakpoints.push(at);
                        self.breakpoints.sort_unstable();
                        machine.set_breakpoint(at).unwrap();
                    }
                }
            }
            Deed::Tag(tag) => {
                let at = self.address("PoolHitTag");
                self.lab.machine_mut().write(at, &tag).unwrap();
            }
        }
        (exits, values, self.hash())
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let function = || (0..FUNCTIONS.len()).prop_map(|index| FUNCTIONS[index]);
    let work = prop_oneof![Just(1u64), Just(500), Just(9_000), Just(60_000)];
    let bytes = prop_oneof![Just(0x20u64), Just(0x100), Just(0x3000)];
    prop_oneof![
        6 => work.prop_map(Deed::Run),
        6 => (0..2u64, bytes, any::<bool>())
            .prop_map(|(pool, bytes, free)| Deed::Allocate { pool, bytes, free }),
        2 => (function(), any::<bool>()).prop_map(|(name, breaks)| Deed::Patch(name, breaks)),
        1 => function().prop_map(Deed::Breakpoint),
        1 => prop_oneof![Just(*LEAK), Just(*b"None")].prop_map(Deed::Tag),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Do(Deed),
    Save,
    Restore(Index),
    /// Goes on with a copy, made on this thread; the lab so far does something else first.
    Copy(Index, Deed),
    /// Lets a copy on another thread do something, and goes on.
    Aside(Index, Deed),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        8 => deed().prop_map(Step::Do),
        3 => Just(Step::Save),
        6 => index().prop_map(Step::Restore),
        1 => (index(), deed()).prop_map(|(which, deed)| Step::Copy(which, deed)),
        2 => (index(), deed()).prop_map(|(which, deed)| Step::Aside(which, deed)),
    ]
}

/// Outcomes of deeds, by the state and the breakpoints before.
#[derive(Default)]
struct Known(BTreeMap<(u128, Vec<Va>, bool, Deed), Outcome>);

impl Known {
    /// The first time an outcome is noted; later it has to be the same.
    fn check(&mut self, subject: &mut Subject, deed: &Deed) -> Result<(), TestCaseError> {
        let machine = subject.lab.machine();
        // Where a breakpoint has been reported depends on how the lab came there.
        let rip = machine.registers().rip();
        let at = subject.breakpoints.contains(&rip).then_some(rip);
        let key = (
            subject.hash(),
            subject.breakpoints.clone(),
            subject.at_fault,
            deed.clone(),
        );
        let outcome = subject.does(deed);
        if at.is_none() {
            let known = self.0.entry(key).or_insert_with(|| outcome.clone());
            prop_assert!(
                *known == outcome,
                "{deed:?}: {known:#x?} before, {outcome:#x?} now"
            );
        }
        Ok(())
    }
}

struct Saved {
    lab: SavedLab,
    hash: u128,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Saving changes nothing, restoring gives what was saved, and from equal states equal deeds
    /// have equal outcomes: in the same lab, in a copy, on another thread, with breakpoints set or
    /// code patched in between.
    #[test]
    fn restored_labs_and_copies_behave_alike(steps in vec(step(), 1..40)) {
        let mut subject = Subject::new(lab(LEAK));
        let mut states: Vec<Saved> = Vec::new();
        let mut known = Known::default();
        for step in steps {
            match step {
                Step::Do(deed) => known.check(&mut subject, &deed)?,
                Step::Save if !subject.at_fault => {
                    let hash = subject.hash();
                    let lab = subject.lab.save().unwrap();
                    prop_assert_eq!(subject.hash(), hash);
                    states.push(Saved { lab, hash });
                }
                Step::Restore(which) if !states.is_empty() => {
                    let saved = which.get(&states);
                    subject.lab.restore(&saved.lab).unwrap();
                    subject.at_fault = false;
                    prop_assert_eq!(subject.hash(), saved.hash);
                }
                Step::Copy(which, deed) if !states.is_empty() => {
                    let saved = which.get(&states);
                    let mut copy = Subject::new(saved.lab.lab().unwrap());
                    known.check(&mut subject, &deed)?;
                    prop_assert_eq!(copy.hash(), saved.hash);
                    known.check(&mut copy, &deed)?;
                    subject = copy;
                }
                Step::Aside(which, deed) if !states.is_empty() => {
                    let saved = which.get(&states);
                    let outcome = std::thread::scope(|threads| {
                        let copy = || Subject::new(saved.lab.lab().unwrap()).does(&deed);
                        threads.spawn(copy).join().unwrap()
                    });
                    let mut copy = Subject::new(saved.lab.lab().unwrap());
                    prop_assert!(copy.does(&deed) == outcome, "{:?} on two threads", deed);
                }
                Step::Save | Step::Restore(_) | Step::Copy(..) | Step::Aside(..) => {}
            }
        }
    }

    /// Law by law, far into the run: N units of work, saved, run on, restored, run again; and the
    /// same without saving.
    #[test]
    fn run_save_run_restore_run(
        before in 0u64..1_000_000,
        after in 1u64..300_000,
        elsewhere in 0u64..100_000,
    ) {
        let trace = |subject: &mut Subject, work| {
            let mut exits = Vec::new();
            subject.run(work, &mut exits);
            (exits, subject.lab.machine().registers(), subject.hash())
        };
        let mut subject = Subject::new(lab(LEAK));
        trace(&mut subject, before);
        let at = subject.hash();
        let saved = subject.lab.save().unwrap();
        prop_assert_eq!(subject.hash(), at);
        let first = trace(&mut subject, after);
        let mut copy = Subject::new(saved.lab().unwrap());
        trace(&mut subject, elsewhere);
        subject.lab.restore(&saved).unwrap();
        prop_assert_eq!(subject.hash(), at);
        let again = trace(&mut subject, after);
        prop_assert!(first == again, "the same lab");
        prop_assert!(first == trace(&mut copy, after), "a copy");
        let mut plain = Subject::new(cold());
        trace(&mut plain, before);
        prop_assert!(first == trace(&mut plain, after), "a lab that was never saved");
    }
}

/// A lab that has really booted.
fn cold() -> Lab {
    let mut lab = Lab::builder().memory(MEMORY).cold().build().unwrap();
    let hit_tag = lab.kernel_symbol("PoolHitTag").unwrap();
    lab.machine_mut().write(hit_tag, LEAK).unwrap();
    lab
}

/// Whether a lab has booted or is a copy of one that has, nobody can tell.
#[test]
fn a_copy_of_a_booted_lab_is_a_booted_lab() {
    let events = |lab: Lab| {
        let mut subject = Subject::new(lab);
        let mut exits = Vec::new();
        subject.run(400_000, &mut exits);
        (exits, subject.hash())
    };
    let really = cold();
    let hash = really.machine().state_hash();
    let expected = events(really);
    for _ in 0..3 {
        let lab = lab(LEAK);
        assert_eq!(lab.machine().state_hash(), hash);
        assert_eq!(events(lab), expected);
    }
}

/// Labs with other options are others, whatever was built before; and those built first are built
/// again after they have been let go.
#[test]
fn options_decide_what_is_copied() {
    let sizes = [8u64, 9, 10, 11, 12, 13];
    let build = |size: u64, tagged: bool, cold: bool| {
        let mut builder = Lab::builder().memory(size << 20);
        if tagged {
            builder = builder.driver_base(Va(0xfffff880_06000000));
        }
        if cold {
            builder = builder.cold();
        }
        builder.build().unwrap().machine().state_hash()
    };
    let expected: Vec<u128> = sizes.map(|size| build(size, size % 2 == 0, true)).into();
    // Each kept and used, and let go again when others come.
    for times in [1, 3, 3] {
        for (&size, expected) in sizes.iter().zip(&expected) {
            for _ in 0..times {
                assert_eq!(build(size, size % 2 == 0, false), *expected);
            }
        }
    }
    let mut distinct = expected;
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), sizes.len());
}

/// Many threads, each with labs of its own from one saved state.
#[test]
fn threads_share_a_saved_lab() {
    let saved = lab(LEAK).save().unwrap();
    let deeds = [
        Deed::Run(40_000),
        Deed::Allocate {
            pool: 1,
            bytes: 0x2000,
            free: true,
        },
        Deed::Run(5_000),
    ];
    let run = || {
        let mut subject = Subject::new(saved.lab().unwrap());
        let mut outcomes = Vec::new();
        for _ in 0..20 {
            outcomes.push(deeds.each_ref().map(|deed| subject.does(deed)));
            subject.lab.restore(&saved).unwrap();
        }
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
        outcomes.swap_remove(0)
    };
    let outcomes: Vec<_> = std::thread::scope(|threads| {
        let running: Vec<_> = (0..6).map(|_| threads.spawn(run)).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
}

/// A lab that goes from thread to thread, and is run and restored wherever it is.
#[cfg(not(target_vendor = "apple"))]
#[test]
fn a_lab_goes_from_thread_to_thread() {
    let mut subject = Subject::new(lab(LEAK));
    let saved = subject.lab.save().unwrap();
    let deed = Deed::Run(30_000);
    let expected = subject.does(&deed);
    for round in 0..6 {
        let there = || {
            if round % 2 == 0 {
                subject.lab.restore(&saved).unwrap();
            }
            subject.does(&Deed::Run(5_000 * round));
            subject
        };
        subject = std::thread::scope(|threads| threads.spawn(there).join().unwrap());
        subject.lab.restore(&saved).unwrap();
        assert_eq!(subject.does(&deed), expected, "round {round}");
    }
}
