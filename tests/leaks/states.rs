//! A ledger goes where its lab goes, and the guest does not notice it.

use crate::tracked;
use poolhit::address::Va;
use poolhit::leaks::{BlameKind, LeakReport};
use poolhit::memory::WriteMemory;
use poolhit::{Lab, Session, StopReason};

const TAG: u64 = 0x74736554;

fn live(lab: &Lab) -> usize {
    lab.leak_tracker().unwrap().ledger().live_count()
}

#[test]
fn the_guest_does_not_notice() {
    let mut plain = Session::new(Lab::builder().cold().build().unwrap());
    let mut watched = tracked();
    let hashes = |plain: &Session, watched: &Session| {
        [plain, watched].map(|session| session.lab().machine().state_hash())
    };
    let [one, other] = hashes(&plain, &watched);
    assert_eq!(one, other);
    assert_eq!(plain.go().unwrap(), watched.go().unwrap());
    let [one, other] = hashes(&plain, &watched);
    assert_eq!(one, other);
}

#[test]
fn a_saved_lab_keeps_its_ledger() {
    let mut lab = Lab::builder().track_leaks().build().unwrap();
    let at_start = live(&lab);
    let block = lab
        .call_kernel("ExAllocatePoolWithTag", &[0, 0x100, TAG])
        .unwrap()
        .value;
    assert_eq!(live(&lab), at_start + 1);
    let saved = lab.save().unwrap();
    lab.call_kernel("ExFreePoolWithTag", &[block, TAG]).unwrap();
    assert_eq!(live(&lab), at_start);

    lab.restore(&saved).unwrap();
    assert_eq!(live(&lab), at_start + 1);
    let mut copy = saved.lab().unwrap();
    for lab in [&mut lab, &mut copy] {
        lab.call_kernel("ExFreePoolWithTag", &[block, TAG]).unwrap();
        assert_eq!(live(lab), at_start);
        let ledger = lab.leak_tracker().unwrap().ledger();
        assert_eq!(ledger.bad_free_count(), 0);
        assert!(ledger.last_free(Va(block)).is_some());
    }
}

#[test]
fn a_state_without_a_ledger_takes_it_away() {
    let plain = Lab::builder().build().unwrap().save().unwrap();
    let mut lab = Lab::builder().track_leaks().build().unwrap();
    lab.restore(&plain).unwrap();
    assert!(lab.leaks().is_err());
    lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, TAG])
        .unwrap();
}

/// Runs the program to its end, with whatever stops on the way, and gives the report.
fn run(mut session: Session, prepare: impl Fn(&mut Session)) -> LeakReport {
    prepare(&mut session);
    for _ in 0..100_000 {
        if let StopReason::Idle { .. } = session.go().unwrap().reason {
            return session.leaks().unwrap();
        }
    }
    panic!("no end");
}

#[test]
fn stops_change_nothing() {
    let expected = run(tracked(), |_| ());
    let hits = run(tracked(), |session| {
        session.execute("ed nt!PoolHitTag 3261654c").unwrap();
    });
    // The code behind the break instruction is not executed without it, so time is another.
    assert_eq!(hits.paths, expected.paths);

    // breakpoints on the very instructions that are watched
    let compares = run(tracked(), |session| {
        let tracker = session.lab().leak_tracker().unwrap();
        let sites: Vec<_> = tracker.sites().iter().map(|site| site.compare).collect();
        for site in sites {
            session.set_breakpoint(site, "").unwrap();
        }
    });
    assert_eq!(compares, expected);

    let budgets = run(tracked(), |session| session.set_budget(777));
    assert_eq!(budgets, expected);

    let recorded = run(tracked(), |session| {
        session.execute("ed nt!PoolHitTag 3261654c").unwrap();
        session.record_hits(poolhit::hits::Keep::Last(10));
    });
    assert_eq!(recorded.paths, expected.paths);
}

#[test]
fn a_free_that_the_kernel_refuses_is_shown_with_the_first_one() {
    // one within a page, one of whole pages, one of whole pages that are paged
    for (pool, bytes) in [(0, 0x100), (0, 0x3000), (1, 0x3000)] {
        let mut lab = Lab::builder().track_leaks().build().unwrap();
        let allocated = lab.call_kernel("ExAllocatePoolWithTag", &[pool, bytes, TAG]);
        let block = allocated.unwrap().value;
        lab.call_kernel("ExFreePoolWithTag", &[block, TAG]).unwrap();
        assert_eq!(lab.leaks().unwrap().bad_frees, []);
        lab.call_kernel("ExFreePoolWithTag", &[block, TAG])
            .unwrap_err();

        let report = lab.leaks().unwrap();
        let [free] = &report.bad_frees[..] else {
            panic!("{bytes:#x}: {report}");
        };
        assert_eq!((free.block.0, report.bad_free_count), (block, 1));
        assert_eq!(free.tag.to_string(), "Test");
        let names = |stack: &poolhit::debugger::CallStack| -> Vec<String> {
            let frames = stack.frames.iter();
            frames
                .map(|frame| frame.symbol.clone().unwrap_or_default())
                .collect()
        };
        let again = names(free.stack.as_ref().unwrap());
        assert!(again.iter().any(|name| name == "KeBugCheckEx"), "{again:?}");
        assert!(
            again.iter().any(|name| name == "ExFreePoolWithTag"),
            "{again:?}"
        );
        let (_, first) = free.freed_before.as_ref().unwrap();
        assert_eq!(names(first.as_ref().unwrap())[0], "ExFreePoolWithTag");
        let by = names(free.allocated.as_ref().unwrap());
        assert_eq!(by[0], "ExAllocatePoolWithTag");
        assert!(report.to_string().contains("freed a second time"));
    }
}

/// What the kernel finds when a block is freed or given out: who had it, and who had the one in front.
#[test]
fn a_corrupt_block_is_named_with_its_stack() {
    // two blocks, one behind the other
    let pair = |lab: &mut Lab| {
        let mut known: Vec<u64> = Vec::new();
        loop {
            let call = lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x3f0, TAG]);
            let block = call.unwrap().value;
            let before = |other: &&u64| **other + 0x400 == block || block + 0x400 == **other;
            if let Some(other) = known.iter().find(before) {
                return (block.min(*other), block.max(*other));
            }
            known.push(block);
        }
    };
    let blamed = |lab: &mut Lab, freed: u64, kind: u64| {
        lab.call_kernel("ExFreePoolWithTag", &[freed, TAG])
            .unwrap_err();
        let check = lab.bug_check().unwrap();
        assert_eq!(
            (check.code, check.parameters[0]),
            (0x19, kind),
            "{check:x?}"
        );
        lab.leaks().unwrap()
    };
    // written behind its end: the header of the next one
    let mut lab = Lab::builder().track_leaks().build().unwrap();
    let (block, behind) = pair(&mut lab);
    let header = Va(behind - 0x10);
    lab.machine_mut().write(header, &[0x41; 16]).unwrap();
    let report = blamed(&mut lab, block, 0x20);
    let [found] = &report.end.stop().unwrap().blocks[..] else {
        panic!("{report}");
    };
    assert_eq!((found.block.0, found.kind), (block, BlameKind::Named));
    assert_eq!(found.tag.to_string(), "Test");
    let first = &found.allocated.as_ref().unwrap().frames[0];
    assert_eq!(first.symbol.as_deref(), Some("ExAllocatePoolWithTag"));
    let text = report.to_string();
    let line = format!(
        "The block {}, tag Test: allocated by pool call ",
        found.block
    );
    assert!(
        text.contains(&line) && text.contains("\nfreed by pool call "),
        "{text}"
    );

    // used when it has been freed: the links of the free list
    let mut lab = Lab::builder().track_leaks().build().unwrap();
    let (block, behind) = pair(&mut lab);
    lab.call_kernel("ExFreePoolWithTag", &[behind, TAG])
        .unwrap();
    let links = [(behind + 0x20).to_le_bytes(); 2];
    lab.machine_mut()
        .write(Va(behind), links.as_flattened())
        .unwrap();
    let report = blamed(&mut lab, block, 3);
    let found = &report.end.stop().unwrap().blocks[0];
    assert_eq!((found.block.0, found.kind), (behind, BlameKind::Named));
    let (_, by) = found.freed.as_ref().unwrap();
    let first = &by.as_ref().unwrap().frames[0];
    assert_eq!(first.symbol.as_deref(), Some("ExFreePoolWithTag"));
}
