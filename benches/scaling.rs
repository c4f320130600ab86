//! Whether a hit costs the same whatever came before it, and on how many threads.
#![allow(missing_docs)]

#[allow(dead_code)]
#[path = "fixture/looping.rs"]
mod looping;

use criterion::{Criterion, criterion_group, criterion_main};
use looping::{ROUND, captured, looping, rounds, timed};
use poolhit::hits::Keep;
use std::sync::Barrier;
use std::time::Duration;

/// One iteration is a hit; each measurement starts with a new recorder and makes `hits` of them.
fn hits(criterion: &mut Criterion) {
    let (mut session, _) = looping();
    let mut group = criterion.benchmark_group("scaling");
    group.sample_size(10);
    for hits in [10_000u64, 100_000, 1_000_000, 10_000_000] {
        group.bench_function(format!("hits_{hits}"), |bencher| {
            bencher.iter_custom(|count| {
                let times = count.div_ceil(hits);
                let mut sum = Duration::ZERO;
                for _ in 0..times {
                    session.record_hits(Keep::Last(1 << 12));
                    captured(&mut session, 2); // the first walk
                    sum += captured(&mut session, hits);
                }
                sum.mul_f64(count as f64 / (times * hits) as f64)
            });
        });
    }
    group.finish();
}

/// One iteration is a hit on each thread: the same time for two threads as for one is twice the hits.
fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scaling");
    for threads in [1usize, 2] {
        group.bench_function(format!("threads_{threads}"), |bencher| {
            bencher.iter_custom(|count| {
                let barrier = Barrier::new(threads);
                let run = || {
                    let (mut session, _) = looping();
                    session.record_hits(Keep::Last(1 << 12));
                    captured(&mut session, 2);
                    barrier.wait();
                    timed(|| rounds(&mut session, count, ROUND))
                };
                std::thread::scope(|scope| {
                    let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
                    let times = running.into_iter().map(|one| one.join().expect("it ends"));
                    times.max().unwrap_or_default()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hits, threads);
criterion_main!(benches);
