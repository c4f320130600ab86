//! Same inputs, same bytes: within a process, between processes, and however often the guest is
//! stopped on its way.

use poolhit::address::Va;
use poolhit::debugger::SessionError;
use poolhit::frontends::{self, DebugOptions};
use poolhit::machine::Exit;
use poolhit::memory::WriteMemory;
use poolhit::registers::Registers;
use poolhit::{Lab, Session, Stop, StopReason};
use proptest::collection::vec;
use proptest::prelude::*;
use std::process::Command;
use std::sync::LazyLock;

/// Enough for the guest to end well, and quick to hash.
const MEMORY: u64 = 16 << 20;
/// A function of the kernel that each request comes through once.
const CALL: &str = "NtDeviceIoControlFile";
const LEAK: &[u8; 4] = b"Leak";
const LEAK_PAGED: &[u8; 4] = b"Lea2";
/// Where the big pool's break instruction is in the kernel.
const BIG_POOL_HIT: u64 = 0x2_98f6;

fn lab(tag: &[u8; 4]) -> Lab {
    let mut lab = Lab::builder().memory(MEMORY).build().unwrap();
    let hit_tag = lab.kernel_symbol("PoolHitTag").unwrap();
    lab.machine_mut().write(hit_tag, tag).unwrap();
    lab
}

// ---- stopping changes nothing --------------------------------------------------------------

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
        first_difference(&straight, &stopped)
    );
}

fn first_difference<T: PartialEq + std::fmt::Debug>(a: &[T], b: &[T]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b);
    let at = at.unwrap_or(a.len().min(b.len()));
    format!("event {at}: {:#x?} and {:#x?}", a.get(at), b.get(at))
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

// ---- stopping loses nothing ----------------------------------------------------------------

/// All stops to the program's end that are not due to a budget.
fn stops(session: &mut Session, budgets: impl IntoIterator<Item = u64>) -> Vec<Stop> {
    let mut budgets = budgets.into_iter();
    let mut stops = Vec::new();
    loop {
        session.set_budget(budgets.next().unwrap_or(u64::MAX));
        let stop = session.go().unwrap();
        match stop.reason {
            StopReason::Budget { .. } => continue,
            StopReason::Idle { .. } => {
                stops.push(stop);
                return stops;
            }
            _ => stops.push(stop),
        }
    }
}

/// A session with breakpoints on a cold block that is a break instruction, and on functions of
/// either ring; or without any.
fn session(breakpoints: bool) -> Result<Session, SessionError> {
    let mut session = Session::new(lab(LEAK_PAGED));
    let addresses = [
        session.lab().bases().kernel.wrapping_add(BIG_POOL_HIT),
        session.resolve("nt!NtDeviceIoControlFile").unwrap(),
        session.resolve("ntdll!ZwDeviceIoControlFile").unwrap(),
    ];
    for address in addresses.into_iter().filter(|_| breakpoints) {
        session.set_breakpoint(address, "")?;
    }
    Ok(session)
}

/// A budget that ends right in front of a break instruction or a breakpoint does not hide it.
#[test]
fn a_budget_does_not_hide_the_next_stop() -> Result<(), SessionError> {
    let mut in_front = 0;
    for breakpoints in [false, true] {
        let straight = stops(&mut session(breakpoints)?, []);
        for (number, next) in straight.iter().take(8).enumerate() {
            let mut session = session(breakpoints)?;
            for _ in 0..number {
                session.go()?;
            }
            let work = next.work - session.lab().machine().work();
            session.set_budget(work);
            let early = session.go()?;
            session.set_budget(u64::MAX);
            // The budget is looked at between blocks: it does not end in the middle of one.
            if early.reason == (StopReason::Budget { work }) {
                in_front += 1;
                assert_eq!((early.address, early.work), (next.address, next.work));
                assert_eq!(session.go()?, *next, "stop {number}");
            } else {
                assert_eq!(early, *next, "stop {number}");
            }
        }
    }
    assert!(in_front >= 8, "only {in_front} stops start a block");
    Ok(())
}

static STRAIGHT_STOPS: LazyLock<Vec<Stop>> =
    LazyLock::new(|| stops(&mut session(true).unwrap(), []));

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn budgets_lose_no_stop(budgets in vec(prop_oneof![1u64..300, 1u64..20_000], 0..2_000)) {
        let straight = &*STRAIGHT_STOPS;
        let stopped = stops(&mut session(true).unwrap(), budgets);
        prop_assert!(*straight == stopped, "{}", first_difference(straight, &stopped));
    }

    /// Break-ins leave their traces in the guest, but the same ones each time; and the program
    /// and what hits do not notice.
    #[test]
    fn break_ins_repeat(works in vec(1u64..60_000, 1..40)) {
        let run = || {
            let mut session = Session::new(lab(LEAK_PAGED));
            let mut works = works.iter().copied();
            let mut trace = Vec::new();
            let mut hits = 0;
            loop {
                if let Some(work) = works.next() {
                    session.break_in_after(work);
                }
                let stop = session.go().unwrap();
                hits += usize::from(stop.reason == StopReason::BreakInstruction);
                let end = matches!(stop.reason, StopReason::Idle { .. });
                trace.push((stop, session.registers()));
                if end {
                    return (trace, hits, session.lab().machine().state_hash());
                }
            }
        };
        let (trace, hits, hash) = run();
        prop_assert_eq!(hits, 256 * 4);
        let end = &trace.last().unwrap().0.reason;
        prop_assert_eq!(end, &StopReason::Idle { exit_status: Some(0) });
        prop_assert!(run() == (trace, hits, hash), "the same break-ins, another history");
    }
}

// ---- transcripts ---------------------------------------------------------------------------

/// A session that shows memory, code, registers and stacks, and depends on no address.
const SCRIPT: &str = "\
lm
ed nt!PoolHitTag 3261654c
g
r
k
bp nt+298f6 \"k;? @rsp;g\"
eb nt+298f6 90
eb nt!ExFreePoolWithTag+27 90
g
<Ctrl+Break>
k
dq @rsp
u
g
dd nt!PoolHitTag
bc *
ed nt!PoolHitTag ffffff0f
g
dq nt!PoolTrackTable l2
db poi(nt!PoolTrackTable) l400
r
nonsense";

struct Variant {
    kernel: Option<u64>,
    driver: Option<u64>,
    break_in_after: u64,
}

const VARIANTS: [Variant; 3] = [
    Variant {
        kernel: None,
        driver: None,
        break_in_after: 20_000,
    },
    Variant {
        kernel: None,
        driver: None,
        break_in_after: 77_777,
    },
    Variant {
        kernel: Some(0xfffff800_0a5b3000),
        driver: Some(0xfffff880_1f00d000),
        break_in_after: 20_000,
    },
];

impl Variant {
    fn in_this_process(&self) -> String {
        let options = DebugOptions {
            commands: Some(SCRIPT.to_string()),
            kernel_base: self.kernel.map(Va),
            driver_base: self.driver.map(Va),
            break_in_after: Some(self.break_in_after),
            ..DebugOptions::default()
        };
        let mut out = Vec::new();
        let failed = frontends::debug(&options, false, &mut out).unwrap();
        assert_eq!(failed, 1, "only nonsense fails");
        String::from_utf8(out).unwrap()
    }

    /// `environment` moves the new process' stack.
    fn in_a_process(&self, environment: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolhit"));
        command.env("POOLHIT_TEST_PADDING", environment);
        command.args(["debug", "-c", SCRIPT]);
        command.arg(format!("--break-after={}", self.break_in_after));
        for (option, base) in [("--nt-base", self.kernel), ("--driver-base", self.driver)] {
            if let Some(base) = base {
                command.arg(format!("{option}={base:x}"));
            }
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn transcripts_repeat_within_and_between_processes() {
    let mut transcripts = Vec::new();
    for variant in &VARIANTS {
        let transcript = variant.in_this_process();
        assert_eq!(transcript, variant.in_this_process());
        assert_eq!(transcript, variant.in_a_process(""));
        assert_eq!(transcript, variant.in_a_process(&"x".repeat(5000)));
        transcripts.push(transcript);
    }
    transcripts.sort();
    transcripts.dedup();
    assert_eq!(transcripts.len(), VARIANTS.len(), "a variant has no effect");
}

// ---- states --------------------------------------------------------------------------------

/// The hash of all the guest can see, at several points of a session.
fn hashes() -> Vec<u128> {
    let mut session = Session::new(lab(LEAK));
    let mut hashes = vec![session.lab().machine().state_hash()];
    for line in [
        "g",
        "eb nt+298f6 90",
        "bp nt+298f6",
        "g",
        "g",
        "bc *;ed nt!PoolHitTag ffffff0f",
    ] {
        session.execute(line).unwrap();
        hashes.push(session.lab().machine().state_hash());
    }
    session.break_in_after(50_000);
    assert_eq!(session.go().unwrap().reason, StopReason::BreakIn);
    hashes.push(session.lab().machine().state_hash());
    session.go().unwrap();
    hashes.push(session.lab().machine().state_hash());
    hashes
}

/// Set for a process that is to print its hashes.
const PRINT_HASHES: &str = "POOLHIT_TEST_PRINT_HASHES";

#[test]
fn states_repeat_within_and_between_processes() {
    let hashes = hashes();
    let line = format!("hashes {hashes:x?} end");
    if std::env::var_os(PRINT_HASHES).is_some() {
        println!("{line}");
        return;
    }
    assert_eq!(hashes, self::hashes());
    let mut distinct = hashes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    // A breakpoint alone changes nothing that the guest can see.
    assert_eq!(hashes[2], hashes[3]);
    assert_eq!(distinct.len(), hashes.len() - 1);
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "states_repeat_within_and_between_processes",
            "--exact",
            "--nocapture",
        ])
        .env(PRINT_HASHES, "x".repeat(3000))
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.contains(&line), "{line} is not in {output}");
}
