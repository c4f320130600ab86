//! `ProbeForRead` and `ProbeForWrite` against what the WDK says of them, and the limits they go by.

use crate::guest::{Place, Request, ask, lab, notes, pairs, run_to_end};
use crate::status;
use poolhit::Lab;
use poolhit::guest::SavedLab;
use proptest::prelude::*;
use std::sync::LazyLock;

const PROBES: u32 = 7;
/// Windows 7 x64's.
const USER_PROBE_ADDRESS: u64 = 0x7ff_ffff_0000;

/// Pages that are there, with whether user mode may write them: the stack and the shared user data.
const STACK: std::ops::Range<u64> = 0xd_0000..0xe_0000;
const SHARED: std::ops::Range<u64> = 0x7ffe_0000..0x7ffe_1000;

#[derive(Clone, Copy, Debug)]
struct Probe {
    address: u64,
    length: u64,
    alignment: u64,
    write: bool,
}

/// What the documentation says: nothing is looked at if the length is 0; alignment comes before the
/// range; writing touches each page, reading none.
fn expected(probe: Probe) -> u64 {
    let Probe {
        address, length, ..
    } = probe;
    let end = address.checked_add(length);
    let is_user = end.is_some_and(|end| end <= USER_PROBE_ADDRESS);
    let is_writable = STACK.contains(&address) && end.is_some_and(|end| end <= STACK.end);
    match (length, address % probe.alignment) {
        (0, _) => 0,
        (_, 0) if is_user && (is_writable || !probe.write) => 0,
        (_, 0) => status::ACCESS_VIOLATION,
        _ => status::DATATYPE_MISALIGNMENT,
    }
}

fn results(lab: &mut Lab, probes: &[Probe]) -> Vec<u64> {
    let mut request = Request::new(PROBES, Place::Dispatch, probes.len() as u64);
    let words = probes.iter().flat_map(|probe| {
        let write = u64::from(probe.write);
        [probe.address, probe.length, probe.alignment, write]
    });
    request.program = words.flat_map(u64::to_le_bytes).collect();
    ask(lab, &request);
    assert_eq!(run_to_end(lab), None);
    let notes = pairs(&notes(lab));
    let (found, rest) = notes.split_at(probes.len());
    let limits = [
        USER_PROBE_ADDRESS,
        USER_PROBE_ADDRESS - 1,
        0xffff_0800_0000_0000,
    ];
    let limits = limits.map(|limit| (47, limit));
    assert_eq!(rest[..3], limits);
    found.iter().map(|(_, status)| *status).collect()
}

static SAVED: LazyLock<SavedLab> = LazyLock::new(|| {
    let mut lab = lab(&Request::new(0, Place::Dispatch, 0));
    lab.save().unwrap()
});

#[test]
fn a_table_of_ranges() {
    let end = USER_PROBE_ADDRESS;
    let probe = |address, length, alignment, write| Probe {
        address,
        length,
        alignment,
        write,
    };
    let read = |address, length, alignment| probe(address, length, alignment, false);
    let write = |address, length, alignment| probe(address, length, alignment, true);
    let probes = [
        (read(0, 0, 8), 0),
        (read(0xffff_f800_0000_0001, 0, 8), 0),
        (read(0, 1, 1), 0), // nothing is touched
        (read(end - 8, 8, 8), 0),
        (read(end - 8, 9, 8), status::ACCESS_VIOLATION),
        (read(end, 1, 1), status::ACCESS_VIOLATION),
        (read(0x1000, u64::MAX, 1), status::ACCESS_VIOLATION),
        (read(0x1001, 4, 4), status::DATATYPE_MISALIGNMENT),
        (
            read(0xffff_f800_0000_0001, 4, 4),
            status::DATATYPE_MISALIGNMENT,
        ),
        (read(0xffff_f800_0000_0000, 4, 4), status::ACCESS_VIOLATION),
        (write(0, 1, 1), status::ACCESS_VIOLATION),
        (write(STACK.start, 0x10000, 16), 0),
        (write(STACK.start, 0x10001, 16), status::ACCESS_VIOLATION),
        (write(SHARED.start, 4, 4), status::ACCESS_VIOLATION),
        (read(SHARED.start, 4, 4), 0),
        (write(STACK.end - 2, 2, 4), status::DATATYPE_MISALIGNMENT),
    ];
    let all = probes.map(|(probe, _)| probe);
    let wanted = probes.map(|(_, status)| status);
    assert_eq!(all.map(expected), wanted, "the model");
    assert_eq!(results(&mut SAVED.lab().unwrap(), &all), wanted);
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        STACK,
        SHARED,
        (0u64..0x40).prop_map(|less| USER_PROBE_ADDRESS.wrapping_sub(0x20).wrapping_add(less)),
        0xffff_f880_0000_0000u64..0xffff_f8ff_ffff_ffff,
        (STACK.end - 0x40)..(STACK.end + 0x40),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn ranges_are_probed_as_documented(
        probes in prop::collection::vec(
            (
                address(),
                prop_oneof![0u64..0x40, 0u64..0x11000, any::<u64>()],
                prop::sample::select(vec![1u64, 2, 4, 8, 16]),
                any::<bool>(),
            ),
            1..32,
        ),
    ) {
        let probes: Vec<Probe> = probes
            .into_iter()
            .map(|(address, length, alignment, write)| Probe { address, length, alignment, write })
            .collect();
        let wanted: Vec<u64> = probes.iter().copied().map(expected).collect();
        prop_assert_eq!(results(&mut SAVED.lab().unwrap(), &probes), wanted);
    }
}
