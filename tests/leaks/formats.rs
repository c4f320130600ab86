//! What the formats look like, and that they do not change from run to run.

use crate::{check_file, leaked, tracked};
use poolhit::report::leaks::{to_flame_graph, to_folded, to_github, to_html, to_json, to_pprof};

#[test]
fn texts_are_as_expected() {
    let mut session = tracked();
    check_file("clean.txt", &session.leaks().unwrap().to_string());
    session.go().unwrap();
    let report = session.leaks().unwrap();
    check_file("leaks.txt", &report.to_string());
    check_file("leaks.folded", &to_folded(&report));
    check_file("annotations.txt", &to_github(&report));
    session.mark_unloaded("myfault").unwrap();
    check_file("unloaded.txt", &session.leaks().unwrap().to_string());
}

#[test]
fn lines_have_at_most_a_hundred_columns() {
    let mut session = leaked();
    // The table has its column for growth, too.
    session.mark_repeat().unwrap();
    session.mark_repeat().unwrap();
    session.mark_unloaded("myfault").unwrap();
    let text = session.leaks().unwrap().to_string();
    assert!(text.contains(" Growth\n"), "{text}");
    let long: Vec<&str> = text
        .lines()
        .filter(|line| line.chars().count() > 100)
        .collect();
    assert_eq!(long, [""; 0]);
    assert!(text.lines().all(|line| line.trim_end() == line));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let formats = || {
        let report = leaked().leaks().unwrap();
        let texts = [to_json, to_html, to_folded, to_flame_graph, to_github].map(|to| to(&report));
        (texts, to_pprof(&report))
    };
    assert_eq!(formats(), formats());
}

#[test]
fn what_is_folded_adds_up() {
    let report = leaked().leaks().unwrap();
    let rows = to_folded(&report);
    let sum = |start: &str| -> u64 {
        let rows = rows.lines().filter(|row| row.starts_with(start));
        let bytes = rows.map(|row| row.rsplit_once(' ').unwrap().1);
        bytes.map(|bytes| bytes.parse::<u64>().unwrap()).sum()
    };
    assert_eq!(sum("leaked;"), report.leaked.bytes);
    assert!(sum("kept;") > 0);
    assert_eq!(sum(""), report.totals.outstanding.bytes);
    assert_eq!(sum(""), sum("leaked;") + sum("kept;"));
}

/// The pages that `scripts/test-report-page` opens in a browser.
#[test]
fn pages_are_written_for_browsers() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/leak-pages");
    std::fs::create_dir_all(folder).unwrap();
    let reports = [
        ("leaks", leaked().leaks().unwrap()),
        ("clean", tracked().leaks().unwrap()),
        ("hostile", crate::hostile::report()),
    ];
    for (name, report) in reports {
        std::fs::write(format!("{folder}/{name}.html"), to_html(&report)).unwrap();
        std::fs::write(format!("{folder}/{name}.pb.gz"), to_pprof(&report)).unwrap();
        let page = to_html(&report);
        // Nothing is loaded: no address but the name of SVG.
        let addresses = page.matches("http").count();
        assert_eq!(
            addresses,
            1 + page.matches("http://www.w3.org/2000/svg").count()
        );
        assert!(page.contains("<meta http-equiv=\"Content-Security-Policy\""));
    }
}
