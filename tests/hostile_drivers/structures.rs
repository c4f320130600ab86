//! Words that are written anywhere in the kernel's own data.

use crate::driver::{Act, End, WAYS, Way, act_by, lab_for};
use poolhit::guest::SavedLab;
use proptest::prelude::*;
use std::sync::LazyLock;

static SAVED: LazyLock<[SavedLab; 2]> =
    LazyLock::new(|| WAYS.map(|way| lab_for(way).save().unwrap()));

/// Where: the kernel's data, a control region, descriptors and task state, a stack, pool, the tables of
/// these.
fn places() -> impl Strategy<Value = u64> {
    let place = prop_oneof![
        0xfffff800_01653000_u64..0xfffff800_01660000,
        0xfffff880_009e9000_u64..0xfffff880_009ec000,
        0xfffff880_009f1000_u64..0xfffff880_009f1200,
        0xfffff880_04ec0000_u64..0xfffff880_04ec2000,
        0xfffffa80_00034000_u64..0xfffffa80_00040000,
    ];
    let entry = |at: u64| 0xfffff680_0000_0000 + (at >> 9 & 0x7f_ffff_fff8);
    (place, 0..4_u32).prop_map(move |(place, level)| match level {
        0..2 => place & !7,
        _ => (1..level).fold(place, |at, _| entry(at)) & !7,
    })
}

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        any::<u64>(),
        places(),
        0..0x400_0000_u64
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The driver goes on, or something stops it; each is told as what it is, and the lab comes back.
    #[test]
    fn overwritten_words_end(
        request in any::<bool>(),
        writes in prop::collection::vec((places(), values()), 1..4),
    ) {
        let way = if request { Way::Request } else { Way::Call };
        let mut lab = SAVED[way as usize].lab().unwrap();
        let hash = lab.machine().state_hash();
        let acts = writes.iter().map(|&(place, value)| (Act::Write, place, value));
        for (what, address, value) in acts.chain([(Act::Allocate, 0, 0x20), (Act::Allocate, 0, 0x2000)]) {
            let (end, text) = act_by(&mut lab, way, what, address, value);
            prop_assert!(end == End::Back || !text.is_empty());
            prop_assert!(text.lines().count() < 64, "{}", text);
            if end != End::Back {
                break;
            }
        }
        lab.restore(&SAVED[way as usize]).unwrap();
        prop_assert_eq!(lab.machine().state_hash(), hash);
    }
}
