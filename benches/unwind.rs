//! Walking the golden hit's stack at a stop, and naming what is on it.
#![allow(missing_docs)]

#[allow(dead_code)]
#[path = "fixture/looping.rs"]
mod looping;

use criterion::{Criterion, criterion_group, criterion_main};
use looping::looping;
use poolhit::guest::ModuleImages;
use poolhit::stack::capture::Capturer;
use poolhit::stack::walk::walk;
use std::hint::black_box;

fn unwind(criterion: &mut Criterion) {
    let (session, _) = looping();
    let (registers, machine) = (session.registers(), session.lab().machine());
    let images = ModuleImages {
        modules: session.modules(),
        return_landing: machine.return_landing(),
    };
    let mut capturer = Capturer::new();
    criterion.bench_function("unwind/warm", |bencher| {
        bencher.iter(|| black_box(capturer.capture(&registers, machine, &images, 256)));
    });
    assert_eq!(capturer.frames().len(), 11);
    criterion.bench_function("unwind/cold", |bencher| {
        bencher.iter(|| {
            capturer.clear();
            black_box(capturer.capture(&registers, machine, &images, 256))
        });
    });
    criterion.bench_function("unwind/full", |bencher| {
        bencher.iter(|| black_box(walk(&registers, machine, &images, 256)));
    });

    let addresses: Vec<_> = capturer
        .frames()
        .iter()
        .map(|frame| frame.return_address)
        .filter(|address| address.0 != 0)
        .collect();
    let mut turn = addresses.iter().cycle();
    criterion.bench_function("symbol/lookup", |bencher| {
        bencher.iter(|| {
            let address = *turn.next().expect("it goes round");
            black_box(session.modules().nearest(address)).is_some()
        });
    });
}

criterion_group!(benches, unwind);
criterion_main!(benches);
