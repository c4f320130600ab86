//! The examples in the documentation of scenario files run, and all of their requests succeed.

use crate::{PNP, lab, run};

/// The TOML in the documentation of the module.
fn examples() -> Vec<String> {
    let source = include_str!("../../harness/scenario/file.rs");
    let mut examples = Vec::new();
    let mut example: Option<String> = None;
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        match (line.trim(), &mut example) {
            ("```toml", _) => example = Some(String::new()),
            ("```", _) => examples.extend(example.take()),
            (_, Some(text)) => {
                text.push_str(line);
                text.push('\n');
            }
            (_, None) => {}
        }
    }
    examples
}

#[test]
fn all_of_them_run() {
    let examples = examples();
    assert_eq!(examples.len(), 3);
    for (example, options) in examples.iter().zip([0, 0, PNP]) {
        let text = example.replace("MyDevice", "IoTest");
        let mut lab = lab(options);
        let outcome = run(&mut lab, &text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!(outcome.failures, [], "{text}");
        assert!(lab.leaks().unwrap().is_clean(), "{text}");
    }
}

/// The first one has all keys of a file but for the driver's.
#[test]
fn the_first_says_what_it_seems_to() {
    let first = &examples()[0];
    for key in [
        "driver", "pdb", "device", "repeat", "unload", "tag", "budget",
    ] {
        assert!(
            first.contains(&format!("\n {key} = ")) || first.starts_with(&format!(" {key} = "))
        );
    }
    let mut lab = lab(0);
    let outcome = run(&mut lab, &first.replace("MyDevice", "IoTest")).unwrap();
    // Setup and teardown have the device opened and closed for them; two of the eight of each repetition
    // are preceded by a seek, and two are an offset's.
    assert_eq!(outcome.requests, 3 + 10 * (6 + 2) + 3);
}
