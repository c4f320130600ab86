//! `poolhit imports` and `poolhit debug` with drivers that lack something.

use crate::driver::{Step, bytes};
use poolhit_fixtures::pe_builder::PeBuilder;
use poolhit_fixtures::prebuilt;
use std::fs;
use std::process::{Command, Stdio};

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Scratch {
        Scratch(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[track_caller]
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_poolhit"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code().unwrap(), out, err)
}

const IMPORTS: &[(&str, &[&str])] = &[
    ("ntoskrnl.exe", &["RtlInitUnicodeString", "ExNobody"]),
    ("NDIS.SYS", &["NdisFreePacket"]),
    ("NTOSKRNL.exe", &["IoDeleteDevice"]),
];

#[test]
fn the_table_is_by_image() {
    let scratch = Scratch::new();
    let path = scratch.file("net.sys", &bytes(IMPORTS, &[]));
    let (status, out, err) = run(&["imports", &path]);
    assert_eq!((status, err.as_str()), (1, ""));
    assert_eq!(
        out,
        "ntoskrnl.exe: 2 of 3 provided
  provided      RtlInitUnicodeString
  not provided  ExNobody
  provided      IoDeleteDevice

NDIS.SYS: 0 of 1 provided
  not provided  NdisFreePacket

net.sys: ntoskrnl.exe provides 2 of 4 imports; 2 are not provided.
"
    );
}

#[test]
fn json_says_the_same() {
    let scratch = Scratch::new();
    let mut builder = PeBuilder::new(0x10000);
    builder
        .import("ntoskrnl.exe", ["IoDeleteDevice"])
        .import("odd\"\\.sys", [7u16])
        .delay_import("ext.sys", ["ExtCall"]);
    let path = scratch.file("odd.sys", &builder.build());
    let (status, out, err) = run(&["imports", "--json", &path]);
    assert_eq!((status, err.as_str()), (1, ""));
    assert_eq!(
        out,
        concat!(
            r#"{"version":1,"driver":"odd.sys","subsystem":1,"kernel":"ntoskrnl.exe","#,
            r#""provided":1,"missing":2,"imports":["#,
            r#"{"module":"ntoskrnl.exe","name":"IoDeleteDevice","delayed":false,"provided":true},"#,
            r#"{"module":"odd\"\\.sys","ordinal":7,"delayed":false,"provided":false,"#,
            r#""reason":"no_image"},"#,
            r#"{"module":"ext.sys","name":"ExtCall","delayed":true,"provided":false,"#,
            r#""reason":"no_image"}]}"#,
            "\n"
        )
    );
    let (_, out, _) = run(&["imports", &path]);
    assert!(out.contains("  not provided  #7\n"), "{out}");
    assert!(
        out.contains("ExtCall (loaded when it is first called)\n"),
        "{out}"
    );
}

#[test]
fn all_provided_is_status_0() {
    let scratch = Scratch::new();
    let path = scratch.file("myfault.sys", prebuilt::DRIVER.bytes);
    let (status, out, _) = run(&["imports", &path]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("provides all"), "{out}");
    let path = scratch.file("none.sys", &bytes(&[], &[]));
    let none = run(&["imports", &path]);
    assert_eq!(
        (none.0, none.1.as_str()),
        (0, "none.sys imports nothing.\n")
    );
}

#[test]
fn another_kernel_provides_other_things() {
    let scratch = Scratch::new();
    let driver = scratch.file("net.sys", &bytes(IMPORTS, &[]));
    let mut kernel = PeBuilder::new(0x10000);
    let text = kernel.section(".text", 0x6000_0020, vec![0xc3], 1);
    kernel
        .export("ExNobody", text)
        .export_forward("IoDeleteDevice", "gone.Delete");
    let kernel = scratch.file("ntkrnlmp.exe", &kernel.build());
    let (status, out, _) = run(&["imports", &driver, "--kernel", &kernel]);
    assert_eq!(status, 1);
    for line in [
        "  not provided  RtlInitUnicodeString\n",
        "  provided      ExNobody\n",
        "  not provided  IoDeleteDevice (it is forwarded to gone!Delete)\n",
        "net.sys: ntkrnlmp.exe provides 1 of 4 imports; 3 are not provided.\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
}

#[test]
fn what_is_no_driver_is_told() {
    let scratch = Scratch::new();
    let mut x86 = bytes(&[], &[]);
    x86[0x84..0x86].copy_from_slice(&0x14cu16.to_le_bytes());
    x86[0x98..0x9a].copy_from_slice(&0x10bu16.to_le_bytes());
    let x86 = scratch.file("old.sys", &x86);
    let words = scratch.file("words.sys", b"no image");
    for (path, message) in [
        (
            &*x86,
            "old.sys is not a 64-bit image for x64: machine 0x14c",
        ),
        (&words, "words.sys is not a PE image"),
        ("no/such.sys", "cannot read no/such.sys"),
    ] {
        for json in [&[][..], &["--json"]] {
            let (status, out, err) = run(&[&["imports", path], json].concat());
            assert_eq!((status, out.as_str()), (2, ""));
            assert!(
                err.starts_with("poolhit: ") && err.contains(message),
                "{err}"
            );
        }
    }
    let program = scratch.file("p.exe", prebuilt::PROGRAM.bytes);
    let (status, out, _) = run(&["imports", &program]);
    assert_eq!(status, 1);
    assert!(
        out.ends_with(
            "p.exe is not linked as a driver: its subsystem is 3, and a driver's is 1.\n"
        ),
        "{out}"
    );
}

#[test]
fn the_debugger_starts_at_the_call() {
    let scratch = Scratch::new();
    let path = scratch.file("net.sys", &bytes(IMPORTS, &[Step::Call(1), Step::Call(2)]));
    let (status, out, err) = run(&["debug", "--driver", &path, "-c", "k 2"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let expected = "\
Unprovided import: ntoskrnl.exe!ExNobody is called, which nothing provides (net.sys imports it)
Used at fffff880`0496e00a (net+0x100a)
fffff7fe`00000000 ??              ???
1: kd> k 2
Child-SP          RetAddr           Call Site
";
    assert!(out.starts_with(expected), "{out}");
    assert!(out.ends_with(" net+0x100a\n"), "{out}");

    let with = |value: &str| {
        let answer = format!("ntoskrnl!ExNobody={value}");
        run(&["debug", "--driver", &path, "--return", &answer, "-c", "k 1"])
    };
    let (status, out, _) = with("ffff`fff0");
    assert_eq!(status, 0);
    assert!(
        out.starts_with("Unprovided import: NDIS.SYS!NdisFreePacket is called"),
        "{out}"
    );
    assert_eq!(with("x").0, 2);
    let (status, out, err) = run(&["debug", "--driver", &path, "--refuse-unprovided", "-c", "k"]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(
        err.starts_with("poolhit: net.sys needs ntoskrnl.exe!ExNobody"),
        "{err}"
    );
}
