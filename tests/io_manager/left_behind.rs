//! What a driver has with the kernel when it is unloaded. WDK: "Unload Routine", and in the debugger's manual
//! "Bug Check 0xCE", "Bug Check 0xC7", "Bug Check 0xCB", "Bug Check 0xC4".

use crate::guest::*;
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::pool::PoolKind;
use poolhit::guest::{OUTSTANDING_LIMIT, RegistrationKind as Kind};
use poolhit::leaks::{LeakFilter, LeakReport, LeftBehind};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::report::leaks::{to_github, to_html, to_json};

/// In the order of the driver's numbers, and whether the kernel stops when it is unloaded: it calls the
/// routine, or comes by a structure that was in the image.
const CASES: [(Kind, bool); 24] = [
    (Kind::LookasideList, false),
    (Kind::LookasideList, false),
    (Kind::ProcessNotify, false),
    (Kind::ThreadNotify, false),
    (Kind::ImageNotify, false),
    (Kind::RegistryCallback, false),
    (Kind::ObjectCallback, false),
    (Kind::CallbackObject, false),
    (Kind::BugCheckCallback, false),
    (Kind::BugCheckReasonCallback, false),
    (Kind::NmiCallback, false),
    (Kind::ProcessorCallback, false),
    (Kind::PowerSetting, false),
    (Kind::Interrupt, false),
    (Kind::WmiProvider, false),
    (Kind::TraceProvider, false),
    (Kind::Timer, true),
    (Kind::Timer, false),
    (Kind::Thread, false),
    (Kind::IoSpace, false),
    (Kind::MdlMapping, false),
    (Kind::LockedPages, false),
    (Kind::MdlPages, false),
    (Kind::NonCachedMemory, false),
];
const LOCKED: u32 = 21;

fn tracked() -> Lab {
    let lab = Lab::builder().driver(driver(0, 0)).requester();
    lab.track_leaks().build().unwrap()
}

/// Has the driver leave something; where that is, if it says so.
#[track_caller]
fn leave(lab: &mut Lab, what: u32) -> Va {
    let handle = open(lab, "IoTest");
    let answer = control(lab, handle, code(LEAVE, BUFFERED), &what.to_le_bytes(), 8);
    assert!(answer.is_success(), "{what}: {answer:?}");
    close(lab, handle);
    Va(u64::from_le_bytes(answer.data().try_into().unwrap()))
}

#[track_caller]
fn left_of(lab: &mut Lab, what: u32, stops: bool) -> (LeakReport, Va) {
    assert_eq!(lab.leaks().unwrap().left_behind, []);
    let object = leave(lab, what);
    assert_eq!(lab.left_behind(), [], "{what}: it is loaded");
    let unloaded = lab.unload_driver();
    assert_eq!(unloaded.is_err(), stops, "{what}: {unloaded:?}");
    (lab.leaks().unwrap(), object)
}

#[test]
fn everything_is_found_by_its_kind() {
    for (what, (kind, stops)) in (0..).zip(CASES) {
        let mut lab = tracked();
        let (report, object) = left_of(&mut lab, what, stops);
        let mut kinds = report.left_behind.iter().filter(|left| left.kind == kind);
        let left = kinds
            .next()
            .unwrap_or_else(|| panic!("{what}: {kind}\n{report}"));
        assert_eq!(left.driver, "iotest.sys");
        if object != Va(0) {
            assert_eq!(left.object, object, "{what}: {kind}");
        }
        let bases = lab.bases();
        let in_driver = |at: Va| at >= bases.driver && at < bases.driver.wrapping_add(0x20000);
        let has_routine = in_driver(left.routine);
        assert!(
            has_routine || in_driver(left.object) || what == 1,
            "{left:?}"
        );
        assert_eq!(left.place.starts_with("iotest+0x"), has_routine, "{left:?}");
        assert!(!report.is_clean());
        let text = report.to_string();
        assert!(text.contains(&format!("Left behind: {kind}")), "{text}");
        assert!(
            text.contains(&format!("missing {}", kind.undone_by())),
            "{text}"
        );
        if stops {
            let check = lab.bug_check().unwrap();
            assert_eq!(check.code, 0xce, "{what}: {kind} {check:?}");
        }
    }
}

#[test]
fn what_is_taken_back_is_not_left() {
    let mut lab = tracked();
    lab.unload_driver().unwrap();
    assert_eq!(lab.leaks().unwrap().left_behind, []);
}

#[test]
fn every_form_of_the_report_has_it() {
    let mut lab = tracked();
    let (report, object) = left_of(&mut lab, LOCKED, false);
    let [left] = &report.left_behind[..] else {
        panic!("{report}");
    };
    assert_eq!((left.kind, left.pages), (Kind::LockedPages, 2));
    let text = report.to_string();
    let expected = format!(
        "\nLeft behind: locked pages (2 pages) of iotest.sys at {object}\n  caller  {}\n  missing MmUnlockPages\n  \
         Windows DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS (cb)\n",
        left.place
    );
    assert!(text.contains(&expected), "{text}");
    assert!(text.lines().next().unwrap().contains("1 thing left behind"));
    let json: serde_json::Value = serde_json::from_str(&to_json(&report)).unwrap();
    let one = &json["left_behind"][0];
    assert_eq!(one["kind"], "locked_pages");
    assert_eq!(one["object"], format!("{:#018x}", object.0));
    assert_eq!(
        (&one["pages"], &one["bug_check"]),
        (&2.into(), &0xcb.into())
    );
    assert!(to_html(&report).contains("<h2>Left behind</h2>"));
    assert!(to_github(&report).contains("locked pages (2 pages) of iotest.sys"));
    // of another driver, or of tags, nothing was asked
    let filter = |driver: Option<&str>, tags: Option<&str>| LeakFilter {
        driver: driver.map(str::to_owned),
        tags: tags.map(|tags| tags.parse().unwrap()),
        ..LeakFilter::default()
    };
    let count = |filter: &LeakFilter| lab.leaks_of(filter).unwrap().left_behind.len();
    assert_eq!(count(&filter(Some("iotest"), None)), 1);
    assert_eq!(count(&filter(Some("IOTEST.SYS"), None)), 1);
    assert_eq!(count(&filter(None, Some("Leak"))), 0);
}

/// Contiguous memory counts by its own size, with the driver's stack, as Windows counts it by a tag.
#[test]
fn contiguous_memory_is_in_the_ledger() {
    const CONTIGUOUS: u32 = 24;
    const CONTIGUOUS_FREED: u32 = 25;
    let mut lab = tracked();
    let block = leave(&mut lab, CONTIGUOUS);
    leave(&mut lab, CONTIGUOUS_FREED);
    let report = lab.leaks().unwrap();
    let paths = report.paths.iter().filter(|path| path.tag == tag(b"Cont"));
    let paths: Vec<_> = paths.collect();
    let [leaked, freed] = paths[..] else {
        panic!("{report}");
    };
    assert_eq!((leaked.leaked.blocks, leaked.leaked.bytes), (1, 0x5001));
    assert_eq!(leaked.blocks[0].block, block);
    assert_eq!(leaked.drivers, ["iotest"]);
    let stack = leaked.stack.as_ref().unwrap();
    let names: Vec<String> = stack.frames.iter().map(ToString::to_string).collect();
    assert_eq!(names[0], "nt!ExInsertPoolTag");
    assert!(
        names[2].starts_with("nt!MmAllocateContiguousMemory"),
        "{names:?}"
    );
    assert!(names[3].starts_with("iotest+"), "{names:?}");
    let totals = &freed.account.totals;
    assert_eq!((totals.allocations, totals.frees), (1, 1));
    assert_eq!(totals.outstanding.bytes, 0);
    // the guest's own counters say the same
    let trackers = lab.pool().unwrap().trackers().unwrap();
    let counted = trackers.iter().find(|one| one.tag == tag(b"Cont")).unwrap();
    let counted = counted.in_pool(PoolKind::NonPaged);
    assert_eq!((counted.outstanding(), counted.bytes), (1, 0x5001));
    assert_eq!(report.bad_frees, []);
}

/// The guest's lists may be anything.
#[test]
fn broken_lists_come_to_an_end() {
    let mut lab = lab();
    let known = lab.registrations();
    let heads = [
        "KiTimerListHead",
        "CmpCallbacks",
        "ExWorkerQueue",
        "PsActiveProcessHead",
    ];
    for name in heads {
        let head = lab.kernel_symbol(name).unwrap();
        let before = lab.machine().read_va(head).unwrap();
        for link in [
            0,
            1,
            head.0 + 8,
            0x1234,
            u64::MAX - 7,
            lab.bases().driver.0 + 0x1000,
        ] {
            lab.machine_mut().write(head, &link.to_le_bytes()).unwrap();
            let found = lab.registrations();
            assert!(
                found.len() <= known.len() + OUTSTANDING_LIMIT,
                "{name} {link:x}"
            );
        }
        lab.machine_mut()
            .write(head, &before.0.to_le_bytes())
            .unwrap();
    }
    assert_eq!(lab.registrations(), known);
    // A table that says it is larger than anything.
    let count = lab.kernel_symbol("MiTrackedCount").unwrap();
    let physical = lab.machine().translation(count).unwrap().physical;
    lab.machine_mut()
        .write_physical(physical, &u32::MAX.to_le_bytes())
        .unwrap();
    let left: Vec<LeftBehind> = lab.left_behind();
    assert!(left.len() <= 256);
}
