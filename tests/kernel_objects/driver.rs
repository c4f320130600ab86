//! What only a driver can ask for, since it takes routines of its own: the driver that prints does, and says
//! what came of it.

use poolhit::Lab;
use poolhit::guest::{ImageFile, RegistryValue};
use poolhit_fixtures::prebuilt;

const SERVICE: &str = r"\Registry\Machine\System\CurrentControlSet\Services\printer";

fn lab(scenario: u32, more: &[(&str, &str, RegistryValue)]) -> Lab {
    let driver = ImageFile::parse("printer.sys", prebuilt::PRINTER.bytes.to_vec(), None).unwrap();
    let mut builder = Lab::builder()
        .driver(driver)
        .memory(16 << 20)
        .registry_value(SERVICE, "Scenario", RegistryValue::Dword(scenario));
    for (key, name, value) in more {
        builder = builder.registry_value(&format!("{SERVICE}{key}"), name, value.clone());
    }
    builder.build().unwrap()
}

#[test]
fn values_are_queried_by_a_table() {
    let many = RegistryValue::MultiString(vec!["one".into(), "two".into()]);
    let values = [
        ("", "Text", RegistryValue::String("hello".into())),
        ("", "Many", many),
        ("", "Depth", RegistryValue::Dword(0xd)),
        (r"\Sub", "Inner", RegistryValue::Dword(0x55)),
        (r"\Sub", "Other", RegistryValue::ExpandString("%x%".into())),
    ];
    let expected = "\
Text type 1 length 12 \"hello\" c 1
Many type 1 length 8 \"one\" c 2
Many type 1 length 8 \"two\" c 2
Many type 7 length 18 c 3
Absent type 4 length 4 33333333 c 4
Inner type 4 length 4 55 c 5
Other type 2 length 8 \"%x%\" c 5
Inner type 4 length 4 55 c 6
- type 0 length 0 c 7
00000000
d 33333333 \"hello\" 12
c0000034
c0000034 00000000
";
    assert_eq!(lab(2, &values).debug_output(), expected);
}

/// WDK, "Filtering Registry Calls": 1 is RegNtPreSetValueKey, 16 RegNtPostSetValueKey, 2 and 17 are for
/// deleting.
#[test]
fn registry_callbacks_see_and_refuse() {
    let expected = "\
registry 1 c
registry 16 c
00000000
registry 1 c
c0000022
registry 2 c
registry 17 c
c0000034
00000000
00000000
c000000d
";
    assert_eq!(lab(3, &[]).debug_output(), expected);
}

/// WDK, "ObRegisterCallbacks": rights are taken away, but not from the kernel's handles.
#[test]
fn object_callbacks_take_rights_away() {
    let expected = "\
c0000022 c0000022
00000000 00000000
00000000
c01c0011
before 1 0 401 c
after 1 77 00000000 400
00000000
before 1 1 401 c
after 1 77 00000000 401
00000000
00000000
c000000b
";
    assert_eq!(lab(4, &[]).debug_output(), expected);
}

#[test]
fn processes_threads_and_images_are_told_of() {
    let mut session = poolhit::Session::new(lab(5, &[]));
    let boot = session.lab().debug_output();
    let process = boot
        .split("process ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let expected = format!(
        "00000000 00000000 00000000\nc000000d\nprocess {process} of 0 starts NotMyfault.exe\nthread of \
         {process} starts\nimage NotMyfault.exe in {process}\n"
    );
    assert_eq!(boot, expected);
    let stop = session.go().unwrap();
    let expected =
        format!("thread of {process} ends\nprocess {process} of 0 ends NotMyfault.exe\n");
    assert_eq!(stop.printed, expected);
}

#[test]
fn physical_memory_the_bus_and_routines_by_name() {
    let expected = "\
feedbeef
12345678
00000000
00000000 12345678 4096
00000000 c0000019
4 12378086 2 ffff 0
1 1
";
    assert_eq!(lab(6, &[]).debug_output(), expected);
}
