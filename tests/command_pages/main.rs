//! Each command has a page with an example, which is what is printed; docs/commands.md holds all pages.
//! `POOLHIT_REWRITE=1 cargo test --test command_pages` writes what is printed into the pages, which are the
//! documentation of the commands' modules, and, once that is compiled, all pages into docs/commands.md.

use poolhit::commands::pages::{Page, page, pages, reference};
use poolhit::commands::{name_of, names};
use poolhit::debugger::command_line::commands;
use poolhit::transcript::{PlayedStep, REWRITE, Transcript};
use poolhit::{Lab, Session};
use std::fs;
use std::path::{Path, PathBuf};

/// The pages of commands that print nothing themselves: their examples show it by another command.
const SILENT: [&str; 8] = [
    "break_on_access.rs",
    "change_breakpoints.rs",
    "enter.rs",
    "fill.rs",
    "move_memory.rs",
    "quit.rs",
    "renumber_breakpoints.rs",
    "set_breakpoint.rs",
];

fn rewrites() -> bool {
    std::env::var_os(REWRITE).is_some_and(|value| value == "1")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_command_has_a_page() {
    let missing: Vec<_> = names().filter(|name| page(name).is_none()).collect();
    assert!(
        missing.is_empty(),
        "no page in commands/pages.rs names {missing:?}"
    );
    let all: Vec<&str> = names().collect();
    for page in pages() {
        for name in page.names {
            assert!(
                all.contains(name),
                "{}: there is no command {name}",
                page.file
            );
            assert!(
                page.text().contains(name),
                "{} does not say a word about {name}",
                page.file
            );
        }
    }
}

/// Puts what is printed in place of a page's example.
fn rewrite(page: &Page, before: &str, after: &str) {
    let path: PathBuf = root().join("harness/commands").join(page.file);
    let source = fs::read_to_string(&path).unwrap();
    let comment = |text: &str| -> String {
        let lines = text.lines().map(|line| match line {
            "" => "//!\n".to_string(),
            line => format!("//! {line}\n"),
        });
        lines.collect()
    };
    let (before, after) = (comment(before), comment(after));
    assert!(source.contains(&before), "{}", page.file);
    fs::write(path, source.replacen(&before, &after, 1)).unwrap();
}

/// Without the spaces at lines' ends, and with spaces for tabs: comments keep neither.
fn trimmed(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim_end().replace('\t', "    ")))
        .collect()
}

#[test]
fn every_page_has_an_example_that_is_what_is_printed() {
    let mut wrong = Vec::new();
    for page in pages() {
        let Some(example) = page.example() else {
            wrong.push(format!(
                "{} has no example: a block of text that starts with kd> ",
                page.file
            ));
            continue;
        };
        let mut session = Session::new(Lab::builder().build().unwrap());
        let played = Transcript::parse(&example).unwrap().play(&mut session);
        for step in played.steps.iter().filter(|step| step.failed) {
            // what `.catch` does, and what there is before a bug check, is shown, too
            wrong.push(format!("{}: {step}", page.file));
        }
        let shows = |step: &&PlayedStep| {
            let Ok(mut commands) = commands(&step.command) else {
                return false;
            };
            let own = |command| name_of(command).is_some_and(|name| page.names.contains(&name));
            !step.output.trim().is_empty() && commands.all(own)
        };
        let silent = !played.steps.iter().any(|step| shows(&step));
        if silent != SILENT.contains(&page.file) {
            wrong.push(format!(
                "{}: {} an example that shows what the command prints",
                page.file,
                if silent {
                    "wants"
                } else {
                    "is listed, and has"
                }
            ));
        }
        let printed = trimmed(&played.to_string());
        if printed != example && rewrites() {
            rewrite(page, &example, &printed);
        } else if printed != example {
            wrong.push(format!("{}:\n{printed}\nand not\n{example}", page.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reference_is_up_to_date() {
    let path = root().join("docs/commands.md");
    if rewrites() {
        fs::write(&path, reference()).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text == reference(),
        "docs/commands.md is not what the commands' modules say: write it by \
         POOLHIT_REWRITE=1 cargo test --test command_pages"
    );
}
