//! A profile as `go tool pprof` and other tools read it: `profile.proto`, compressed by gzip
//! (github.com/google/pprof, `proto/profile.proto`).
//!
//! Samples have six values: `leaked_objects` and `leaked_space`, which is what is shown if nothing else is
//! asked for, are the blocks and bytes that have leaked; `allocations`, `frees` and `inuse_objects` count
//! blocks, `inuse_space` bytes, leaked or kept. Each has the tag as a label, so `pprof -tagfocus=tag=Lea2` shows one tag alone. Frames of
//! drivers have their source files and lines, if their PDBs do: `pprof -lines` shows them.

use super::folded::frame_name;
use super::protobuf::Message;
use super::words::{clean, text_of};
use crate::address::Va;
use crate::debugger::CallSite;
use crate::leaks::{LeakReport, ModuleReport};
use flate2::{Compression, GzBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// The strings of a profile, each kept once.
struct Strings {
    numbers: BTreeMap<String, u64>,
    list: Vec<String>,
}

impl Strings {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        let number = self.list.len() as u64;
        self.numbers.insert(text.to_owned(), number);
        self.list.push(text.to_owned());
        number
    }
}

/// What is a part of several samples, with the numbers that it gets.
struct Parts {
    strings: Strings,
    /// By name and source file.
    functions: BTreeMap<(String, String), u64>,
    /// By address and name: a place in memory may have had several modules.
    locations: BTreeMap<(Va, String), u64>,
    profile: Message,
}

/// The fields of `profile.proto`.
mod field {
    pub const SAMPLE_TYPE: u32 = 1;
    pub const SAMPLE: u32 = 2;
    pub const MAPPING: u32 = 3;
    pub const LOCATION: u32 = 4;
    pub const FUNCTION: u32 = 5;
    pub const STRING_TABLE: u32 = 6;
    pub const DEFAULT_SAMPLE_TYPE: u32 = 14;
}

impl Parts {
    /// The location of a frame, from 1 on.
    fn location(&mut self, modules: &[&ModuleReport], frame: &CallSite, is_leaf: bool) -> u64 {
        // A caller's address is behind its call, and may be the next function's.
        let address = match is_leaf {
            true => frame.address,
            false => frame.address.wrapping_sub(1),
        };
        let name = frame_name(frame);
        if let Some(known) = self.locations.get(&(address, name.clone())) {
            return *known;
        }
        let inside = |base: Va, size: u32| address.0.wrapping_sub(base.0) < u64::from(size);
        let mapping = modules.iter().position(|module| {
            inside(module.base, module.size) && frame.module.as_deref() == Some(&*module.name)
        });
        let source = frame.source.as_ref();
        let file = source.map(|source| text_of(&source.file).into_owned());
        let function = self.function(&name, &file.unwrap_or_default());
        let mut line = Message::default();
        line.number(1, function);
        line.number(2, source.map_or(0, |source| source.line.into()));
        let mut location = Message::default();
        let number = self.locations.len() as u64 + 1;
        location.number(1, number);
        location.number(2, mapping.map_or(0, |mapping| mapping as u64 + 1));
        location.number(3, address.0);
        location.message(4, &line);
        self.profile.message(field::LOCATION, &location);
        self.locations.insert((address, name), number);
        number
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let key = (name.to_owned(), file.to_owned());
        if let Some(known) = self.functions.get(&key) {
            return *known;
        }
        let number = self.functions.len() as u64 + 1;
        let text = self.strings.number(name);
        let mut function = Message::default();
        function.number(1, number);
        function.number(2, text);
        function.number(3, text);
        function.number(4, self.strings.number(file));
        self.profile.message(field::FUNCTION, &function);
        self.functions.insert(key, number);
        number
    }
}

/// The names of the modules of which frames have source lines.
fn modules_with_lines(report: &LeakReport) -> BTreeSet<&str> {
    let stacks = report.paths.iter().filter_map(|path| path.stack.as_ref());
    let frames = stacks.flat_map(|stack| &stack.frames);
    let frames = frames.filter(|frame| frame.source.is_some());
    frames.filter_map(|frame| frame.module.as_deref()).collect()
}

/// A report as a profile, for `go tool pprof`.
///
/// ```
/// use poolhit::{Lab, report::leaks::to_pprof};
/// let lab = Lab::builder().track_leaks().build()?;
/// let profile = to_pprof(&lab.leaks()?);
/// assert_eq!(profile[..2], [0x1f, 0x8b]); // gzip
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_pprof(report: &LeakReport) -> Vec<u8> {
    let mut parts = Parts {
        strings: Strings {
            numbers: BTreeMap::from([(String::new(), 0)]),
            list: vec![String::new()],
        },
        functions: BTreeMap::new(),
        locations: BTreeMap::new(),
        profile: Message::default(),
    };
    let types = [
        ("leaked_objects", "count"),
        ("leaked_space", "bytes"),
        ("allocations", "count"),
        ("frees", "count"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    for (name, unit) in types {
        let mut sample_type = Message::default();
        sample_type.number(1, parts.strings.number(name));
        sample_type.number(2, parts.strings.number(unit));
        parts.profile.message(field::SAMPLE_TYPE, &sample_type);
    }
    // Viewers take the first one for the program that the profile is of.
    let is_driver = |module: &&ModuleReport| {
        let mut drivers = report.drivers.iter();
        drivers.any(|driver| driver.base == module.base && driver.name == module.name)
    };
    let (mut modules, others): (Vec<&ModuleReport>, Vec<_>) =
        report.modules.iter().partition(is_driver);
    modules.extend(others);
    let with_lines = modules_with_lines(report);
    for (number, module) in (1..).zip(&modules) {
        let mut mapping = Message::default();
        mapping.number(1, number);
        mapping.number(2, module.base.0);
        mapping.number(3, module.base.0.saturating_add(module.size.into()));
        mapping.number(5, parts.strings.number(&clean(&module.image_name)));
        mapping.number(7, 1); // has_functions: nothing is left to look up
        let has_lines = u64::from(with_lines.contains(&*module.name));
        mapping.number(8, has_lines); // has_filenames
        mapping.number(9, has_lines); // has_line_numbers
        parts.profile.message(field::MAPPING, &mapping);
    }
    for path in &report.paths {
        let frames = path.stack.iter().flat_map(|stack| &stack.frames);
        let frames = frames.enumerate();
        let locations: Vec<u64> = frames
            .map(|(at, frame)| parts.location(&modules, frame, at == 0))
            .collect();
        let totals = &path.account.totals;
        let mut label = Message::default();
        label.number(1, parts.strings.number("tag"));
        label.number(2, parts.strings.number(&path.tag.to_string()));
        let mut sample = Message::default();
        sample.numbers(1, locations);
        let held = totals.outstanding;
        sample.numbers(
            2,
            [
                path.leaked.blocks,
                path.leaked.bytes,
                totals.allocations,
                totals.frees,
                held.blocks,
                held.bytes,
            ],
        );
        sample.message(3, &label);
        parts.profile.message(field::SAMPLE, &sample);
    }
    let default = parts.strings.number("leaked_space");
    parts.profile.number(field::DEFAULT_SAMPLE_TYPE, default);
    for text in &parts.strings.list {
        parts.profile.bytes(field::STRING_TABLE, text.as_bytes());
    }
    // Without the time, the same profile has the same bytes.
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _ = gzip.write_all(&parts.profile.into_bytes());
    gzip.finish().unwrap_or_default()
}
