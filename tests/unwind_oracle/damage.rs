//! Stacks and unwind data that are damaged: the frames above the damage are right, and every walk
//! ends with a reason. The stack is the deepest of the built-in guest's at a hit.

use crate::guest::Loaded;
use poolhit::address::Va;
use poolhit::image::function_table::{ImageBytes, MappedImage};
use poolhit::memory::{MemoryFault, ReadMemory};
use poolhit::registers::{Gpr, Registers};
use poolhit::stack::capture::Capturer;
use poolhit::stack::frame::FrameTrust;
use poolhit::stack::modules::UnwindModules;
use poolhit::stack::walk::{MAX_FRAMES, Walk, WalkEnd, walk};
use poolhit::symbols::Modules;
use poolhit::{Lab, Session, StopReason};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;

/// Bytes of the stack that are damaged: more than the kernel's part of it has.
const STACK: u64 = 0x700;

/// A guest at the golden session's hit.
fn hit() -> Session {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let tag = session.resolve("nt!PoolHitTag").unwrap();
    session.write(tag, b"Lea2").unwrap();
    assert_eq!(session.go().unwrap().reason, StopReason::BreakInstruction);
    session
}

/// The guest's memory with other bytes in some places.
struct Damaged<'a> {
    session: &'a Session,
    bytes: BTreeMap<u64, u8>,
}

impl ReadMemory for Damaged<'_> {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        let result = self.session.lab().machine().read(address, buffer);
        for (offset, byte) in buffer.iter_mut().enumerate() {
            let at = address.0.wrapping_add(offset as u64);
            *byte = self.bytes.get(&at).copied().unwrap_or(*byte);
        }
        result
    }
}

/// The loaded images, of which the kernel has other bytes.
struct DamagedKernel<'a> {
    others: &'a Modules,
    base: Va,
    kernel: MappedImage<'a>,
}

impl UnwindModules for DamagedKernel<'_> {
    fn find(&self, address: Va) -> Option<(Va, &dyn ImageBytes)> {
        let module = self.others.containing(address)?;
        match module.base() == self.base {
            true => Some((self.base, &self.kernel)),
            false => Some((module.base(), &**module.image()?)),
        }
    }
}

/// Walks, and has what is captured by rules agree.
fn checked_walk(
    registers: &Registers,
    memory: &Damaged,
    modules: &dyn UnwindModules,
    limit: usize,
) -> Walk {
    let walk = walk(registers, memory, modules, limit);
    let mut capturer = Capturer::new();
    let end = capturer.capture(registers, memory, modules, limit);
    let rows: Vec<_> = capturer
        .frames()
        .iter()
        .map(|row| (row.child_sp, row.return_address, row.trust))
        .collect();
    assert_eq!((rows, end), (self::rows(&walk), walk.end));
    assert!((1..=limit.min(MAX_FRAMES)).contains(&walk.frames.len()));
    assert_eq!(walk.frames[0].child_sp, registers.rsp());
    assert!(!walk.end.to_string().is_empty());
    walk
}

fn rows(walk: &Walk) -> Vec<(Va, Va, FrameTrust)> {
    let rows = walk.frames.iter();
    rows.map(|frame| (frame.child_sp, frame.return_address, frame.trust))
        .collect()
}

/// Words that stacks hold, and any others.
fn word(stack: u64, kernel: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0..STACK / 8).prop_map(move |at| stack + at * 8),
        (0x1000..0x3b_0000u64).prop_map(move |at| kernel + at),
        Just(0),
    ]
}

#[test]
fn damage_on_the_stack_leaves_the_frames_above_it() {
    let session = hit();
    let modules = Loaded::of(session.lab());
    let registers = session.registers();
    let stack = registers.rsp().0;
    let whole = Damaged {
        session: &session,
        bytes: BTreeMap::new(),
    };
    let truth = rows(&checked_walk(&registers, &whole, &modules, 100));
    assert_eq!(truth.len(), 11);
    let kernel = session.lab().bases().kernel.0;
    let damage = prop::collection::btree_map(0..STACK / 8, word(stack, kernel), 1..20);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(500));
    let result = runner.run(&damage, |damage| {
        let first = stack + damage.keys().next().unwrap() * 8;
        let bytes = damage.iter().flat_map(|(at, word)| {
            let start = stack + at * 8;
            (start..).zip(word.to_le_bytes())
        });
        let damaged = Damaged {
            session: &session,
            bytes: bytes.collect(),
        };
        let found = rows(&checked_walk(&registers, &damaged, &modules, usize::MAX));
        // A row needs what lies below the next one's stack pointer, which is still the kernel's.
        let intact = truth
            .windows(2)
            .take_while(|pair| pair[1].0.is_kernel() && pair[1].0.0 <= first)
            .count();
        prop_assert!(found.len() > intact.saturating_sub(1));
        prop_assert_eq!(&found[..intact], &truth[..intact]);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn damage_to_unwind_data_ends_a_walk_at_worst() {
    let session = hit();
    let registers = session.registers();
    let kernel = session.lab().images().kernel.image.clone();
    let base = session.lab().bases().kernel;
    let exception_directory = kernel.exception_directory().unwrap();
    let good = kernel.layout(base).unwrap();
    let whole = Damaged {
        session: &session,
        bytes: BTreeMap::new(),
    };
    // The function table, and the records that it names, which lie side by side.
    let (table, size) = exception_directory;
    let table = table.0 as usize..(table.0 + size) as usize;
    let records = good[table.clone()]
        .chunks_exact(12)
        .map(|record| u32::from_le_bytes([record[8], record[9], record[10], record[11]]) as usize);
    let first = records.clone().min().unwrap();
    let records = first..records.max().unwrap() + 0x20;
    let damage = prop::collection::vec((any::<bool>(), any::<Index>(), any::<u8>()), 1..2000);
    let ends = std::cell::Cell::new([0; 2]);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let result = runner.run(&damage, |damage| {
        let mut bytes = good.clone();
        for (in_table, index, byte) in damage {
            let range = if in_table { &table } else { &records };
            bytes[range.start + index.index(range.len())] = byte;
        }
        let modules = DamagedKernel {
            others: session.modules(),
            base,
            kernel: MappedImage {
                bytes: &bytes,
                exception_directory: Some(exception_directory),
            },
        };
        for limit in [5, usize::MAX] {
            let walk = checked_walk(&registers, &whole, &modules, limit);
            let [mut broken, mut other] = ends.get();
            match walk.end {
                WalkEnd::BadUnwindInfo { .. } => broken += 1,
                _ => other += 1,
            }
            ends.set([broken, other]);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let [broken, other] = ends.get();
    assert!(broken > 10 && other > 10, "{broken}, {other}");
}

#[test]
fn registers_that_lead_anywhere() {
    let session = hit();
    let modules = Loaded::of(session.lab());
    let whole = Damaged {
        session: &session,
        bytes: BTreeMap::new(),
    };
    let before = session.registers();
    let (stack, kernel) = (before.rsp().0, session.lab().bases().kernel.0);
    let registers = (any::<[u64; 16]>(), word(stack, kernel), word(stack, kernel));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(500));
    let result = runner.run(&registers, |(gpr, rip, rsp)| {
        let mut registers = Registers {
            gpr,
            rip,
            ..before.clone()
        };
        registers.set(Gpr::Rsp, rsp);
        checked_walk(&registers, &whole, &modules, usize::MAX);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
