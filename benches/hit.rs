//! What a hit costs: the golden one, with its eleven frames, over and over.
#![allow(missing_docs)]

#[path = "fixture/bare.rs"]
mod bare;

use bare::Bare;
use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};

use poolhit::debugger::STOP_WORK;
use poolhit::hits::{HitSite, Keep, hit_sites};
use poolhit::{Lab, Session, StopReason};
use std::time::Duration;

/// Bytes of one round of [`looping`]: `cmp`, `je`, `int 3`, `jmp`.
const ROUND: u64 = 6 + 6 + 1 + 5;

/// A guest at the golden hit, from which the kernel's code goes straight back to the comparison: its
/// own `jmp` behind the `int 3` has been given that target.
fn looping() -> (Session, HitSite) {
    let mut session = Session::new(Lab::builder().build().expect("the built-in guest boots"));
    session
        .execute("ed nt!PoolHitTag 3261654c")
        .expect("the tag is in memory");
    let stop = session.go().expect("the engine runs");
    assert_eq!(stop.reason, StopReason::BreakInstruction);
    assert_eq!(session.stack(64).frames.len(), 11);
    let lab = session.lab();
    let kernel = &lab.images().kernel;
    let sites = hit_sites(&kernel.image, &kernel.symbols, lab.bases().kernel);
    let at_stop = |site: &&HitSite| site.address == stop.address;
    let site = *sites.iter().find(at_stop).expect("the site is known");
    let behind = site.address.wrapping_add(6);
    let distance = site.compare.0.wrapping_sub(behind.0) as u32;
    let target = site.address.wrapping_add(2);
    session
        .write(target, &distance.to_le_bytes())
        .expect("code is in memory");
    (session, site)
}

/// The same with the `int 3` made a `nop`, and a breakpoint on it as in the golden session.
fn printing() -> Session {
    let (mut session, site) = looping();
    let address = site.address;
    session
        .execute(&format!("eb {address} 90; bp {address} \"k;g\""))
        .expect("a breakpoint can be set");
    session
}

/// Runs so many rounds.
fn rounds(session: &mut Session, count: u64, round: u64) {
    session.set_budget(count * round);
    let stop = session.go().expect("the engine runs");
    assert!(matches!(stop.reason, StopReason::Budget { .. }));
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = WallTime.start();
    run();
    WallTime.end(start)
}

fn hit(criterion: &mut Criterion) {
    let mut engine = Bare::new();
    criterion.bench_function("engine/int3_bare", |bencher| {
        bencher.iter_custom(|count| {
            engine.set_rounds(count);
            timed(|| engine.run())
        });
    });

    let (mut session, _) = looping();
    session.record_hits(Keep::Last(1 << 12));
    criterion.bench_function("hit/capture", |bencher| {
        bencher.iter_custom(|count| captured(&mut session, count));
    });
    session.record_hits(Keep::Counts);
    criterion.bench_function("hit/capture_count", |bencher| {
        bencher.iter_custom(|count| captured(&mut session, count));
    });

    let mut session = printing();
    criterion.bench_function("hit/print_kg", |bencher| {
        bencher.iter_custom(|count| printed(&mut session, count));
    });

    let (mut session, _) = looping();
    criterion.bench_function("hit/stop_and_go", |bencher| {
        bencher.iter(|| {
            let stop = session.go().expect("the engine runs");
            debug_assert_eq!(stop.reason, StopReason::BreakInstruction);
        });
    });
}

/// Rounds with hits that are recorded.
fn captured(session: &mut Session, count: u64) -> Duration {
    let hits = |session: &Session| session.recorded_hits().expect("it records").count();
    let before = hits(session);
    let time = timed(|| rounds(session, count, ROUND));
    assert!(hits(session) - before >= count - 1);
    assert_eq!(
        session.recorded_hits().expect("it records").stacks().len(),
        1
    );
    time
}

/// Rounds with hits whose stacks are printed.
fn printed(session: &mut Session, count: u64) -> Duration {
    session.set_budget(count * (ROUND + STOP_WORK));
    let mut text = Length(0);
    let time = timed(|| {
        let ended = session.execute_to("g", &mut text);
        assert!(ended.is_err(), "the budget ends it");
    });
    assert!(text.0 >= (count as usize - 1) * 500);
    time
}

/// An output of which only the length is kept.
struct Length(usize);

impl std::fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// The fastest of many short runs of each, in turns, as ratios to the bare trap: what holds on a
/// machine with other work too.
fn ratios(_: &mut Criterion) {
    const ROUNDS: u64 = 2_000;
    const TURNS: usize = 300;
    let mut bare = Bare::new();
    let (mut recorded, _) = looping();
    recorded.record_hits(Keep::Last(1 << 12));
    let (mut counted, _) = looping();
    counted.record_hits(Keep::Counts);
    let mut printing = printing();
    let mut fastest = [Duration::MAX; 4];
    for _ in 0..TURNS {
        bare.set_rounds(ROUNDS);
        let times = [
            timed(|| bare.run()),
            captured(&mut recorded, ROUNDS),
            captured(&mut counted, ROUNDS),
            printed(&mut printing, ROUNDS),
        ];
        for (fastest, time) in fastest.iter_mut().zip(times) {
            *fastest = time.min(*fastest);
        }
    }
    let names = [
        "engine/int3_bare",
        "hit/capture",
        "hit/capture_count",
        "hit/print_kg",
    ];
    for (name, time) in names.into_iter().zip(fastest) {
        let each = time.as_secs_f64() * 1e9 / ROUNDS as f64;
        let ratio = time.as_secs_f64() / fastest[0].as_secs_f64();
        println!("{name:24} {each:8.1} ns {ratio:6.2}");
    }
}

criterion_group!(benches, hit, ratios);
criterion_main!(benches);
