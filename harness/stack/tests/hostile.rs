//! Nothing that an image or a stack holds may make a walk panic, hang, or grow without bound.

use super::shape::shapes;
use super::world::World;
use crate::address::Va;
use crate::registers::{Gpr, Registers};
use crate::stack::walk::{MAX_FRAMES, walk};
use poolhit_fixtures::unwind_builder::{Function, UnwindImage, build};
use proptest::prelude::*;

const BASE: Va = Va(0xffff_f800_0145_0000);
const STACK: u64 = 0xffff_f880_04ec_1000;
const STACK_WORDS: u64 = 64;

/// Stack words: code of the image, places of the stack, and anything.
fn words(size: u64) -> impl Strategy<Value = Vec<u64>> {
    let word = prop_oneof![
        (0..size).prop_map(|offset| BASE.0 + offset),
        (0..STACK_WORDS + 2).prop_map(|index| STACK + index * 8),
        any::<u64>(),
    ];
    prop::collection::vec(word, STACK_WORDS as usize)
}

fn check_walk(image: &UnwindImage, words: Vec<u64>, rip: u64, registers: [u64; 16]) {
    let mut world = World::new([(BASE, image)]);
    world.words = (0..).map(|index| STACK + index * 8).zip(words).collect();
    let mut start = Registers {
        rip,
        gpr: registers,
        ..Registers::default()
    };
    for limit in [7, usize::MAX] {
        start.set(Gpr::Rsp, STACK + registers[4] % STACK_WORDS * 8);
        let walk = walk(&start, &world, &world, limit);
        assert!(walk.frames.len() <= limit.min(MAX_FRAMES));
        assert!(!walk.frames.is_empty());
        assert!(!walk.end.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn random_images(
        bytes in prop::collection::vec(any::<u8>(), 64..600),
        directory in (0_u32..700, 0_u32..700),
        words in words(600),
        rip in 0_u64..600,
        registers: [u64; 16],
    ) {
        let image = UnwindImage { bytes, exception_directory: directory, functions: Vec::new() };
        check_walk(&image, words, BASE.0 + rip, registers);
    }

    #[test]
    fn functions_with_random_unwind_data(
        functions in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0_u8..8, 0_u8..3), 1..6),
        code in prop::collection::vec(any::<u8>(), 256),
        words in words(256),
        rip in 0_u64..256,
        registers: [u64; 16],
    ) {
        // Code first, then the records, each with a header that is almost right, then the table.
        let mut bytes = code;
        let mut table = Vec::new();
        let share = 256 / functions.len() as u32;
        for (index, (body, flags, version)) in functions.iter().enumerate() {
            let begin = index as u32 * share;
            table.extend([begin, begin + share, bytes.len() as u32].map(u32::to_le_bytes).concat());
            bytes.extend([flags << 3 | version, 4, (body.len() / 2) as u8, 0x15]);
            bytes.extend(body);
            // If the record is chained, then to a neighbour (or to itself).
            let parent = 256 + (begin ^ share) % 64;
            bytes.extend([0, 256, parent].map(u32::to_le_bytes).concat());
        }
        let exception_directory = (bytes.len() as u32, table.len() as u32);
        bytes.extend(table);
        let image = UnwindImage { bytes, exception_directory, functions: Vec::new() };
        check_walk(&image, words, BASE.0 + rip, registers);
    }

    #[test]
    fn good_images_with_damage(
        shapes in prop::collection::vec(shapes(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        words in words(0x2000),
        rip: prop::sample::Index,
        registers: [u64; 16],
    ) {
        let functions: Vec<Function> = shapes.iter().map(|s| s.function(false).function).collect();
        let mut image = build(&functions);
        for (index, value) in damage {
            let all = image.bytes.len();
            image.bytes[0x1000 + index.index(all - 0x1000)] = value;
        }
        let rip = BASE.0 + 0x1000 + rip.index(image.bytes.len() - 0x1000) as u64;
        check_walk(&image, words, rip, registers);
    }
}
