//! `RtlRandom` and `RtlRandomEx`: "a random number in the range [0..MAXLONG-1]", uniformly distributed if
//! called with the same seed again and again (Microsoft, ntifs.h). The numbers themselves are this kernel's.

use crate::guest::*;
use std::collections::BTreeSet;

#[test]
fn numbers_in_their_range() {
    for name in ["RtlRandom", "RtlRandomEx"] {
        let mut guest = Guest::new();
        let mut first = Vec::new();
        for seed in [0u32, 1, 0xffff_ffff] {
            let at = guest.put(&seed.to_le_bytes());
            let numbers: Vec<u32> = (0..1000).map(|_| guest.ulong(name, &[at])).collect();
            assert!(numbers.iter().all(|number| *number < 0x7fff_ffff));
            // about as many in each sixteenth; by chance alone less than 30 is rarer than one in a million
            for part in 0..16 {
                let in_part = numbers
                    .iter()
                    .filter(|number| **number >> 27 == part)
                    .count();
                assert!(
                    (30..100).contains(&in_part),
                    "{name} {seed:#x} {part}: {in_part}"
                );
            }
            let distinct: BTreeSet<&u32> = numbers.iter().collect();
            assert!(distinct.len() > 990);
            first.push(numbers[0]);
            // the seed alone says what comes
            guest.write(at, &seed.to_le_bytes());
            assert_eq!(guest.ulong(name, &[at]), numbers[0]);
        }
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
    }
}

/// `rand`: 0 to 32767; `srand` starts the sequence again, and 1 is what it starts with.
#[test]
fn numbers_of_the_c_library() {
    let mut guest = Guest::new();
    let sequence =
        |guest: &mut Guest| -> Vec<i32> { (0..1000).map(|_| guest.int("rand", &[])).collect() };
    let first = sequence(&mut guest);
    assert!(first.iter().all(|number| (0..=0x7fff).contains(number)));
    for part in 0..16 {
        let in_part = first.iter().filter(|number| **number >> 11 == part).count();
        assert!((30..100).contains(&in_part));
    }
    guest.call("srand", &[2]);
    assert_ne!(sequence(&mut guest), first);
    guest.call("srand", &[1]);
    assert_eq!(sequence(&mut guest), first);
}
