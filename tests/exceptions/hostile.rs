//! Stacks, unwind data and scope tables that are destroyed: an exception then ends in a bug check, or
//! wherever the debris leads, but it ends.

use crate::guest::{Place, Request, ask, crash, lab, name_of, notes, run_to_end};
use crate::kind;
use poolhit::Lab;
use poolhit::address::{Rva, Va};
use poolhit::guest::SavedLab;
use poolhit::machine::Exit;
use poolhit::memory::{ReadMemory, WriteMemory};
use proptest::prelude::*;
use std::sync::LazyLock;

const FAR_ABOVE: u32 = 2;
const SMASH: u32 = 13;

static SAVED: LazyLock<SavedLab> = LazyLock::new(|| {
    let mut lab = lab(&Request::new(0, Place::Dispatch, 0));
    lab.save().unwrap()
});

/// A return address, or a frame register, of nonsense: no handler is found, or the search itself fails.
#[test]
fn destroyed_stacks_are_bug_checks() {
    let values = [
        0,
        1,
        0x1234_5678,
        0x0101_0101_0101_0101,
        0xfffff880_0496e000,
        0xfffff880_04ec1000,
        0xfffffa80_0eee_0000,
        u64::MAX,
    ];
    for place in [Place::Dispatch, Place::Thread] {
        for value in values {
            for frame in [0, 1] {
                let mut request = Request::new(SMASH, place, value);
                request.arguments[1] = frame;
                let (check, lab) = crash(&request);
                // Unhandled (1e), a stack used up by exceptions about exceptions (7f), an address of the
                // kernel's that is not there (50), or found by one who stops (3b, 7e).
                let known = [0x1e, 0x3b, 0x50, 0x7e, 0x7f];
                assert!(known.contains(&check.code), "{value:x}: {check:?}");
                assert!(notes(&lab).iter().all(|note| note.event != 9999));
            }
        }
    }
}

/// The driver's entries in its exception directory: where each is, and where its unwind data are.
fn entries(lab: &Lab) -> Vec<(Va, Va)> {
    let base = lab.bases().driver;
    let read = |at: Va| lab.machine().read_u32(at).unwrap();
    let headers = base + Rva(read(base.wrapping_add(0x3c)));
    let directory = headers.wrapping_add(24 + 112 + 3 * 8);
    let table = base + Rva(read(directory));
    let count = read(directory.wrapping_add(4)) / 12;
    (0..u64::from(count))
        .map(|number| {
            let entry = table.wrapping_add(number * 12);
            (entry, base + Rva(read(entry.wrapping_add(8))))
        })
        .collect()
}

/// Whether one exception after the other is looked for a handler, none of them while the one before it is:
/// that would be a search without an end.
fn searches_again(lab: &mut Lab) -> bool {
    let search = lab.modules().resolve("nt!RtlDispatchException").unwrap();
    lab.machine_mut().set_breakpoint(search).unwrap();
    let mut next = || {
        let exit = lab.run(lab.machine().work() + (1 << 16)).unwrap();
        matches!(exit, Exit::Breakpoint { .. }).then(|| lab.machine().registers().rsp())
    };
    next()
        .zip(next())
        .is_some_and(|(before, now)| now >= before)
}

/// Runs to an end of whatever kind.
fn ends(lab: &mut Lab, what: &str) {
    let request = Request::new(FAR_ABOVE, Place::Dispatch, kind::READ_NULL);
    ask(lab, &request);
    let exit = run_to_end(lab);
    let ended = match exit {
        None | Some(Exit::HardcodedBreakpoint { .. } | Exit::Halt | Exit::Fault(_)) => true,
        // Code that is gone on with anywhere may loop, or fault again and again; one search, and
        // one unwinding, do not.
        Some(Exit::Limit) => {
            let at = |lab: &Lab| name_of(lab, lab.machine().instruction_pointer().0);
            !at(lab).starts_with("nt!Rtl") || searches_again(lab)
        }
        _ => false,
    };
    assert!(ended, "{what}: {exit:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Bytes of unwind data are overwritten: headers, codes, handlers, scope tables.
    #[test]
    fn destroyed_unwind_data_end(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0u64..0x30, any::<u8>()), 1..6),
    ) {
        let mut lab = SAVED.lab().unwrap();
        let entries = entries(&lab);
        for (index, offset, byte) in &damage {
            let (_, data) = entries[index.index(entries.len())];
            lab.machine_mut().write(data.wrapping_add(*offset), &[*byte]).unwrap();
        }
        ends(&mut lab, &format!("{damage:?}"));
    }

    /// Entries of the exception directory are overwritten.
    #[test]
    fn a_destroyed_exception_directory_ends(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0u64..12, any::<u8>()), 1..6),
    ) {
        let mut lab = SAVED.lab().unwrap();
        let entries = entries(&lab);
        for (index, offset, byte) in &damage {
            let (entry, _) = entries[index.index(entries.len())];
            lab.machine_mut().write(entry.wrapping_add(*offset), &[*byte]).unwrap();
        }
        ends(&mut lab, &format!("{damage:?}"));
    }
}
