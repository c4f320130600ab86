//! What the engine itself costs, without a kernel: a guest of a few instructions.
#![allow(missing_docs)]

// The guest of the machine's tests, of which this uses a part.
#[allow(dead_code)]
#[path = "../tests/machine/code.rs"]
mod code;
#[allow(dead_code)]
#[path = "../tests/machine/guest.rs"]
mod guest;

use code::Code;
use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use guest::{Guest, KERNEL, pass};
use poolhit::address::Va;
use poolhit::machine::{Exit, Machine};

/// Bytes of one round of [`rounds`] with a call.
const ROUND: u64 = 5 + 6 + 1 + 5;

/// A loop for ever: a call of a function that compares a word in memory and returns.
fn rounds(trap: Option<u8>) -> (Machine, Va) {
    let function = KERNEL.wrapping_add(0x100);
    let mut code = Code::at(KERNEL);
    code.call(function);
    code.jump(KERNEL);
    let mut callee = Code::at(function);
    callee.put(&[0x3b, 0x05, 0xfa, 0x0e, 0, 0]); // cmp eax, [rip+0efah]: the next page
    if let Some(trap) = trap {
        callee.put(&[trap]);
    }
    callee.put(&[0xc3]); // ret
    let machine = Guest::new().code(&code).code(&callee).in_ring_0();
    (machine, function)
}

fn engine(criterion: &mut Criterion) {
    let (mut machine, _) = rounds(None);
    criterion.bench_function("engine/loop", |bencher| {
        bencher.iter_custom(|count| {
            let end = machine.work() + count * ROUND;
            let start = WallTime.start();
            let exit = machine.run(end).expect("the engine runs");
            let time = WallTime.end(start);
            assert_eq!((exit, machine.work()), (Exit::Limit, end));
            time
        });
    });

    let (mut machine, function) = rounds(Some(0xcc));
    let address = function.wrapping_add(6);
    criterion.bench_function("engine/int3_stop", |bencher| {
        bencher.iter(|| {
            let exit = machine.run(u64::MAX).expect("the engine runs");
            assert_eq!(exit, Exit::HardcodedBreakpoint { address });
            pass(&mut machine);
        });
    });

    let (mut machine, address) = rounds(None);
    machine
        .set_breakpoint(address)
        .expect("a breakpoint can be set");
    criterion.bench_function("engine/breakpoint_stop", |bencher| {
        bencher.iter(|| {
            let exit = machine.run(u64::MAX).expect("the engine runs");
            assert_eq!(exit, Exit::Breakpoint { address });
        });
    });
}

criterion_group!(benches, engine);
criterion_main!(benches);
