//! File and line in the forms for programs.

use crate::driver::{FILE, everything, lab, line};
use flate2::read::GzDecoder;
use poolhit::leaks::LeakReport;
use poolhit::report::leaks::{to_folded, to_github, to_github_in, to_html, to_json, to_pprof};
use prost::Message;
use serde_json::Value;
use std::io::Read;

fn report() -> LeakReport {
    let mut lab = lab();
    everything(true).run(&mut lab, |_| ()).unwrap();
    lab.leaks().unwrap()
}

fn check_schema(json: &Value) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/leaks.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(json)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
fn json_frames_have_file_and_line() {
    let json: Value = serde_json::from_str(&to_json(&report())).unwrap();
    check_schema(&json);
    assert_eq!(json["version"], 1);
    let paths = json["paths"].as_array().unwrap();
    let list = paths.iter().find(|path| path["tag"] == "Lky5").unwrap();
    let frames = list["stack"]["frames"].as_array().unwrap();
    assert_eq!(frames[1]["symbol"], "AddEntry");
    assert_eq!(
        (&frames[1]["file"], &frames[1]["line"]),
        (&FILE.into(), &line("list").into())
    );
    assert!(frames[0].get("file").is_none() && frames[1].get("column").is_none());
    // What is no line does not fit.
    for (key, value) in [
        ("line", Value::from(0)),
        ("line", "7".into()),
        ("file", 7.into()),
    ] {
        let mut wrong = json.clone();
        wrong["paths"][0]["stack"]["frames"][1][key] = value;
        let errors = std::panic::catch_unwind(|| check_schema(&wrong));
        assert!(errors.is_err(), "{key}");
    }
}

#[test]
fn annotations_are_at_the_line() {
    let report = report();
    for (annotations, file) in [
        (to_github(&report), FILE),
        (to_github_in(&report, "/guest"), "leaky/leaky.c"),
        (to_github_in(&report, "/guest/"), "leaky/leaky.c"),
        (to_github_in(&report, "/elsewhere"), FILE),
    ] {
        let mut starts: Vec<String> = ["error path", "list"]
            .map(|comment| {
                format!(
                    "::error file={file},line={},title=Pool leak in leaky%3A ",
                    line(comment)
                )
            })
            .into();
        for annotation in annotations.lines() {
            let known = starts
                .iter()
                .position(|start| annotation.starts_with(start));
            let known = known.unwrap_or_else(|| panic!("{annotation}"));
            starts.remove(known);
        }
        assert_eq!(starts, [""; 0], "{annotations}");
    }
}

#[test]
fn the_page_shows_lines() {
    let page = to_html(&report());
    for comment in ["error path", "list", "once"] {
        let line = line(comment);
        let summary = format!("</code> <span class=\"dim\">{FILE} @ {line}</span></summary>");
        assert!(page.contains(&summary), "{comment}");
        assert!(page.contains(&format!(" [{FILE} @ {line}]\n")), "{comment}");
    }
}

#[test]
fn folded_stacks_have_functions_alone() {
    let folded = to_folded(&report());
    assert!(folded.contains(";leaky!AddEntry;nt!ExAllocatePoolWithTag;tag Lky5 "));
    assert!(!folded.contains(".c"));
}

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

#[test]
fn the_profile_has_files_and_lines() {
    let mut bytes = Vec::new();
    let profile = to_pprof(&report());
    GzDecoder::new(&profile[..])
        .read_to_end(&mut bytes)
        .unwrap();
    let profile = Profile::decode(&bytes[..]).unwrap();
    let text = |number: i64| &*profile.string_table[number as usize];
    let rows = profile.location.iter().flat_map(|location| &location.line);
    let mut rows: Vec<_> = rows
        .map(|row| {
            let mut functions = profile.function.iter();
            let function = functions.find(|one| one.id == row.function_id).unwrap();
            (text(function.name), text(function.filename), row.line)
        })
        .collect();
    rows.sort();
    let has = |function, file, line| rows.contains(&(function, file, i64::from(line)));
    assert!(has("leaky!CopyInput", FILE, line("error path")), "{rows:?}");
    assert!(has("leaky!AddEntry", FILE, line("list")));
    assert!(has("nt!ExAllocatePoolWithTag", "", 0));
    for mapping in &profile.mapping {
        let is_driver = text(mapping.filename) == "leaky.sys";
        assert_eq!(
            (mapping.has_filenames, mapping.has_line_numbers),
            (is_driver, is_driver)
        );
    }
}
