//! Rules of this repository that no compiler checks: which layer may name which, where
//! `unsafe` and the engine's crate may appear, how long a file may be, and that no path of a
//! developer's machine is committed. The checks read source text, comments and strings left
//! out; unit tests keep to the same layers as the code they test.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod tokens;

use tokens::{root_names, tokens};

/// Named by everything; names only itself.
const GROUND: &[&str] = &["address", "memory", "registers", "disasm", "tag"];

/// Parts that stand side by side, each with the parts it may name besides the ground.
const PARTS: &[(&str, &[&str])] = &[
    ("image", &[]),
    ("machine", &[]),
    ("stack", &["image"]),
    ("symbols", &["image"]),
];

/// Each may name what stands before it here, every part and the ground.
const TOWER: &[&str] = &[
    "guest",
    "hits",
    "debugger",
    "leaks",
    "scenario",
    "report",
    "commands",
    "frontends",
];

/// What else may stand in `harness/`. The two roots may name every module.
const ROOT_FILES: &[&str] = &["lib.rs", "main.rs", "ARCHITECTURE.md"];

/// Where Rust sources are looked for.
const SOURCE_FOLDERS: &[&str] = &["harness", "fixtures/src", "tests", "benches"];

/// Benches measure the machine by the bare engine.
const ENGINE_FILES: &[&str] = &["harness/machine/unicorn/", "benches/fixture/bare.rs"];
const UNSAFE_FILES: &[&str] = &[
    "harness/machine/unicorn/",
    "harness/machine/ram.rs",
    "harness/machine/ram/",
];
const MAX_LINES: usize = 500;

/// Folders whose names begin a path of a developer's machine.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "work"];

/// A broken rule: where, which, and what to do about it.
struct Violation {
    file: String,
    line: usize,
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

fn violation(file: &str, line: usize, message: String) -> Violation {
    Violation {
        file: file.to_owned(),
        line,
        message,
    }
}

#[track_caller]
fn assert_none(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} broken rules\n{}",
        lines.len(),
        lines.join("\n")
    );
}

fn is_module(name: &str) -> bool {
    GROUND.contains(&name) || PARTS.iter().any(|part| part.0 == name) || TOWER.contains(&name)
}

fn may_name(from: &str, to: &str) -> bool {
    if from == to || GROUND.contains(&to) {
        return true;
    }
    if let Some(place) = TOWER.iter().position(|name| *name == from) {
        return TOWER[..place].contains(&to) || PARTS.iter().any(|part| part.0 == to);
    }
    PARTS
        .iter()
        .any(|part| part.0 == from && part.1.contains(&to))
}

/// What a module may name, for messages.
fn below(module: &str) -> String {
    let parts = PARTS.iter().map(|part| &part.0);
    let names = GROUND.iter().chain(parts).chain(TOWER);
    let allowed: Vec<&str> = names
        .copied()
        .filter(|to| *to != module && may_name(module, to))
        .collect();
    allowed.join(", ")
}

/// The layer rule for one file, by its path from the repository's root.
fn check_layers(file: &str, source: &str) -> Vec<Violation> {
    let Some(inside) = file.strip_prefix("harness/") else {
        return Vec::new();
    };
    if ROOT_FILES.contains(&inside) {
        return Vec::new();
    }
    let module_path = inside.strip_suffix(".rs").unwrap_or(inside);
    let module_path = module_path.strip_suffix("/mod").unwrap_or(module_path);
    let module = module_path.split('/').next().unwrap_or_default();
    let depth = module_path.split('/').count();
    if !is_module(module) {
        let message = format!(
            "harness/ has no module `{module}` in its layers; give it a place in the tables of \
             tests/layers/main.rs and in the architecture text"
        );
        return vec![violation(file, 1, message)];
    }
    let mut found = Vec::new();
    for name in root_names(&tokens(source), depth) {
        let message = if !is_module(name.text) {
            format!(
                "`{}` at the crate's root is no module, so its layer cannot be told; name it by \
                 the module that defines it (crate::memory::ReadMemory)",
                name.text
            )
        } else if !may_name(module, name.text) {
            format!(
                "layers only point down: `{module}` may not name `{}`, only {}; move the code \
                 up, or hand the value in from above",
                name.text,
                below(module)
            )
        } else {
            continue;
        };
        found.push(violation(file, name.line, message));
    }
    found
}

/// Whether a file is one of `places`, or lies in one that is a folder.
fn is_in(file: &str, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| file == *place || place.ends_with('/') && file.starts_with(place))
}

/// The rules on the engine's crate, on `unsafe` and on length, for one Rust file.
fn check_source(file: &str, source: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for token in tokens(source) {
        let message = match token.text {
            "unicorn_engine" | "unicorn_engine_sys" if !is_in(file, ENGINE_FILES) => format!(
                "the engine's crate is named only in {}; ask for what is needed there",
                ENGINE_FILES.join(", ")
            ),
            "unsafe" if !is_in(file, UNSAFE_FILES) => format!(
                "`unsafe` is allowed only in {}; find a safe way, or put it there",
                UNSAFE_FILES.join(" and ")
            ),
            _ => continue,
        };
        found.push(violation(file, token.line, message));
    }
    let lines = source.lines().count();
    if lines > MAX_LINES {
        let message = format!("{lines} lines, at most {MAX_LINES}; split it, one noun to a file");
        found.push(violation(file, MAX_LINES + 1, message));
    }
    found
}

/// Absolute paths of a developer's machine in any file, text or binary.
fn check_machine_paths(file: &str, content: &[u8]) -> Vec<Violation> {
    let mut found = Vec::new();
    for folder in MACHINE_FOLDERS {
        let needle = format!("/{folder}/");
        for (at, window) in content.windows(needle.len()).enumerate() {
            let before = at.checked_sub(1).map_or(b' ', |before| content[before]);
            // `a/home/b`, `$(OUT)/work/b`, `~/work/b` are relative to something.
            let relative = before.is_ascii_alphanumeric() || b"_-.)}~*>".contains(&before);
            if window == needle.as_bytes() && !relative {
                let line = 1 + content[..at].iter().filter(|byte| **byte == b'\n').count();
                let message = format!(
                    "`{needle}` is a path of one machine; write it relative to the repository"
                );
                found.push(violation(file, line, message));
            }
        }
    }
    found
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A path from the repository's root, with `/` on every system.
fn relative(path: &Path) -> String {
    let path = path.strip_prefix(repository()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

/// Every file below `folder` but what is in `skip`, sorted; nothing when there is no such folder.
fn walk(folder: &Path, skip: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.map(|entry| entry.expect("a readable folder")) {
            let kind = entry.file_type().expect("a kind of file");
            if skip.contains(&relative(&entry.path()).as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

/// Every Rust file, as its path from the repository's root and its text.
fn rust_sources() -> Vec<(String, String)> {
    let folders = SOURCE_FOLDERS
        .iter()
        .flat_map(|name| walk(&repository().join(name), &[]));
    let rust = folders.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.map(|path| {
        (
            relative(&path),
            fs::read_to_string(&path).expect("a UTF-8 source"),
        )
    })
    .collect()
}

/// What git tracks; where it cannot say (an unpacked archive), all but what builds leave.
fn tracked_files() -> Vec<PathBuf> {
    let git = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(repository())
        .output();
    match git {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => output
            .stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| repository().join(String::from_utf8_lossy(name).as_ref()))
            .filter(|path| path.is_file())
            .collect(),
        _ => walk(repository(), &[".git", "target", "fixtures/guest/out"]),
    }
}

#[test]
fn layers_only_point_down() {
    let mut violations = Vec::new();
    for (file, source) in rust_sources() {
        violations.extend(check_layers(&file, &source));
    }
    assert_none(&violations);
}

#[test]
fn harness_holds_only_modules_of_the_tables() {
    let mut violations = Vec::new();
    for path in tracked_files() {
        let file = relative(&path);
        let Some(inside) = file.strip_prefix("harness/") else {
            continue;
        };
        let top = inside.split('/').next().unwrap_or_default();
        if !is_module(top.strip_suffix(".rs").unwrap_or(top)) && !ROOT_FILES.contains(&inside) {
            let message = "not in the layers; give its module a place in the tables of \
                           tests/layers/main.rs, or move the file out of harness/";
            violations.push(violation(&file, 1, message.to_owned()));
        }
    }
    assert_none(&violations);
}

#[test]
fn engine_unsafe_and_length_keep_their_bounds() {
    let sources = rust_sources();
    assert!(
        sources.iter().any(|source| source.0 == "harness/lib.rs"),
        "no sources found"
    );
    let mut violations = Vec::new();
    for (file, source) in sources {
        violations.extend(check_source(&file, &source));
    }
    assert_none(&violations);
}

#[test]
fn no_path_of_a_machine_is_committed() {
    let files = tracked_files();
    assert!(
        files.iter().any(|path| path.ends_with("Cargo.toml")),
        "no files found"
    );
    let mut violations = Vec::new();
    for path in files {
        let content = fs::read(&path).expect("a readable file");
        violations.extend(check_machine_paths(&relative(&path), &content));
    }
    assert_none(&violations);
}

#[track_caller]
fn check(violations: &[Violation], expected: &[&str]) {
    let found: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found.starts_with(expected),
            "{found} should start with {expected}"
        );
    }
}

#[test]
fn layer_checker_finds_arrows_that_point_up() {
    let source = "use crate::memory::Fault;\nuse crate::{image::Pe, machine};\n";
    check(&check_layers("harness/guest/boot.rs", source), &[]);
    let up = "harness/stack/rules.rs:2: layers only point down: `stack` may not name `machine`";
    check(&check_layers("harness/stack/rules.rs", source), &[up]);
    check(
        &check_layers("harness/memory.rs", "use super::address::Va;"),
        &[],
    );
    let up = "harness/memory.rs:1: layers only point down: `memory` may not name `image`";
    check(
        &check_layers("harness/memory.rs", "use super::image;"),
        &[up],
    );
    let up = "harness/report/json.rs:1: layers only point down: `report` may not name `commands`";
    check(
        &check_layers("harness/report/json.rs", "use crate::commands::Dd;"),
        &[up],
    );
    check(
        &check_layers("harness/commands/dd.rs", "use crate::report::Table;"),
        &[],
    );
}

#[test]
fn layer_checker_wants_modules_it_knows() {
    check(
        &check_layers("harness/main.rs", "use crate::anything;"),
        &[],
    );
    check(
        &check_layers("tests/golden.rs", "use crate::anything;"),
        &[],
    );
    let unknown = "harness/plugins/mod.rs:1: harness/ has no module `plugins` in its layers";
    check(&check_layers("harness/plugins/mod.rs", ""), &[unknown]);
    let root = "harness/stack/mod.rs:1: `Va` at the crate's root is no module";
    check(
        &check_layers("harness/stack/mod.rs", "use crate::Va;"),
        &[root],
    );
}

#[test]
fn source_checker_finds_engine_unsafe_and_length() {
    let engine = "use unicorn_engine::Unicorn;\nunsafe { f() }";
    check(&check_source("harness/machine/unicorn/mod.rs", engine), &[]);
    let only = "harness/machine/ram.rs:1: the engine's crate is named only in";
    check(&check_source("harness/machine/ram.rs", engine), &[only]);
    let both = [
        "tests/a.rs:1: the engine's",
        "tests/a.rs:2: `unsafe` is allowed only in",
    ];
    check(&check_source("tests/a.rs", engine), &both);
    check(
        &check_source("tests/a.rs", "// unsafe\nlet s = \"unicorn_engine\";"),
        &[],
    );
    check(&check_source("tests/a.rs", &"\n".repeat(MAX_LINES)), &[]);
    let long = "tests/a.rs:501: 501 lines, at most 500";
    check(
        &check_source("tests/a.rs", &"\n".repeat(MAX_LINES + 1)),
        &[long],
    );
}

#[test]
fn machine_path_checker_finds_absolute_paths_only() {
    for folder in MACHINE_FOLDERS {
        let text = format!("a\nsee /{folder}/me/x");
        let found = format!("b.md:2: `/{folder}/` is a path of one machine");
        check(&check_machine_paths("b.md", text.as_bytes()), &[&found]);
        let text = format!("\0file:///{folder}/x");
        check(
            &check_machine_paths("b.pdb", text.as_bytes()),
            &["b.pdb:1: "],
        );
        for text in [
            format!("out/{folder}/x"),
            format!("$(A)/{folder}/x"),
            format!("/{folder}s"),
        ] {
            check(&check_machine_paths("b.md", text.as_bytes()), &[]);
        }
    }
}
