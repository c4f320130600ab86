//! What is leaked has the line that allocated it.

use crate::driver::{DEVICE, FILE, error_path, everything, lab, line};
use poolhit::leaks::{Growth, LeakReport, PathReport};
use poolhit::symbols::SourceLine;

fn at(comment: &str) -> SourceLine {
    SourceLine {
        file: FILE.into(),
        line: line(comment),
        column: None,
    }
}

fn way<'a>(report: &'a LeakReport, tag: &str) -> &'a PathReport {
    let mut ways = report.paths.iter().filter(|way| way.tag.to_string() == tag);
    let way = ways.next().unwrap_or_else(|| panic!("no {tag}\n{report}"));
    assert!(ways.next().is_none(), "{report}");
    way
}

#[test]
fn leaks_have_their_lines() {
    let mut lab = lab();
    everything(false).run(&mut lab, |_| ()).unwrap();
    let report = lab.leaks().unwrap();

    let forgotten = way(&report, "Lky1");
    assert_eq!(forgotten.leaked.blocks, 8);
    assert!(matches!(forgotten.growth, Growth::Growing { .. }));
    assert_eq!(forgotten.source(), Some(&at("error path")));
    let frames = &forgotten.stack.as_ref().unwrap().frames;
    assert_eq!(frames[0].symbol.as_deref(), Some("ExAllocatePoolWithTag"));
    assert_eq!(frames[0].source, None);
    assert_eq!(frames[1].symbol.as_deref(), Some("CopyInput"));
    // A call's line, although the address is the one behind the call.
    assert_eq!(frames[2].symbol.as_deref(), Some("Parse"));
    assert_eq!(frames[2].source, Some(at("caller of the error path")));
    // Neither the kernel's lines nor the libraries'.
    let with_lines = frames.iter().filter(|frame| frame.source.is_some());
    assert!(with_lines.clone().count() >= 3, "{report}");
    assert!(
        with_lines
            .clone()
            .all(|frame| frame.module.as_deref() == Some("leaky"))
    );

    let freed = way(&report, "Lky2");
    assert_eq!(
        (freed.leaked.blocks, freed.source()),
        (0, Some(&at("freed")))
    );
    let of_file = way(&report, "Lky3");
    assert_eq!(
        (of_file.leaked.blocks, of_file.source()),
        (0, Some(&at("open")))
    );
    assert_eq!(of_file.account.totals.frees, 8);
    let once = way(&report, "Lky4");
    assert_eq!((once.leaked.blocks, once.source()), (0, Some(&at("once"))));
    assert_eq!(once.account.totals.outstanding.blocks, 1);
    assert_eq!(once.growth, Growth::OneTime);
    let list = way(&report, "Lky5");
    assert_eq!((list.leaked.blocks, list.source()), (16, Some(&at("list"))));
}

#[test]
fn unloading_leaves_the_list_and_what_was_forgotten() {
    let mut lab = lab();
    everything(true).run(&mut lab, |_| ()).unwrap();
    assert!(lab.modules().by_name("leaky").is_none());
    let report = lab.leaks().unwrap();
    let mut lines: Vec<_> = report.leaks().map(|way| way.source().cloned()).collect();
    lines.sort();
    assert_eq!(lines, [Some(at("error path")), Some(at("list"))]);
}

#[test]
fn the_text_names_file_and_line() {
    let mut lab = lab();
    let device = lab.open_device(DEVICE).unwrap();
    assert_eq!(error_path(&mut lab, device).status.0, 0xc000_000d);
    let check = std::panic::AssertUnwindSafe(|| poolhit::assert_no_leaks!(lab, "Lky1"));
    let message = std::panic::catch_unwind(check).unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    let (own, caller) = (line("error path"), line("caller of the error path"));
    let source = format!("\n  source  {FILE} @ {own}\n");
    assert!(message.contains(&source), "{message}");
    let mut frames = message.lines().filter(|line| line.contains(" leaky!"));
    let mut frame = |function: &str, line: u32| {
        let frame = frames.next().unwrap();
        assert!(frame.contains(function), "{frame}");
        assert!(frame.ends_with(&format!(" [{FILE} @ {line}]")), "{frame}");
    };
    frame("leaky!CopyInput+0x", own);
    frame("leaky!Parse+0x", caller);
    assert!(!message.contains("[/guest/ntoskrnl/"), "{message}");
}

/// The stack of a block that is freed again, from the bug check.
#[test]
fn bad_frees_have_their_lines() {
    let mut lab = lab();
    let device = lab.open_device(DEVICE).unwrap();
    let free = poolhit::guest::Request::Close { handle: device };
    // As if somebody else had freed the file's block before: cleaning up frees it again.
    let filter = poolhit::leaks::LeakFilter::default();
    let report = lab.leaks_of(&filter).unwrap();
    let block = way(&report, "Lky3").blocks[0].block;
    let by_us = lab.kernel_function("ExFreePoolWithTag").unwrap();
    lab.call_in_system_thread(by_us, &[block.0, 0]).unwrap();
    let error = lab.request(&free).unwrap_err();
    assert!(error.stopped().is_some(), "{error}");
    let report = lab.leaks().unwrap();
    let bad = report
        .bad_frees
        .last()
        .unwrap_or_else(|| panic!("{report}"));
    let frames = &bad.stack.as_ref().unwrap().frames;
    let own = frames.iter().find(|frame| frame.source.is_some()).unwrap();
    assert_eq!(own.symbol.as_deref(), Some("LeakyCleanup"));
    let allocated = &bad.allocated.as_ref().unwrap().frames;
    let own = allocated.iter().find_map(|frame| frame.source.clone());
    assert_eq!(own, Some(at("open")));
}
