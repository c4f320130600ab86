//! A report full of names that try to be something else.

use poolhit::address::Va;
use poolhit::debugger::{CallSite, CallStack};
use poolhit::guest::{BugCheck, RegistrationKind};
use poolhit::leaks::{
    Account, BadFreeReport, BlameKind, BlamedBlock, Driver, Growth, Held, LeakReport, LeakedIrp,
    LeftBehind, LiveBlock, Lost, ModuleReport, PathReport, RequestFault, RequestReport, RunEnd,
    RunStop, TagReport, Unload,
};
use poolhit::report::leaks;
use poolhit::stack::frame::FrameTrust;
use poolhit::stack::walk::WalkEnd;
use poolhit::symbols::SourceLine;
use poolhit::tag::Tag;
use proptest::prelude::*;

pub const NAMES: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "a;b 7\n::error::owned\r\n%0A",
    "\u{1b}[31mred\u{202e}]]>",
    "</pre></style>&lt;",
    "'+alert(1)+'\u{ffff}\0",
];

/// A report with these names everywhere.
pub fn report() -> LeakReport {
    with_names(&NAMES)
}

fn with_names(names: &[impl AsRef<str>]) -> LeakReport {
    let name = |at: usize| names[at % names.len()].as_ref().to_owned();
    let frame = |at: usize| CallSite {
        child_sp: Va(0x1000),
        return_address: Va(0x2000 + at as u64),
        address: Va(0x1fff + at as u64),
        module: Some(name(at)),
        symbol: at.is_multiple_of(2).then(|| name(at + 1)),
        offset: 7,
        trust: FrameTrust::UnwindInfo,
        source: Some(SourceLine {
            file: name(at + 2),
            line: 7,
            column: Some(3),
        }),
    };
    let stack = CallStack {
        frames: (0..names.len()).map(frame).collect(),
        end: WalkEnd::ReturnAddressZero,
    };
    let held = Held {
        blocks: 2,
        bytes: u64::MAX / 4,
    };
    let mut account = Account::default();
    account.totals.allocations = 2;
    account.totals.outstanding = held;
    account.totals.peak = held;
    let path = PathReport {
        tag: Tag(0x3e3c_3b22),
        drivers: names.iter().map(|name| name.as_ref().to_owned()).collect(),
        stack: Some(stack.clone()),
        account: account.clone(),
        leaked: held,
        growth: Growth::Growing {
            blocks_per_repeat: 0.5,
            bytes_per_repeat: 8.0,
        },
        blocks: vec![LiveBlock {
            block: Va(0x5000),
            bytes: 8,
            path: 0,
            sequence: 3,
            repeat: 1,
        }],
    };
    let unload = Unload {
        left: held,
        calls: 9,
    };
    LeakReport {
        drivers: (0..names.len())
            .map(|at| Driver {
                name: name(at),
                image_name: name(at + 1),
                base: Va(0x1000),
                size: 0x8000,
                unloaded: Some(unload),
            })
            .collect(),
        totals: account.totals,
        leaked: held,
        tags: vec![TagReport {
            tag: Tag(0x3c3e_2726),
            account,
            leaked: held,
            growth: Growth::OneTime,
            bytes_over_time: vec![0, u64::MAX / 4, 5],
        }],
        paths: vec![path],
        bad_frees: vec![BadFreeReport {
            block: Va(0x5000),
            tag: Tag(0),
            sequence: 5,
            stack: Some(stack.clone()),
            freed_before: Some((4, Some(stack.clone()))),
            allocated: Some(stack.clone()),
        }],
        bad_free_count: 2,
        requests: vec![RequestReport {
            why: RequestFault::FileClosed,
            major: 14,
            minor: 0,
            ioctl: Some(u32::MAX),
            function: name(0),
            driver: name(1),
            device: name(0),
            routine: name(1),
            source: Some(SourceLine {
                file: name(0),
                line: u32::MAX,
                column: None,
            }),
            count: u64::MAX,
            irps: vec![LeakedIrp {
                address: Va(0x6000),
                made: Some((3, u64::MAX)),
            }],
        }],
        left_behind: vec![LeftBehind {
            kind: RegistrationKind::LockedPages,
            object: Va(u64::MAX),
            routine: Va(0x1000),
            place: name(0),
            source: Some(SourceLine {
                file: name(1),
                line: u32::MAX,
                column: None,
            }),
            driver: name(0),
            pages: u32::MAX,
        }],
        end: RunEnd::Stopped(Box::new(RunStop {
            reason: name(0),
            step: Some(name(1)),
            blocks: vec![BlamedBlock {
                kind: BlameKind::InFront,
                block: Va(0x7000),
                tag: Tag(0x3c3e_2726),
                bytes: Some(u64::MAX),
                call: 2,
                allocated: Some(stack.clone()),
                freed: Some((3, None)),
            }],
            bug_check: Some(BugCheck {
                code: 0x3b,
                parameters: [u64::MAX; 4],
            }),
            place: Some(stack.frames[0].clone()),
            stack: Some(stack),
        })),
        repeats: 4,
        calls: 10,
        work: 1000,
        step: 400,
        modules: vec![ModuleReport {
            name: name(0),
            image_name: name(1),
            base: Va(0x1000),
            size: 0x8000,
        }],
        lost: Lost::default(),
        unseen: 1,
    }
}

/// Whether a text has nothing but lines of text.
fn is_text(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

/// The elements of a page, by their names: what a browser would make of it, but for the content of
/// `<script>` and `<style>`, which no name reaches.
fn elements(page: &str) -> Vec<&str> {
    let parts = page.split('<').skip(1);
    parts
        .filter_map(|part| part.split([' ', '>', '\n']).next())
        .collect()
}

fn check(names: &[impl AsRef<str>]) {
    let report = with_names(names);
    let plain = with_names(&vec!["x"; names.len()]);
    assert!(is_text(&report.to_string()));

    let [page, own] = [&report, &plain].map(leaks::to_html);
    assert!(is_text(&page));
    // the flame graph has as many boxes as there are different names
    let without_boxes = |page: &str| {
        let all = elements(page);
        let boxes = ["g", "/g", "title", "/title", "rect", "text", "/text"].map(String::from);
        let rest = all
            .into_iter()
            .filter(|name| !boxes.iter().any(|other| name == other));
        rest.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_boxes(&page), without_boxes(&own));

    let svg = leaks::to_flame_graph(&report);
    let known = [
        "svg", "/svg", "g", "/g", "title", "/title", "rect", "text", "/text",
    ];
    assert!(
        elements(&svg).iter().all(|name| known.contains(name)),
        "{svg}"
    );
    assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());

    let folded = leaks::to_folded(&report);
    assert_eq!(folded.lines().count(), 1);
    let (frames, bytes) = folded.trim_end().rsplit_once(' ').unwrap();
    assert!(bytes.parse::<u64>().is_ok());
    assert_eq!(
        frames.split(';').count(),
        names.len() + 2,
        "whether it is leaked, the frames, and the tag"
    );

    let github = leaks::to_github(&report);
    assert!(is_text(&github) && github.lines().count() == 4);
    let command = github.strip_prefix("::error ").unwrap();
    let (properties, _) = command.split_once("::").unwrap();
    assert!(!properties.contains(':'), "{properties}");
    let properties = properties
        .split(',')
        .map(|one| one.split_once('=').unwrap().0);
    assert!(properties.eq(["file", "line", "col", "title"]), "{github}");
    let escapes = github.split('%').skip(1);
    for escape in escapes {
        assert!(
            ["25", "0A", "0D", "3A", "2C"]
                .iter()
                .any(|known| escape.starts_with(known))
        );
    }
}

#[test]
fn names_are_nothing_but_names() {
    check(&NAMES);
    let page = leaks::to_html(&report());
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_name_is_anything_else(names in prop::collection::vec(".{0,40}|[<>&\"';:,% ]{1,8}", 1..6)) {
        check(&names);
    }
}
