//! Nothing depends on where the images are: with every one of them elsewhere, the session's
//! addresses move with their images and all else stays.

use crate::play::{GOLDEN, golden, judge, play, printed, transcript};
use crate::shift::{Shift, bases_by_name};
use poolhit::address::Va;
use poolhit::guest::Bases;
use poolhit::{Lab, Session, StopReason};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::sync::LazyLock;

/// Multiples of `unit` in a range.
fn aligned(range: std::ops::Range<u64>, unit: u64) -> impl Strategy<Value = Va> {
    (range.start / unit..range.end / unit).prop_map(move |number| Va(number * unit))
}

/// Behind the loader's data, up to where the rest of the system starts.
fn kernel() -> impl Strategy<Value = Va> {
    prop_oneof![
        aligned(0xfffff800_00a00000..0xfffff800_10000000, 0x1000),
        aligned(0xfffff800_00a00000..0xfffff87f_ff000000, 0x1000),
    ]
}

/// Between the processors' structures and the stacks, and behind those on either side of the physical
/// memory that drivers map.
fn driver() -> impl Strategy<Value = Va> {
    prop_oneof![
        aligned(0xfffff880_00a00000..0xfffff880_02f00000, 0x1000),
        aligned(0xfffff880_05000000..0xfffff880_7f000000, 0x1000),
        aligned(0xfffff880_90000000..0xfffff89f_ff000000, 0x1000),
    ]
}

/// Behind the user-mode loader's data, on either side of 4 GB, up to the environment blocks.
fn user_image() -> impl Strategy<Value = Va> {
    const UNIT: u64 = 0x1_0000;
    prop_oneof![
        aligned(0x40_0000..0x1_0000_0000, UNIT),
        aligned(0xfff0_0000..0x1_0010_0000, UNIT),
        aligned(0x1_0000_0000..0x7ff_fff00000, UNIT),
    ]
}

/// The program and the three libraries, none over another.
fn user_images() -> impl Strategy<Value = [Va; 4]> {
    /// More than any of them takes.
    const ROOM: u64 = 0x10_0000;
    prop::array::uniform4(user_image()).prop_filter("images overlap", |bases| {
        let mut sorted = bases.map(|base| base.0);
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| pair[1] - pair[0] >= ROOM)
    })
}

fn bases() -> impl Strategy<Value = Bases> {
    (kernel(), driver(), user_images()).prop_map(|(kernel, driver, [program, libraries @ ..])| {
        Bases {
            kernel,
            driver,
            program,
            libraries: libraries.to_vec(),
        }
    })
}

/// Where the images are if nobody says otherwise, and all that the session prints then.
static UNMOVED: LazyLock<(Bases, Vec<String>)> = LazyLock::new(|| {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let bases = session.lab().bases().clone();
    (bases, printed(&play(&mut session, &golden())))
});

fn check(bases: &Bases) -> TestCaseResult {
    let (unmoved, printed_unmoved) = &*UNMOVED;
    let mut builder = Lab::builder();
    for (name, base, size) in bases_by_name(bases) {
        prop_assert!(size <= 0x40_0000, "{name} has outgrown the ranges above");
        builder = builder.base(name, base);
    }
    let lab = builder
        .build()
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(lab.bases(), bases);
    let mut session = Session::new(lab);
    let shift = Shift::between(unmoved, bases);
    let moved = transcript(&shift.text(GOLDEN));
    let printed = printed(&play(&mut session, &moved));
    judge(moved.steps(), &printed).map_err(TestCaseError::fail)?;
    let shifted: Vec<_> = printed_unmoved
        .iter()
        .map(|text| shift.text(text))
        .collect();
    prop_assert_eq!(printed, shifted, "the lines behind the golden ones");
    let end = session.go().unwrap().reason;
    prop_assert_eq!(
        end,
        StopReason::Idle {
            exit_status: Some(0)
        }
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn addresses_move_with_their_images(bases in bases()) {
        check(&bases)?;
    }
}

/// Moved by nothing, the text is the golden one; moved by something, it is not.
#[test]
fn a_shift_shows_in_the_text() {
    let at = &UNMOVED.0;
    assert_eq!(Shift::between(at, at).text(GOLDEN), GOLDEN);
    let mut other = at.clone();
    other.libraries[0] = Va(0x5555_0000);
    assert_ne!(Shift::between(at, &other).text(GOLDEN), GOLDEN);
}
