//! Every export of these families is called by a test.

use poolhit::image::PeImage;
use std::fs;
use std::path::{Path, PathBuf};

/// Named alike but not of the library: exceptions, which `tests/exceptions` has a driver for.
const EXCEPTIONS: [&str; 11] = [
    "RtlCaptureContext",
    "RtlLookupFunctionEntry",
    "RtlPcToFileHeader",
    "RtlRaiseException",
    "RtlRaiseStatus",
    "RtlRestoreContext",
    "RtlUnwind",
    "RtlUnwindEx",
    "RtlVirtualUnwind",
    "__C_specific_handler",
    "_local_unwind",
];

/// Exports of other families that are named alike: `Rtl`, or like a C function.
fn is_of_the_library(name: &str) -> bool {
    if EXCEPTIONS.contains(&name) {
        return false;
    }
    const OTHERS: &[&str] = &["ExVerifySuite", "IoIsWdmVersionAvailable", "MmSizeOfMdl"];
    const VERSION: &[&str] = &["NtBuildNumber", "PsGetVersion", "VerSetConditionMask"];
    name.starts_with("Rtl")
        || name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        || OTHERS.contains(&name)
        || VERSION.contains(&name)
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_export_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kernel = fs::read(root.join("fixtures/prebuilt/ntoskrnl.exe")).unwrap();
    let kernel = PeImage::parse("ntoskrnl.exe", kernel).unwrap();
    let mut files = Vec::new();
    sources(&root.join("tests"), &mut files);
    files.retain(|file| !file.ends_with("kernel_runtime/coverage.rs"));
    let tests: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let names = kernel
        .exports()
        .iter()
        .filter_map(|export| export.name.as_deref());
    let names: Vec<&str> = names.filter(|name| is_of_the_library(name)).collect();
    assert!(names.len() >= 280, "only {} exports", names.len());
    let untested: Vec<&&str> = names
        .iter()
        .filter(|name| !tests.contains(&format!("\"{name}\"")))
        .collect();
    assert!(untested.is_empty(), "no test calls {untested:?}");
}
