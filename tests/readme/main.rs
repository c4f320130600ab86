//! What the documents say: the README's test that fails is one that compiles, and fails as shown.

mod links;
mod parsing;

use std::panic::catch_unwind;

/// The README's block of code that begins with these words, without its fences.
fn block(language: &str, start: &str) -> String {
    let readme = include_str!("../../README.md");
    let fence = format!("```{language}\n{start}");
    let at = readme.find(&fence).unwrap_or_else(|| panic!("no {fence}"));
    let code = &readme[at + language.len() + 4..];
    code[..code.find("```").unwrap()].to_owned()
}

#[test]
fn the_test_is_this_one() {
    let shown = block("rust,ignore", "use poolhit::guest::{ImageFile");
    let shown = shown.replace("#[test]\nfn ", "pub fn ");
    let shown = shown.replace("\"leaky.sys\"", "\"fixtures/prebuilt/leaky.sys\"");
    assert_eq!(shown, include_str!("parsing.rs"));
}

#[test]
fn it_fails_as_shown() {
    let panic = catch_unwind(parsing::parsing_does_not_leak).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    let mut lines = message.lines();
    let shown = block("text", "$ cargo test\npool leaks");
    let shown = shown.lines().skip(1).filter(|line| *line != "…");
    for line in shown {
        assert!(
            lines.any(|said| said == line),
            "{line:?} is not in\n{message}"
        );
    }
}
