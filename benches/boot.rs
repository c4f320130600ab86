//! From nothing to the debugger's first prompt.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use poolhit::Lab;
use poolhit::guest::GuestImages;
use std::process::{Command, Stdio};

fn boot(criterion: &mut Criterion) {
    criterion.bench_function("boot/first_prompt", |bencher| {
        bencher.iter(|| {
            let status = Command::new(env!("CARGO_BIN_EXE_poolhit"))
                .args(["debug", "-c", "q"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .expect("the program starts");
            assert!(status.success());
        });
    });
    criterion.bench_function("boot/lab", |bencher| {
        GuestImages::built_in(); // parsed once, whoever boots
        bencher.iter_with_large_drop(|| Lab::builder().build().expect("the built-in guest boots"));
    });
    criterion.bench_function("boot/lab_cold", |bencher| {
        bencher.iter_with_large_drop(|| {
            let builder = Lab::builder().cold();
            builder.build().expect("the built-in guest boots")
        });
    });
}

criterion_group!(benches, boot);
criterion_main!(benches);
