//! One request on its way from the program through the kernel and the driver to the pool and back.
#![allow(missing_docs)]

mod fixture;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use fixture::{Steady, assert_about, hitting_session, next_hit, system_calls};
use std::hint::black_box;

fn miss(criterion: &mut Criterion) {
    let mut steady = Steady::new();
    criterion.bench_function("path/ioctl_miss", |bencher| {
        bencher.iter_custom(|requests| {
            steady.check(requests, |steady| {
                let start = WallTime.start();
                steady.requests(requests);
                WallTime.end(start)
            })
        });
    });
}

fn hit(criterion: &mut Criterion) {
    let mut steady = Steady::with_hits();
    criterion.bench_function("path/ioctl_hit", |bencher| {
        bencher.iter_custom(|requests| {
            let before = steady.hits();
            let time = steady.check(requests, |steady| {
                let start = WallTime.start();
                steady.requests(requests);
                WallTime.end(start)
            });
            let hits = steady.hits() - before;
            assert_about(hits, requests, "hits, one for each request");
            time
        });
    });
}

fn ledger(criterion: &mut Criterion) {
    let mut steady = Steady::with_ledger();
    criterion.bench_function("path/ioctl_ledger", |bencher| {
        bencher.iter_custom(|requests| {
            let before = steady.pool_calls();
            let time = steady.check(requests, |steady| {
                let start = WallTime.start();
                steady.requests(requests);
                WallTime.end(start)
            });
            // of the driver a block, of the kernel a packet and a buffer: each allocated and freed
            let calls = steady.pool_calls() - before;
            assert_about(calls, 6 * requests, "pool calls, six for each request");
            time
        });
    });
}

fn stop(criterion: &mut Criterion) {
    let mut session = hitting_session();
    criterion.bench_function("path/ioctl_stop", |bencher| {
        bencher.iter_custom(|requests| {
            let before = system_calls(session.lab());
            let start = WallTime.start();
            for _ in 0..requests {
                next_hit(&mut session);
            }
            let time = WallTime.end(start);
            let made = system_calls(session.lab()).wrapping_sub(before);
            assert_eq!(made, requests as u32, "one hit for each request");
            time
        });
    });
    criterion.bench_function("path/ioctl_stop_stack", |bencher| {
        bencher.iter(|| {
            next_hit(&mut session);
            black_box(session.stack(64))
        });
    });
}

criterion_group!(benches, miss, hit, ledger, stop);
criterion_main!(benches);
