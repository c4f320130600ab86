//! Repetitions and unloading.

use crate::tracked;
use poolhit::leaks::{Growth, Held};
use poolhit::{Session, StopReason};

/// Lets the program make all its requests, eight a round, and marks each round.
fn rounds(session: &mut Session, count: usize) {
    let entry = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    session.set_breakpoint(entry, "").unwrap();
    session.go().unwrap();
    for _ in 0..count {
        for _ in 0..8 {
            let stop = session.go().unwrap();
            assert!(matches!(stop.reason, StopReason::Breakpoint { .. }));
        }
        session.mark_repeat().unwrap();
    }
}

#[test]
fn what_grows_is_told_from_what_does_not() {
    for count in [2, 3, 10, 50] {
        let mut session = tracked();
        rounds(&mut session, count);
        let report = session.leaks().unwrap();
        assert_eq!(report.repeats, count as u64);
        let growth: Vec<Growth> = report.leaks().map(|path| path.growth).collect();
        let growing = |blocks, bytes| Growth::Growing {
            blocks_per_repeat: blocks,
            bytes_per_repeat: bytes,
        };
        let both = [growing(2.0, 12288.0), growing(2.0, 5184.0)];
        assert_eq!(growth, both, "{report}");
        let kept = report.paths.iter().filter(|path| path.leaked.blocks == 0);
        let kept = kept.filter(|path| path.account.totals.outstanding.blocks > 0);
        let kept: Vec<Growth> = kept.map(|path| path.growth).collect();
        assert!(kept.len() > 1 && kept.iter().all(|growth| *growth == Growth::OneTime));
        let freed = report
            .paths
            .iter()
            .filter(|path| path.growth == Growth::Nothing);
        assert!(freed.count() > 0);
    }
}

/// Repetitions that leak nothing do not speak for what comes behind them.
#[test]
fn what_leaks_behind_the_last_mark_is_leaked() {
    let mut session = tracked();
    session.mark_repeat().unwrap();
    session.mark_repeat().unwrap();
    let entry = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    session.set_breakpoint(entry, "").unwrap();
    for _ in 0..9 {
        session.go().unwrap();
    }
    let report = session.leaks().unwrap();
    let leaked: Vec<_> = report.leaks().map(|path| path.leaked.blocks).collect();
    assert_eq!(leaked, [2, 2], "{report}");
    let of_tags = report.tags.iter().map(|tag| tag.leaked.blocks);
    assert_eq!(of_tags.sum::<u64>(), 4);
    // At the next mark they are what the driver keeps.
    session.mark_repeat().unwrap();
    session.mark_repeat().unwrap();
    session.mark_repeat().unwrap();
    let report = session.leaks().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        report.tags.iter().map(|tag| tag.leaked.blocks).sum::<u64>(),
        0
    );
}

#[test]
fn blocks_know_their_repetition() {
    let mut session = tracked();
    rounds(&mut session, 3);
    let report = session.leaks().unwrap();
    let blocks = &report.leaks().next().unwrap().blocks;
    let repeats: Vec<u64> = blocks.iter().map(|block| block.repeat).collect();
    assert_eq!(repeats, [0, 0, 1, 1]);
}

#[test]
fn a_driver_leaves_all_it_has_when_it_is_unloaded() {
    let mut session = tracked();
    let before = session.leaks().unwrap();
    assert!(before.is_clean());
    let held = before.totals.outstanding;
    assert!(held.blocks > 0);

    let unload = session.mark_unloaded("MyFault.sys").unwrap().unwrap();
    assert_eq!(unload.left, held);
    let report = session.leaks().unwrap();
    assert_eq!(report.leaked, held);
    let check = report.drivers[0].unloaded.unwrap().bug_check().unwrap();
    assert_eq!(check.parameters, [0x62, 0, 0, held.blocks]);
    let text = report.to_string();
    assert!(
        text.contains("stops at this with DRIVER_VERIFIER_DETECTED_VIOLATION (c4)"),
        "{text}"
    );
    assert_ne!(report.leaked, Held::default());
}
