//! Functions that the lab provides: constants and closures.

use crate::driver::{Step, driver};
use poolhit::address::Va;
use poolhit::guest::{LabError, PROVIDED_CALL_WORK, UseKind};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::{Lab, Session, StopReason};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const IMPORTS: &[(&str, &[&str])] = &[
    ("ext.sys", &["ExtCall", "ExtResult"]),
    ("ntoskrnl.exe", &["KeGetCurrentIrql"]),
];

#[test]
fn a_closure_gets_the_arguments_in_order() {
    const VALUES: &[u64] = &[
        u64::MAX,
        2,
        0x1234_5678_9abc_def0,
        4,
        5,
        0x8000_0000_0000_0000,
        7,
        8,
        9,
        10,
    ];
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let steps = [Step::Arguments(VALUES), Step::Call(0), Step::Call(1)];
    Lab::builder()
        .driver(driver(IMPORTS, &steps))
        .provide("ext.sys!ExtCall", move |call| {
            let arguments: Result<Vec<_>, _> = (1..=10).map(|n| call.argument(n)).collect();
            sink.lock().unwrap().push(arguments?);
            assert_eq!((call.module(), &*call.function()), ("ext.sys", "ExtCall"));
            // four bytes, then two arguments in ten bytes a register, six in fifteen, six more
            assert_eq!(
                call.caller()?,
                Va(0xfffff880_0496e000 + 4 + 4 * 10 + 6 * 15 + 6)
            );
            Ok(0)
        })
        .return_constant("ExtResult", 0)
        .build()
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), [VALUES]);
}

/// The value is the call's, and the guest goes on behind it with its stack in place.
#[test]
fn values_reach_the_guest() {
    let steps = [Step::Call(0), Step::Call(0), Step::Call(1)];
    for (value, boots) in [(0, true), (0x103, true), (0xc000_0022, false)] {
        let lab = Lab::builder()
            .driver(driver(IMPORTS, &steps))
            .return_constant("ExtCall", 1)
            .return_constant("ExtResult", value);
        match lab.build() {
            Ok(_) => assert!(boots, "{value:#x}"),
            Err(LabError::Driver(failed)) => {
                assert!(!boots, "{value:#x}");
                assert_eq!(u64::from(failed.status.0), value);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_closure_reads_and_writes_guest_memory() {
    let steps = [Step::Call(0)];
    let lab = Lab::builder()
        .driver(driver(IMPORTS, &steps))
        .provide("ExtCall", |call| {
            // The driver object, by its first field, and the driver's code, which nobody may write.
            let object = Va(call.argument(1)?);
            assert_eq!(call.read_u16(object)?, 4);
            call.write(Va(0xfffff880_0496e800), b"by the lab")?;
            let fault = call.read_u8(Va(0x10)).unwrap_err();
            assert_eq!(fault.address, Va(0x10));
            Ok(0)
        })
        .build()
        .unwrap();
    let mut text = [0; 10];
    let at = Va(0xfffff880_0496e800);
    lab.machine().read(at, &mut text).unwrap();
    assert_eq!(&text, b"by the lab");
}

#[test]
fn a_closure_that_refuses_stops_the_guest() {
    let lab = Lab::builder()
        .driver(driver(IMPORTS, &[Step::Call(0)]))
        .provide("ExtCall", |_| Err("not today".into()));
    let booted = lab.clone().boot().unwrap();
    let mut session = Session::stopped(booted.lab, booted.stopped.unwrap());
    let stop = session.last_stop().unwrap().clone();
    let StopReason::UnprovidedFunction(used) = &stop.reason else {
        panic!("{stop:?}");
    };
    let reason = "not today".to_string();
    assert_eq!(used.kind, UseKind::Refused { reason });
    assert_eq!(session.stack(4).frames[1].to_string(), "a+0x100a");
    assert_eq!(session.go().unwrap().reason, stop.reason);
    let text = lab.build().unwrap_err().to_string();
    assert!(
        text.contains("ext.sys!ExtCall is called, and the lab's own refuses: not today"),
        "{text}"
    );
}

/// What the lab provides takes the kernel's place for the driver, and for nobody else.
#[test]
fn the_lab_comes_before_the_kernel() {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let mut lab = Lab::builder()
        .driver(driver(IMPORTS, &[Step::Call(2), Step::Call(2)]))
        .provide("ntoskrnl.exe!KeGetCurrentIrql", move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(0)
        })
        .build()
        .unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    lab.call_kernel("KeGetCurrentIrqlExport", &[]).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// A lab with closures is booted anew each time; its copies share them.
#[test]
fn copies_share_the_closure() {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let builder = Lab::builder()
        .driver(driver(IMPORTS, &[Step::Call(0)]))
        .provide("ExtCall", move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(0)
        });
    for built in 1..=4 {
        builder.clone().build().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), built);
    }
    let mut lab = builder.build().unwrap();
    let saved = lab.save().unwrap();
    let entry = Va(0xfffff880_0496e000);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let mut copy = saved.lab().unwrap();
                enter(&mut copy, entry);
            });
        }
    });
    lab.restore(&saved).unwrap();
    enter(&mut lab, entry);
    assert_eq!(calls.load(Ordering::Relaxed), 5 + 3);
}

/// Runs the driver's entry once more, to its return.
fn enter(lab: &mut Lab, entry: Va) {
    use poolhit::machine::Exit;
    let mut registers = lab.machine().registers();
    let stack = registers.rsp().wrapping_sub(0x108);
    let landing = lab.machine().return_landing();
    lab.machine_mut()
        .write(stack, &landing.0.to_le_bytes())
        .unwrap();
    registers.set(poolhit::registers::Gpr::Rsp, stack.0);
    registers.rip = entry.0;
    lab.machine_mut().set_registers(&registers).unwrap();
    let limit = lab.machine().work() + 1_000_000;
    assert_eq!(lab.run(limit).unwrap(), Exit::Halt);
}

/// The same run gives the same state, answered calls and all.
#[test]
fn answered_calls_are_deterministic() {
    let steps = [
        Step::Arguments(&[1, 2, 3, 4, 5]),
        Step::Call(0),
        Step::Call(1),
    ];
    let builder = Lab::builder()
        .driver(driver(IMPORTS, &steps))
        .provide("ExtCall", |call| Ok(call.argument(1)? + call.argument(5)?))
        .return_constant("ExtResult", 0);
    let hash = |lab: Lab| {
        let mut session = Session::new(lab);
        session.go().unwrap();
        session.lab().machine().state_hash()
    };
    let first = hash(builder.clone().build().unwrap());
    assert_eq!(hash(builder.clone().build().unwrap()), first);
    assert_eq!(hash(builder.cold().build().unwrap()), first);
}

/// A driver that calls for ever uses the budget up: calls count, not only the code between them.
#[test]
fn a_loop_of_answered_calls_ends() {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let error = Lab::builder()
        .driver(driver(IMPORTS, &[Step::Call(0), Step::Loop]))
        .provide("ExtCall", move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(0)
        })
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("no end after"), "{error}");
    let most = poolhit::guest::BOOT_WORK / PROVIDED_CALL_WORK;
    assert!(calls.load(Ordering::Relaxed) <= most, "{calls:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Names of any kind match or do not; nothing else happens.
    #[test]
    fn any_name_may_be_given(name in "\\PC{0,20}|(ext|EXT)(\\.sys)?!(Ext)?(Call|#1)?") {
        let lab = Lab::builder()
            .driver(driver(IMPORTS, &[Step::Call(0)]))
            .return_constant(&name, 0);
        let is_it = name == "ExtCall"
            || name.split_once('!').is_some_and(|(dll, function)| {
                let dll = dll.to_ascii_lowercase();
                (dll == "ext" || dll == "ext.sys") && function == "ExtCall"
            });
        prop_assert_eq!(lab.build().is_ok(), is_it, "{}", name);
    }
}
