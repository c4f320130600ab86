//! Real drivers, which `make test-drivers` fetches and runs these tests with: the environment
//! variable `POOLHIT_DRIVERS` names their folder, by default `target/drivers`.
//!
//! How far each of the first four comes today is in `expected/`, exactly: what nobody provides, and
//! where its `DriverEntry` stops. With `POOLHIT_REWRITE=1` the files are rewritten to what is; what
//! the kernel learns shows as lines that go.

mod state;
mod winpmem;
mod winring0;

use poolhit::address::Va;
use poolhit::guest::list_imports;
use poolhit::{Lab, Session, StopReason};
use state::{check, file, files, images};
use std::process::Command;

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn winpmem() {
    check("winpmem", "winpmem/winpmem_x64.sys");
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn winring0() {
    check("winring0", "winring0/WinRing0x64.sys");
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn windivert_1() {
    check("windivert-1", "windivert-1/WinDivert64.sys");
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn windivert_2() {
    check("windivert-2", "windivert-2/WinDivert64.sys");
}

/// A framework's driver gets as far as the framework, which no lab has.
#[test]
#[ignore = "needs drivers: make test-drivers"]
fn windivert_stops_at_its_framework() {
    for path in ["windivert-1/WinDivert64.sys", "windivert-2/WinDivert64.sys"] {
        let booted = Lab::builder().driver(file(path)).boot().unwrap();
        let mut session = Session::stopped(booted.lab, booted.stopped.unwrap());
        let stop = session.last_stop().unwrap();
        let StopReason::UnprovidedFunction(used) = &stop.reason else {
            panic!("{path}: {stop:?}");
        };
        assert_eq!(
            used.to_string(),
            "WDFLDR.SYS!WdfVersionBind is called, which nothing provides (WinDivert64.sys imports \
             it)"
        );
        let stack = session.execute("k").unwrap();
        assert!(
            stack.lines().nth(2).unwrap().contains(" WinDivert64+"),
            "{stack}"
        );
        assert!(stack.contains(" nt!IopLoadDriver+"), "{stack}");
        assert!(stack.contains(" nt!KiSystemStartup+"), "{stack}");
    }
}

/// Wine's and all others parse, are relocated, and list their imports; a lab that loads one comes to
/// the prompt or stops somewhere.
#[test]
#[ignore = "needs drivers: make test-drivers"]
fn every_driver_is_read_and_loaded() {
    let all = files();
    assert!(
        all.iter().filter(|path| path.contains("wine")).count() >= 15,
        "{all:?}"
    );
    for path in all {
        let driver = file(&path);
        let image = &driver.image;
        let [here, there] = [0xfffff880_0496d000, 0xfffff880_07770000].map(Va);
        let [one, other] = [here, there].map(|base| image.layout(base).unwrap());
        let word = |mapped: &[u8], at: usize| {
            let bytes = mapped[at..at + 8].try_into().unwrap();
            u64::from_le_bytes(bytes)
        };
        for place in image.relocations().unwrap() {
            let at = place.0 as usize;
            let moved = word(&other, at).wrapping_sub(word(&one, at));
            assert_eq!(moved, there - here, "{path}: {place:?}");
        }
        let listed = list_imports(image, &images().kernel.image).unwrap();
        assert!(!listed.is_empty(), "{path}");
        for base in [here, there] {
            let lab = Lab::builder().driver(driver.clone()).driver_base(base);
            let booted = lab.boot().unwrap_or_else(|error| panic!("{path}: {error}"));
            if let Some(used) = booted.unprovided_use() {
                assert_eq!(used.importer, driver.name());
                let missing = listed.iter().filter(|listed| listed.missing.is_some());
                let mut names = missing.map(|listed| &listed.import.function);
                assert!(names.any(|name| *name == used.function), "{path}: {used}");
            }
        }
    }
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn the_program_lists_them_all() {
    for path in files() {
        let run = |json: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_poolhit"))
                .args([&["imports", &*path], json].concat())
                .output()
                .unwrap();
            assert!(output.stderr.is_empty(), "{path}: {output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            (output.status.code().unwrap(), text)
        };
        let (status, table) = run(&[]);
        let (json_status, json) = run(&["--json"]);
        assert_eq!(status, json_status, "{path}");
        assert_eq!(
            status,
            i32::from(table.contains("  not provided  ")),
            "{path}"
        );
        let rows = table.lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(rows, json.matches("\"module\":").count(), "{path}");
    }
}
