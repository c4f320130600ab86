//! The profile is read again by another reader of protocol buffers, with the messages of
//! `profile.proto`.

use crate::{hostile, leaked};
use flate2::read::GzDecoder;
use poolhit::leaks::LeakReport;
use poolhit::report::leaks::{to_folded, to_pprof};
use prost::Message;
use std::io::Read;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    text: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

fn decode(report: &LeakReport) -> Profile {
    let mut bytes = Vec::new();
    GzDecoder::new(&to_pprof(report)[..])
        .read_to_end(&mut bytes)
        .unwrap();
    Profile::decode(&bytes[..]).unwrap()
}

impl Profile {
    fn text(&self, number: i64) -> &str {
        &self.string_table[number as usize]
    }

    /// The names of a sample's frames, from the innermost on; each has to be there, once.
    fn names(&self, sample: &Sample) -> Vec<&str> {
        let locations = sample.location_id.iter().map(|id| {
            let mut found = self.location.iter().filter(|location| location.id == *id);
            let location = found.next().unwrap();
            assert!(found.next().is_none() && location.line.len() == 1);
            let id = location.line[0].function_id;
            let function = self
                .function
                .iter()
                .find(|function| function.id == id)
                .unwrap();
            if location.mapping_id != 0 {
                let mut mappings = self.mapping.iter();
                let mapping = mappings
                    .find(|mapping| mapping.id == location.mapping_id)
                    .unwrap();
                assert!((mapping.memory_start..mapping.memory_limit).contains(&location.address));
            }
            self.text(function.name)
        });
        locations.collect()
    }
}

#[test]
fn a_profile_says_what_the_report_says() {
    let report = leaked().leaks().unwrap();
    let profile = decode(&report);
    assert_eq!(profile.string_table[0], "");
    let types: Vec<_> = profile
        .sample_type
        .iter()
        .map(|kind| (profile.text(kind.kind), profile.text(kind.unit)))
        .collect();
    let expected = [
        ("leaked_objects", "count"),
        ("leaked_space", "bytes"),
        ("allocations", "count"),
        ("frees", "count"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    assert_eq!(types, expected);
    assert_eq!(profile.text(profile.default_sample_type), "leaked_space");
    assert_eq!(profile.sample.len(), report.paths.len());
    for (sample, path) in profile.sample.iter().zip(&report.paths) {
        let totals = &path.account.totals;
        let held = totals.outstanding;
        let values = [
            path.leaked.blocks,
            path.leaked.bytes,
            totals.allocations,
            totals.frees,
            held.blocks,
            held.bytes,
        ];
        assert_eq!(sample.value, values.map(|value| value as i64));
        let label = &sample.label[0];
        assert_eq!(profile.text(label.key), "tag");
        assert_eq!(profile.text(label.text), path.tag.to_string());
    }
    let names = profile.names(&profile.sample[0]);
    assert_eq!(names[..2], ["nt!ExAllocatePoolWithTag", "myfault+0x1634"]);
    assert!(profile.mapping.iter().all(|mapping| mapping.has_functions));
    assert!(
        profile
            .mapping
            .iter()
            .any(|mapping| profile.text(mapping.filename) == "myfault.sys")
    );
    let kept = |sample: &&Sample| sample.value[0] == 0 && sample.value[4] > 0;
    assert!(profile.sample.iter().any(|sample| kept(&sample)));
    // the same names as in the folded stacks
    let mut folded = names.clone();
    folded.reverse();
    assert!(
        to_folded(&report).contains(&format!("leaked;{};tag Lea2 3145728\n", folded.join(";")))
    );
}

#[test]
fn hostile_names_make_a_profile_too() {
    let profile = decode(&hostile::report());
    assert_eq!(
        profile.names(&profile.sample[0]).len(),
        hostile::NAMES.len()
    );
}
