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

    let (mut session, site) = looping();
    let address = site.address;
    session
        .execute(&format!("eb {address} 90; bp {address} \"k;g\""))
        .expect("a breakpoint can be set");
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

criterion_group!(benches, hit);
criterion_main!(benches);
