//! Saving a lab, restoring it, and what a property test does with that.
#![allow(missing_docs)]

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{KernelFunction, SavedLab};
use poolhit::memory::{ReadMemory, WriteMemory};
use std::hint::black_box;

const NONPAGED_POOL: u64 = 0;
const TAG: u32 = u32::from_le_bytes(*b"Test");
const PAGE: u64 = 0x1000;

/// A lab whose kernel has 32 pages of pool to write to.
fn lab_with_pages() -> (Lab, SavedLab, Va) {
    let mut lab = Lab::builder().build().expect("the built-in guest boots");
    let arguments = [NONPAGED_POOL, 32 * PAGE, TAG.into()];
    let block = lab
        .call_kernel("ExAllocatePoolWithTag", &arguments)
        .expect("the pool has 32 pages");
    let saved = lab.save().expect("the lab can be saved");
    (lab, saved, Va(block.value))
}

fn write_pages(lab: &mut Lab, block: Va) {
    for page in 0..32 {
        lab.machine_mut()
            .write(block.wrapping_add(page * PAGE), &[0xff; 8])
            .expect("the block is in memory");
    }
}

fn snapshot(criterion: &mut Criterion) {
    let (mut lab, saved, block) = lab_with_pages();
    criterion.bench_function("snapshot/restore_32_pages", |bencher| {
        bencher.iter_custom(|count| {
            let mut time = WallTime.zero();
            for _ in 0..count {
                write_pages(&mut lab, block);
                let start = WallTime.start();
                lab.restore(&saved).expect("the lab can be restored");
                time = WallTime.add(&time, &WallTime.end(start));
            }
            time
        });
    });
    assert_eq!(lab.machine().read_u64(block), Ok(0));
    write_pages(&mut lab, block);
    criterion.bench_function("snapshot/save", |bencher| {
        bencher.iter_with_large_drop(|| lab.save().expect("the lab can be saved"));
    });
    criterion.bench_function("snapshot/lab", |bencher| {
        bencher.iter_with_large_drop(|| saved.lab().expect("a lab can be made of it"));
    });
}

/// One case: the lab restored, a block allocated and freed, hits counted.
fn case(
    lab: &mut Lab,
    saved: &SavedLab,
    [allocate, free]: [KernelFunction; 2],
    size: u64,
) -> usize {
    lab.restore(saved).expect("the lab can be restored");
    let allocated = lab
        .call(allocate, &[NONPAGED_POOL, size, TAG.into()])
        .expect("the kernel allocates");
    let freed = lab
        .call(free, &[allocated.value, TAG.into()])
        .expect("the kernel frees");
    allocated.hits.len() + freed.hits.len()
}

fn property(criterion: &mut Criterion) {
    for (name, hits) in [("property/alloc_free_case", 0), ("property/hits_case", 2)] {
        let mut lab = Lab::builder().build().expect("the built-in guest boots");
        let functions = ["ExAllocatePoolWithTag", "ExFreePoolWithTag"]
            .map(|name| lab.kernel_function(name).expect("the kernel exports it"));
        if hits > 0 {
            let tag = lab.kernel_symbol("PoolHitTag").expect("the kernel has it");
            lab.machine_mut()
                .write(tag, &TAG.to_le_bytes())
                .expect("the kernel is in memory");
        }
        let saved = lab.save().expect("the lab can be saved");
        let sizes: Vec<u64> = (1..=64).map(|n| n * 0x18).collect();
        let mut sizes = sizes.into_iter().cycle();
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let size = sizes.next().unwrap_or(1);
                let found = case(black_box(&mut lab), &saved, functions, size);
                assert_eq!(found, hits);
            });
        });
    }
}

criterion_group!(benches, snapshot, property);
criterion_main!(benches);
