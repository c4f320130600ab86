//! Labs beside one that a driver has brought down: in the same process, at the same time, on other threads.

use crate::driver::{Act, End, WAYS, Way, act, act_by, lab, lab_for};
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::machine::Exit;
use poolhit::memory::WriteMemory;

const ACTS: [(Act, u64, u64); 12] = [
    (Act::Loop, 0, 0),
    (Act::LoopHigh, 0, 0),
    (Act::Recurse, 0, 0),
    (Act::Jump, 0, 0),
    (Act::Jump, 0xfffff800_01653000, 0),
    (Act::Write, 0xfffff7ff_fff02000, 0),
    (Act::FillStack, 0x20, 0x4141_4141_4141_4141),
    (Act::FillAndFault, 0x20, 0xfffff800_01500000),
    (Act::LoadCr3, 0, 0),
    (Act::Clear, 0xfffff880_009e9000, 0x5000),
    (Act::Set, 0xfffff6fb_7dbed000, 0x1000),
    (Act::AllocateAll, 0, 0x8000),
];

/// Runs the built-in program to its end: its status, the work, and the state's hash.
fn run_to_end(mut lab: Lab) -> (u32, u64, u128) {
    let machine = lab.machine_mut();
    let mut registers = machine.registers();
    registers.rip += 1; // behind the initial break instruction
    machine.set_registers(&registers).unwrap();
    assert_eq!(lab.run(1 << 30).unwrap(), Exit::Halt);
    let status = lab.program_exit_status().unwrap();
    (status, lab.machine().work(), lab.machine().state_hash())
}

fn built_in() -> Lab {
    Lab::builder().build().unwrap()
}

/// The next lab runs its program to the end, as if it were the first.
#[test]
fn the_next_lab_is_not_affected() {
    let first = run_to_end(built_in());
    assert_eq!(first.0, 0);
    for (what, address, value) in ACTS {
        for way in WAYS {
            let mut lab = lab_for(way);
            act_by(&mut lab, way, what, address, value);
            // While the other is still there, and when it is not.
            assert_eq!(run_to_end(built_in()), first, "{way:?} {what:?}");
            drop(lab);
        }
        assert_eq!(run_to_end(built_in()), first, "{what:?}");
    }
}

/// A few things that a driver does, and the lab's hash behind them.
fn step(lab: &mut Lab) -> (u64, u128) {
    let block = act(lab, Act::Allocate, 0, 0x100).unwrap().value;
    let machine = lab.machine_mut();
    machine.write(Va(block), &[0x5a; 0x100]).unwrap();
    (block, machine.state_hash())
}

/// A lab that is used in between is what it is without them, whether they are still there or not.
#[test]
fn labs_in_one_process_know_nothing_of_each_other() {
    let mut alone = lab();
    let expected: Vec<_> = ACTS.iter().map(|_| step(&mut alone)).collect();
    drop(alone);
    let mut survivor = lab();
    let mut down = Vec::new();
    for ((what, address, value), expected) in ACTS.into_iter().zip(expected) {
        let mut lab = lab();
        let (mut end, _) = act_by(&mut lab, Way::Call, what, address, value);
        if end == End::Back {
            (end, _) = act_by(&mut lab, Way::Call, Act::Read, 8, 0);
        }
        assert_ne!(end, End::Back, "{what:?}");
        down.push(lab);
        down.truncate(3);
        assert_eq!(step(&mut survivor), expected, "{what:?}");
    }
}

/// The same on threads of their own, from one saved state.
#[test]
fn labs_on_other_threads_know_nothing_of_each_other() {
    let first = run_to_end(built_in());
    let saved = lab().save().unwrap();
    std::thread::scope(|scope| {
        let runners: Vec<_> = ACTS
            .chunks(6)
            .map(|acts| {
                let saved = &saved;
                scope.spawn(move || {
                    for &(what, address, value) in acts {
                        let mut lab = saved.lab().unwrap();
                        let hash = lab.machine().state_hash();
                        act_by(&mut lab, Way::Call, what, address, value);
                        lab.restore(saved).unwrap();
                        assert_eq!(lab.machine().state_hash(), hash, "{what:?}");
                    }
                })
            })
            .collect();
        let beside = scope.spawn(|| (0..4).all(|_| run_to_end(built_in()) == first));
        for runner in runners {
            runner.join().unwrap();
        }
        assert!(beside.join().unwrap());
    });
}
