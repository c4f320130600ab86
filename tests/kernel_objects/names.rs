//! The name space: directories, symbolic links, and the names of objects.

use crate::guest::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn events_are_found_by_their_names() {
    let mut guest = Guest::new();
    let name = r"\BaseNamedObjects\One";
    let first = guest.event(name, KERNEL_HANDLE).unwrap();
    assert_eq!(
        first >> 31,
        u64::from(u32::MAX) << 1 | 1,
        "{first:x}: a kernel handle"
    );
    assert_eq!(guest.event(name, 0).unwrap_err(), NAME_COLLISION);

    let place = guest.room(8);
    let attributes = guest.attributes(r"\basenamedobjects\ONE", OPENIF);
    let call = [place, 0x1f_0003, attributes, 0, 0];
    assert_eq!(guest.status("ZwCreateEvent", &call), NAME_EXISTS);
    let second = guest.u64(place);
    let attributes = guest.attributes(name, 0);
    let third = guest.handle("ZwOpenEvent", &[1, attributes]).unwrap();
    let object = guest.object(first);
    assert_eq!(
        [second, third].map(|handle| guest.object(handle)),
        [object; 2]
    );
    // three handles, and the name
    assert_eq!(guest.counts(object), (4, 3));
    assert_eq!(guest.path(object), r"\BaseNamedObjects\One");

    let mutant = guest.handle("ZwOpenMutant", &[1, attributes]);
    assert_eq!(mutant.unwrap_err(), TYPE_MISMATCH);
    for handle in [first, second, third] {
        guest.close(handle);
    }
    assert_eq!(
        guest.handle("ZwOpenEvent", &[1, attributes]).unwrap_err(),
        NAME_NOT_FOUND
    );
}

#[test]
fn permanent_objects_outlive_their_handles() {
    let mut guest = Guest::new();
    let name = r"\BaseNamedObjects\Stays";
    let handle = guest.event(name, PERMANENT).unwrap();
    guest.close(handle);
    let attributes = guest.attributes(name, 0);
    let handle = guest
        .handle("ZwOpenEvent", &[0x1f_0003, attributes])
        .unwrap();
    guest.succeeds("ZwMakeTemporaryObject", &[handle]);
    guest.close(handle);
    assert_eq!(
        guest.handle("ZwOpenEvent", &[1, attributes]).unwrap_err(),
        NAME_NOT_FOUND
    );
}

#[test]
fn exclusive_objects_have_one_handle() {
    let mut guest = Guest::new();
    let name = r"\BaseNamedObjects\Mine";
    let handle = guest.event(name, EXCLUSIVE).unwrap();
    let attributes = guest.attributes(name, 0);
    assert_eq!(
        guest.handle("ZwOpenEvent", &[1, attributes]).unwrap_err(),
        ACCESS_DENIED
    );
    guest.close(handle);
}

#[test]
fn paths_that_lead_nowhere() {
    let mut guest = Guest::new();
    for (path, status) in [
        ("", PATH_SYNTAX_BAD),
        ("Event", PATH_SYNTAX_BAD),
        (r"\", TYPE_MISMATCH),
        (r"\Nowhere", NAME_NOT_FOUND),
        (r"\Nowhere\Event", PATH_NOT_FOUND),
        (r"\BaseNamedObjects\", NAME_INVALID),
        (r"\BaseNamedObjects\\Event", NAME_INVALID),
        (r"\Device\Myfault", TYPE_MISMATCH),
        (r"\Device\Myfault\Behind", TYPE_MISMATCH),
        (r"\??\Nobody", NAME_NOT_FOUND),
    ] {
        let attributes = guest.attributes(path, 0);
        let opened = guest.handle("ZwOpenEvent", &[1, attributes]);
        assert_eq!(opened.unwrap_err(), status, "{path}");
    }
    // attributes that are none
    let attributes = guest.attributes(r"\BaseNamedObjects\E", 0x1000);
    assert_eq!(
        guest.handle("ZwOpenEvent", &[1, attributes]).unwrap_err(),
        INVALID_PARAMETER
    );
}

#[test]
fn the_first_directories() {
    let mut guest = Guest::new();
    for path in [
        r"\",
        r"\Device",
        r"\Driver",
        r"\GLOBAL??",
        r"\BaseNamedObjects",
        r"\ObjectTypes",
        r"\Callback",
        r"\KernelObjects",
    ] {
        let attributes = guest.attributes(path, 0);
        let handle = guest
            .handle("ZwOpenDirectoryObject", &[1, attributes])
            .unwrap();
        let object = guest.object(handle);
        assert_eq!(guest.path(object), path);
        guest.close(handle);
        guest.reset();
    }
    // \?? and \DosDevices are \GLOBAL??
    for path in [r"\??", r"\DosDevices"] {
        let attributes = guest.attributes(path, 0);
        let handle = guest
            .handle("ZwOpenDirectoryObject", &[1, attributes])
            .unwrap();
        let object = guest.object(handle);
        assert_eq!(guest.path(object), r"\GLOBAL??");
        guest.close(handle);
    }
}

#[test]
fn types_are_objects_with_names() {
    let mut guest = Guest::new();
    for (pointer, name, index) in [
        ("PsProcessType", "Process", 7),
        ("ExEventObjectType", "Event", 12),
        ("ExSemaphoreObjectType", "Semaphore", 16),
        ("IoDeviceObjectType", "Device", 25),
        ("IoDriverObjectType", "Driver", 26),
        ("IoFileObjectType", "File", 28),
        ("MmSectionObjectType", "Section", 33),
        ("CmKeyObjectType", "Key", 35),
    ] {
        let pointer = guest.lab.kernel_symbol(pointer).unwrap().0;
        let object = guest.u64(pointer);
        assert_eq!(guest.read_unicode(object + 0x10), name);
        assert_eq!(guest.bytes(object + 0x28, 1), [index]);
        assert_eq!(guest.path(object), format!(r"\ObjectTypes\{name}"));
        let table = guest.lab.kernel_symbol("ObTypeIndexTable").unwrap().0;
        assert_eq!(guest.u64(table + u64::from(index) * 8), object);
        guest.reset();
    }
}

fn link(guest: &mut Guest, path: &str, target: &str) -> u64 {
    let attributes = guest.attributes(path, 0);
    let target = guest.unicode(target);
    let call = [0xf_0001, attributes, target];
    guest.handle("ZwCreateSymbolicLinkObject", &call).unwrap()
}

fn target(guest: &mut Guest, path: &str) -> String {
    let attributes = guest.attributes(path, 0);
    let handle = guest
        .handle("ZwOpenSymbolicLinkObject", &[1, attributes])
        .unwrap();
    let (buffer, length) = (guest.room(0x200), guest.room(4));
    let string = guest.put(&words(&[0x200_0000, buffer]));
    guest.succeeds("ZwQuerySymbolicLinkObject", &[handle, string, length]);
    let small = guest.put(&words(&[0x2_0000, buffer]));
    let call = [handle, small, length];
    assert_eq!(
        guest.status("ZwQuerySymbolicLinkObject", &call),
        BUFFER_TOO_SMALL
    );
    let text = guest.read_unicode(string);
    assert_eq!(guest.u32(length) as usize, 2 * text.len() + 2);
    guest.close(handle);
    text
}

#[test]
fn links_lead_on() {
    let mut guest = Guest::new();
    let event = guest.event(r"\BaseNamedObjects\Far", 0).unwrap();
    let object = guest.object(event);
    link(&mut guest, r"\KernelObjects\Near", r"\BaseNamedObjects");
    link(&mut guest, r"\KernelObjects\Nearer", r"\KernelObjects\Near");
    for path in [
        r"\KernelObjects\Near\Far",
        r"\KernelObjects\Nearer\Far",
        r"\??\GLOBALROOT\KernelObjects\Nearer\Far",
    ] {
        let attributes = guest.attributes(path, 0);
        let handle = guest.handle("ZwOpenEvent", &[1, attributes]).unwrap();
        assert_eq!(guest.object(handle), object);
        guest.close(handle);
    }
    assert_eq!(
        target(&mut guest, r"\KernelObjects\Nearer"),
        r"\KernelObjects\Near"
    );
    assert_eq!(target(&mut guest, r"\DosDevices"), r"\??");
    assert_eq!(
        target(&mut guest, r"\DosDevices\Myfault"),
        r"\Device\Myfault"
    );
    // a circle
    link(&mut guest, r"\KernelObjects\A", r"\KernelObjects\B");
    link(&mut guest, r"\KernelObjects\B", r"\KernelObjects\A");
    let attributes = guest.attributes(r"\KernelObjects\A\X", 0);
    assert_eq!(
        guest.handle("ZwOpenEvent", &[1, attributes]).unwrap_err(),
        NAME_NOT_FOUND
    );
}

#[test]
fn names_below_a_directory_s_handle() {
    let mut guest = Guest::new();
    let attributes = guest.attributes(r"\BaseNamedObjects", 0);
    let root = guest
        .handle("ZwOpenDirectoryObject", &[0xf, attributes])
        .unwrap();
    let attributes = guest.attributes_at(root, Some("Below"), 0);
    let event = guest
        .handle("ZwCreateEvent", &[1, attributes, 0, 0])
        .unwrap();
    let object = guest.object(event);
    assert_eq!(guest.path(object), r"\BaseNamedObjects\Below");
    let attributes = guest.attributes_at(root, Some(r"\Below"), 0);
    assert_eq!(
        guest.handle("ZwOpenEvent", &[1, attributes]).unwrap_err(),
        PATH_SYNTAX_BAD
    );
    let attributes = guest.attributes_at(event, Some("X"), 0);
    assert_eq!(
        guest.handle("ZwOpenEvent", &[1, attributes]).unwrap_err(),
        TYPE_MISMATCH
    );
}

#[derive(Clone, Debug)]
enum Step {
    Create(String),
    Close(String),
    Open(String),
}

fn any_step() -> impl Strategy<Value = Step> {
    // names that differ in case only are one; many fall into one bucket
    let name = proptest::sample::select(vec![
        "a",
        "A",
        "b",
        "ab",
        "aB",
        "ba",
        "x1",
        "x2",
        "x3",
        "long name",
    ]);
    let name = name.prop_map(str::to_owned);
    (0..3, name).prop_map(|(kind, name)| match kind {
        0 => Step::Create(name),
        1 => Step::Close(name),
        _ => Step::Open(name),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A directory against a map of names without case to handles.
    #[test]
    fn a_directory_is_a_map(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut guest = Guest::new();
        let mut model: BTreeMap<String, (String, u64, u64)> = BTreeMap::new();
        for step in steps {
            guest.reset();
            match step {
                Step::Create(name) => {
                    let path = format!(r"\BaseNamedObjects\{name}");
                    let created = guest.event(&path, 0);
                    match model.get(&name.to_lowercase()) {
                        Some(_) => prop_assert_eq!(created, Err(NAME_COLLISION)),
                        None => {
                            let handle = created.unwrap();
                            let object = guest.object(handle);
                            model.insert(name.to_lowercase(), (path, handle, object));
                        }
                    }
                }
                Step::Close(name) => {
                    if let Some((_, handle, _)) = model.remove(&name.to_lowercase()) {
                        guest.close(handle);
                    }
                }
                Step::Open(name) => {
                    let attributes = guest.attributes(&format!(r"\BaseNamedObjects\{name}"), 0);
                    let opened = guest.handle("ZwOpenEvent", &[1, attributes]);
                    let Some((path, _, object)) = model.get(&name.to_lowercase()).cloned() else {
                        prop_assert_eq!(opened, Err(NAME_NOT_FOUND));
                        continue;
                    };
                    let handle = opened.unwrap();
                    prop_assert_eq!(guest.object(handle), object);
                    prop_assert_eq!(guest.path(object), path);
                    guest.close(handle);
                }
            }
        }
        for (_, _, object) in model.values() {
            prop_assert_eq!(guest.counts(*object), (2, 1));
        }
    }
}
