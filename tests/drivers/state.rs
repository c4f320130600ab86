//! How far a driver comes, as a text.

use poolhit::Session;
use poolhit::guest::{GuestImages, ImageFile, list_imports};
use poolhit::transcript::REWRITE;
use poolhit::{Lab, StopReason};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/target/drivers");
    env::var_os("POOLHIT_DRIVERS").map_or(default.into(), PathBuf::from)
}

pub fn images() -> &'static GuestImages {
    GuestImages::built_in()
}

/// A driver, by its path or its path below the folder.
#[track_caller]
pub fn file(path: &str) -> ImageFile {
    let path = folder().join(path);
    let bytes = fs::read(&path);
    let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().unwrap().to_str().unwrap();
    ImageFile::parse(name, bytes, None).unwrap_or_else(|error| panic!("{error}"))
}

/// The paths of all drivers there are, in order.
pub fn files() -> Vec<String> {
    let mut found = Vec::new();
    for package in fs::read_dir(folder()).expect("the drivers' folder") {
        let package = package.unwrap().path();
        if package.is_dir() {
            let files = fs::read_dir(package).unwrap();
            found.extend(files.map(|file| file.unwrap().path().to_str().unwrap().to_owned()));
        }
    }
    found.sort();
    found
}

/// What nobody provides, and where the driver's entry ends.
fn state(driver: ImageFile) -> String {
    let listed = list_imports(&driver.image, &images().kernel.image).unwrap();
    let mut missing: Vec<_> = listed
        .iter()
        .filter(|listed| listed.missing.is_some())
        .map(|listed| format!("{}!{}", listed.import.dll, listed.import.function))
        .collect();
    missing.sort();
    let mut text = format!("{} imports; not provided:\n", listed.len());
    for name in missing {
        writeln!(text, "  {name}").unwrap();
    }
    let module = driver.name().split('.').next().unwrap().to_owned();
    let booted = Lab::builder().driver(driver).boot().unwrap();
    let Some(exit) = booted.stopped else {
        text.push_str("DriverEntry succeeds.\n");
        return text;
    };
    let session = Session::stopped(booted.lab, exit);
    match &session.last_stop().unwrap().reason {
        StopReason::UnprovidedFunction(used) => writeln!(text, "DriverEntry: {used}").unwrap(),
        StopReason::BugCheck(check) => writeln!(text, "DriverEntry: {check}").unwrap(),
        other => writeln!(text, "DriverEntry: {other:?}").unwrap(),
    }
    // The kernel's own offsets change with each line of it.
    for frame in session.stack(64).frames {
        match (frame.module.as_deref(), &frame.symbol) {
            (Some(name), _) if name == module => writeln!(text, "  {frame}").unwrap(),
            (Some(name), Some(symbol)) => writeln!(text, "  {name}!{symbol}").unwrap(),
            _ => text.push_str("  the import\n"),
        }
    }
    text
}

/// Compares with the file in `expected/`, or rewrites that.
#[track_caller]
pub fn check(name: &str, path: &str) {
    let found = state(file(path));
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/drivers/expected/{name}.txt"));
    if env::var_os(REWRITE).is_some_and(|value| value == "1") {
        fs::write(&path, &found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "{name}: run again with {REWRITE}=1 and read the difference"
    );
}
