//! What each service does.

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::RegistryValue;

#[test]
fn the_driver_s_service_is_there() {
    let mut guest = Guest::of(Lab::builder());
    let services = r"\Registry\Machine\System\CurrentControlSet\Services";
    let key = guest.open(0, &format!(r"{services}\myfault")).unwrap();
    let path = units("\\SystemRoot\\system32\\drivers\\myfault.sys\0");
    assert_eq!(guest.value(key, "ImagePath"), Ok((2, path)));
    for (name, value) in [("Type", 1_u32), ("Start", 3), ("ErrorControl", 1)] {
        assert_eq!(
            guest.value(key, name),
            Ok((4, value.to_le_bytes().to_vec()))
        );
    }
    assert_eq!(
        guest.values(key),
        ["ImagePath", "Type", "Start", "ErrorControl"]
    );
    // the control set's own name
    let name = guest.whole("ZwQueryKey", &[key, 3], 4).unwrap();
    let expected = r"\REGISTRY\MACHINE\SYSTEM\ControlSet001\Services\myfault";
    assert_eq!(text(&name[4..]), expected);
    assert_eq!(
        guest.open(0, &format!(r"{services}\nobody")),
        Err(NAME_NOT_FOUND)
    );
}

#[test]
fn what_the_lab_puts_there() {
    let key = r"\Registry\Machine\Software\Lab\Deep";
    let builder = Lab::builder()
        .registry_value(key, "Dword", RegistryValue::Dword(7))
        .registry_value(key, "Qword", RegistryValue::Qword(8))
        .registry_value(key, "", RegistryValue::String("é".into()))
        .registry_value(
            key,
            "Multi",
            RegistryValue::MultiString(vec!["a".into(), "b".into()]),
        )
        .registry_value(key, "Binary", RegistryValue::Binary(vec![1, 2, 3]))
        .registry_value(key, "Dword", RegistryValue::Dword(9))
        .registry_key(r"\Registry\User\S-1-5-18\Empty");
    let mut guest = Guest::of(builder);
    let key = guest.open(0, key).unwrap();
    assert_eq!(guest.values(key), ["Dword", "Qword", "", "Multi", "Binary"]);
    let expected = [
        ("Dword", 4, vec![9, 0, 0, 0]),
        ("Qword", 11, vec![8, 0, 0, 0, 0, 0, 0, 0]),
        ("", 1, units("é\0")),
        ("Multi", 7, units("a\0b\0\0")),
        ("Binary", 3, vec![1, 2, 3]),
    ];
    for (name, kind, data) in expected {
        assert_eq!(guest.value(key, name), Ok((kind, data)));
    }
    let empty = guest.open(0, r"\registry\user\s-1-5-18\EMPTY").unwrap();
    assert!(guest.values(empty).is_empty() && guest.keys(empty).is_empty());
}

/// Labs with other registries are no copies of each other.
#[test]
fn a_lab_s_registry_is_its_own() {
    let key = r"\Registry\Machine\Software\Lab";
    for number in [1, 2, 1, 2, 1, 2] {
        let value = RegistryValue::Dword(number);
        let mut guest = Guest::of(Lab::builder().registry_value(key, "Number", value));
        let key = guest.open(0, key).unwrap();
        assert_eq!(
            guest.value(key, "Number"),
            Ok((4, number.to_le_bytes().to_vec()))
        );
    }
}

#[test]
fn keys_that_are_gone() {
    let mut guest = Guest::new();
    let (parent, _) = guest.create(0, &format!(r"{ROOT}\Parent"), 0).unwrap();
    let (child, _) = guest.create(parent, "Child", 0).unwrap();
    assert_eq!(guest.status("ZwDeleteKey", &[parent]), CANNOT_DELETE);
    assert_eq!(guest.set(child, "Value", 4, &[1, 0, 0, 0]), SUCCESS);
    let again = guest.open(parent, "child").unwrap();
    assert_eq!(guest.status("ZwDeleteKey", &[child]), SUCCESS);
    for handle in [child, again] {
        assert_eq!(guest.value(handle, "Value"), Err(KEY_DELETED));
        assert_eq!(guest.set(handle, "Value", 4, &[1]), KEY_DELETED);
        assert_eq!(guest.status("ZwDeleteKey", &[handle]), KEY_DELETED);
        assert_eq!(guest.create(handle, "Below", 0), Err(KEY_DELETED));
    }
    assert_eq!(guest.open(parent, "Child"), Err(NAME_NOT_FOUND));
    // a new one of that name is another key
    let (new, is_new) = guest.create(parent, "Child", 0).unwrap();
    assert!(is_new && guest.values(new).is_empty());
    for handle in [child, again, new] {
        guest.close(handle);
    }
}

#[test]
fn limits() {
    let mut guest = Guest::new();
    let root = guest.open(0, ROOT).unwrap();
    let long = "k".repeat(256);
    assert!(guest.create(root, &long, 0).is_ok());
    assert_eq!(
        guest.create(root, &format!("{long}k"), 0),
        Err(INVALID_PARAMETER)
    );
    // only the last key of a path is made
    assert_eq!(guest.create(root, r"No\Such", 0), Err(NAME_NOT_FOUND));
    // below a volatile key all are
    let (volatile, _) = guest.create(root, "Volatile", 1).unwrap();
    assert_eq!(guest.create(volatile, "Stable", 0), Err(MUST_BE_VOLATILE));
    assert!(guest.create(volatile, "Volatile", 1).is_ok());
    assert_eq!(guest.set(root, &"n".repeat(16383), 4, &[]), SUCCESS);
    // deep, to the end
    let mut key = root;
    let mut depth = 0;
    while let Ok((next, _)) = guest.create(key, "d", 0) {
        key = next;
        depth += 1;
        guest.used = 0;
    }
    assert_eq!(depth, 508);
    assert_eq!(guest.create(key, "d", 0), Err(INVALID_PARAMETER));
}

#[test]
fn a_key_in_full() {
    let mut guest = Guest::new();
    let root = guest.open(0, ROOT).unwrap();
    guest.create(root, "abc", 0).unwrap();
    guest.create(root, "z", 0).unwrap();
    guest.set(root, "four", 3, &[0; 9]);
    guest.set(root, "x", 3, &[0; 3]);
    let full = guest.whole("ZwQueryKey", &[root, 2], 44).unwrap();
    let fields: Vec<u32> = (3..11).map(|at| number(&full, at * 4)).collect();
    // class offset and length; keys, longest name, longest class; values, longest name, most data
    assert_eq!(fields, [u32::MAX, 0, 2, 6, 0, 2, 8, 9]);
    assert_eq!(guest.ask("ZwQueryKey", &[root, 9], 64).0, INVALID_PARAMETER);
}

#[test]
fn routines_by_path() {
    let mut guest = Guest::new();
    const ABSOLUTE: u64 = 0;
    const SERVICES: u64 = 1;
    let wide = |guest: &mut Guest, text: &str| guest.put(&units(&format!("{text}\0")));
    let (path, name) = (wide(&mut guest, "myfault"), wide(&mut guest, "Written"));
    let absolute = wide(&mut guest, &format!(r"{ROOT}\By Path"));
    let data = guest.put(&[5, 0, 0, 0]);
    assert_eq!(
        guest.status("RtlCheckRegistryKey", &[SERVICES, path]),
        SUCCESS
    );
    assert_eq!(
        guest.status("RtlCheckRegistryKey", &[ABSOLUTE, absolute]),
        NAME_NOT_FOUND
    );
    assert_eq!(
        guest.status("RtlCreateRegistryKey", &[ABSOLUTE, absolute]),
        SUCCESS
    );
    assert_eq!(
        guest.status("RtlCheckRegistryKey", &[ABSOLUTE, absolute]),
        SUCCESS
    );
    let write = [SERVICES, path, name, 4, data, 4];
    assert_eq!(guest.status("RtlWriteRegistryValue", &write), SUCCESS);
    let key = guest.open(
        0,
        r"\Registry\Machine\System\CurrentControlSet\Services\myfault",
    );
    let key = key.unwrap();
    assert_eq!(guest.value(key, "written"), Ok((4, vec![5, 0, 0, 0])));
    let delete = [SERVICES, path, name];
    assert_eq!(guest.status("RtlDeleteRegistryValue", &delete), SUCCESS);
    assert_eq!(
        guest.status("RtlDeleteRegistryValue", &delete),
        NAME_NOT_FOUND
    );
    assert_eq!(
        guest.status("RtlCheckRegistryKey", &[6, path]),
        INVALID_PARAMETER
    );
}
