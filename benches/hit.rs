//! What a hit costs: the golden one, with its eleven frames, over and over.
#![allow(missing_docs)]

#[path = "fixture/bare.rs"]
mod bare;
#[path = "fixture/looping.rs"]
mod looping;

use bare::Bare;
use criterion::{Criterion, criterion_group, criterion_main};
use looping::{
    ROUND, TIGHT_ROUND, WALKED_ROUND, captured, captured_in, looping, looping_tight,
    looping_walked, timed,
};

use poolhit::debugger::STOP_WORK;
use poolhit::hits::Keep;
use poolhit::{Session, StopReason};
use std::time::Duration;

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
    criterion.bench_function("hit/capture_cold", |bencher| {
        bencher.iter_custom(|count| {
            let mut sum = Duration::ZERO;
            for _ in 0..count {
                session
                    .recorded_hits_mut()
                    .expect("it records")
                    .forget_rules();
                sum += captured(&mut session, 2);
            }
            sum
        });
    });
    let mut walked = walked();
    criterion.bench_function("hit/capture_walked", |bencher| {
        bencher.iter_custom(|count| captured_in(&mut walked, count, WALKED_ROUND));
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

/// A guest whose hits each walk their stack, recorded.
fn walked() -> Session {
    let (mut session, _) = looping_walked();
    session.record_hits(Keep::Last(1 << 12));
    session
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
    let mut tight = Bare::tight();
    let (mut recorded_tight, _) = looping_tight();
    recorded_tight.record_hits(Keep::Last(1 << 12));
    let mut walked = walked();
    let mut fastest = [Duration::MAX; 7];
    for _ in 0..TURNS {
        bare.set_rounds(ROUNDS);
        tight.set_rounds(ROUNDS);
        let times = [
            timed(|| bare.run()),
            captured(&mut recorded, ROUNDS),
            captured(&mut counted, ROUNDS),
            printed(&mut printing, ROUNDS),
            timed(|| tight.run()),
            captured_in(&mut recorded_tight, ROUNDS, TIGHT_ROUND),
            captured_in(&mut walked, ROUNDS, WALKED_ROUND),
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
        "bare trap without a call",
        "capture without a call",
        "hit/capture_walked",
    ];
    for (name, time) in names.into_iter().zip(fastest) {
        let each = time.as_secs_f64() * 1e9 / ROUNDS as f64;
        let ratio = time.as_secs_f64() / fastest[0].as_secs_f64();
        println!("{name:26} {each:8.1} ns {ratio:6.2}");
    }
}

criterion_group!(benches, hit, ratios);
criterion_main!(benches);
