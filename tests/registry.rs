//! The registry against a model: a map of paths to values. WDK: "ZwCreateKey", "ZwSetValueKey",
//! "ZwQueryValueKey", "ZwEnumerateKey" and so on.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{LabBuilder, RegistryValue};
use poolhit::memory::{ReadMemory, WriteMemory};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SUCCESS: u32 = 0;
const BUFFER_OVERFLOW: u32 = 0x8000_0005;
const NO_MORE_ENTRIES: u32 = 0x8000_001a;
const INVALID_PARAMETER: u32 = 0xc000_000d;
const BUFFER_TOO_SMALL: u32 = 0xc000_0023;
const NAME_NOT_FOUND: u32 = 0xc000_0034;
const CANNOT_DELETE: u32 = 0xc000_0121;
const KEY_DELETED: u32 = 0xc000_017c;
const MUST_BE_VOLATILE: u32 = 0xc000_0181;

const TAG: u64 = u32::from_le_bytes(*b"TstC") as u64;
const ARENA: u64 = 0x8_0000;
const ALL_ACCESS: u64 = 0xf_003f;
const ROOT: &str = r"\Registry\Machine\Software\Test";

struct Guest {
    lab: Lab,
    arena: u64,
    used: u64,
}

fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn text(bytes: &[u8]) -> String {
    let pairs = bytes.chunks_exact(2);
    let units: Vec<u16> = pairs
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Guest {
    fn of(builder: LabBuilder) -> Guest {
        let mut lab = builder.memory(32 << 20).build().unwrap();
        let called = lab
            .call_kernel("ExAllocatePoolWithTag", &[0, ARENA, TAG])
            .unwrap();
        assert_ne!(called.value, 0);
        Guest {
            lab,
            arena: called.value,
            used: 0,
        }
    }

    fn new() -> Guest {
        let mut guest = Guest::of(Lab::builder());
        guest.create(0, ROOT, 0).unwrap();
        guest
    }

    #[track_caller]
    fn status(&mut self, name: &str, arguments: &[u64]) -> u32 {
        match self.lab.call_kernel(name, arguments) {
            Ok(called) => called.value as u32,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.arena + self.used;
        self.used += (bytes.len() as u64).next_multiple_of(16);
        assert!(self.used <= ARENA, "the arena is full");
        self.lab.machine_mut().write(Va(at), bytes).unwrap();
        at
    }

    fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.lab.machine().read(Va(at), &mut bytes).unwrap();
        bytes
    }

    fn u32(&self, at: u64) -> u32 {
        self.lab.machine().read_u32(Va(at)).unwrap()
    }

    fn u64(&self, at: u64) -> u64 {
        self.lab.machine().read_u64(Va(at)).unwrap()
    }

    fn string(&mut self, text: &str) -> u64 {
        let bytes = units(text);
        let buffer = self.put(&bytes);
        self.put(&words(&[bytes.len() as u64 * 0x1_0001, buffer]))
    }

    fn attributes(&mut self, root: u64, path: &str) -> u64 {
        let name = self.string(path);
        self.put(&words(&[0x30, root, name, 0x40, 0, 0]))
    }

    /// The handle, and whether the key is new.
    fn create(&mut self, root: u64, path: &str, options: u64) -> Result<(u64, bool), u32> {
        let attributes = self.attributes(root, path);
        let place = self.put(&words(&[0, 0]));
        let call = [place, ALL_ACCESS, attributes, 0, 0, options, place + 8];
        match self.status("ZwCreateKey", &call) {
            SUCCESS => Ok((self.u64(place), self.u32(place + 8) == 1)),
            status => Err(status),
        }
    }

    fn open(&mut self, root: u64, path: &str) -> Result<u64, u32> {
        let attributes = self.attributes(root, path);
        let place = self.put(&words(&[0]));
        match self.status("ZwOpenKey", &[place, ALL_ACCESS, attributes]) {
            SUCCESS => Ok(self.u64(place)),
            status => Err(status),
        }
    }

    fn close(&mut self, handle: u64) {
        assert_eq!(self.status("ZwClose", &[handle]), SUCCESS);
    }

    fn set(&mut self, key: u64, name: &str, kind: u32, data: &[u8]) -> u32 {
        let (name, buffer) = (self.string(name), self.put(data));
        let call = [key, name, 0, kind.into(), buffer, data.len() as u64];
        self.status("ZwSetValueKey", &call)
    }

    /// What a query gives with a buffer of a length: status, length wanted, bytes.
    fn ask(&mut self, name: &str, first: &[u64], length: usize) -> (u32, usize, Vec<u8>) {
        let buffer = self.put(&vec![0xcc; length + 16]);
        let result = self.put(&[0; 4]);
        let call = [first, &[buffer, length as u64, result]].concat();
        let status = self.status(name, &call);
        let bytes = self.bytes(buffer, length + 16);
        assert_eq!(
            bytes[length..],
            [0xcc; 16],
            "{name} writes behind the buffer"
        );
        (status, self.u32(result) as usize, bytes[..length].to_vec())
    }

    /// All that a query has to say. It says the same of a buffer that is too short.
    fn whole(&mut self, name: &str, first: &[u64], fixed: usize) -> Result<Vec<u8>, u32> {
        let used = self.used;
        let (status, needed, _) = self.ask(name, first, 0);
        if status != BUFFER_TOO_SMALL {
            return Err(status);
        }
        let (status, again, bytes) = self.ask(name, first, needed);
        assert_eq!((status, again), (SUCCESS, needed));
        if needed > fixed {
            let (status, wanted, part) = self.ask(name, first, needed - 1);
            assert_eq!((status, wanted), (BUFFER_OVERFLOW, needed));
            assert_eq!(part, bytes[..needed - 1]);
        }
        let (status, wanted, _) = self.ask(name, first, fixed - 1);
        assert_eq!((status, wanted), (BUFFER_TOO_SMALL, needed));
        self.used = used;
        Ok(bytes)
    }

    /// A value's type and data, asked for in three ways.
    fn value(&mut self, key: u64, name: &str) -> Result<(u32, Vec<u8>), u32> {
        let string = self.string(name);
        let partial = self.whole("ZwQueryValueKey", &[key, string, 2], 12)?;
        let (kind, length) = (number(&partial, 4), number(&partial, 8) as usize);
        let data = partial[12..].to_vec();
        assert_eq!(data.len(), length);
        let full = self.whole("ZwQueryValueKey", &[key, string, 1], 20)?;
        assert_eq!(
            (number(&full, 4), number(&full, 12) as usize),
            (kind, length)
        );
        if length > 0 {
            let offset = number(&full, 8) as usize;
            assert_eq!((offset % 4, &full[offset..]), (0, &data[..]));
        }
        let basic = self.whole("ZwQueryValueKey", &[key, string, 0], 12)?;
        assert!(text(&basic[12..]).eq_ignore_ascii_case(name));
        Ok((kind, data))
    }

    /// The names of a key's values, in order.
    fn values(&mut self, key: u64) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let call = [key, names.len() as u64, 0];
            match self.whole("ZwEnumerateValueKey", &call, 12) {
                Ok(basic) => names.push(text(&basic[12..])),
                Err(status) => {
                    assert_eq!(status, NO_MORE_ENTRIES);
                    return names;
                }
            }
        }
    }

    /// The names of the keys below a key, in order.
    fn keys(&mut self, key: u64) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let call = [key, names.len() as u64, 0];
            match self.whole("ZwEnumerateKey", &call, 16) {
                Ok(basic) => {
                    let length = number(&basic, 12) as usize;
                    names.push(text(&basic[16..16 + length]));
                }
                Err(status) => {
                    assert_eq!(status, NO_MORE_ENTRIES);
                    return names;
                }
            }
        }
    }
}

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

#[derive(Clone, Debug)]
enum Step {
    Create(String),
    Delete(String),
    Set(String, String, u32, Vec<u8>),
    Remove(String, String),
}

/// Three levels of keys whose names differ in case, too.
fn any_path() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec!["a", "A", "b", "Long name", "é"]);
    proptest::collection::vec(name, 1..4).prop_map(|names| names.join("\\"))
}

fn any_name() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["", "v", "V", "w", "Ä"]).prop_map(str::to_owned)
}

fn any_step() -> impl Strategy<Value = Step> {
    let data = proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        3 => any_path().prop_map(Step::Create),
        2 => any_path().prop_map(Step::Delete),
        4 => (any_path(), any_name(), 0..12_u32, data).prop_map(|(path, name, kind, data)| {
            Step::Set(path, name, kind, data)
        }),
        1 => (any_path(), any_name()).prop_map(|(path, name)| Step::Remove(path, name)),
    ]
}

/// Values in the order of their making: name, type, data.
type Values = Vec<(String, u32, Vec<u8>)>;
/// Keys by their paths in upper case, each with its name as it was made.
type Model = BTreeMap<String, (String, Values)>;

fn upper(text: &str) -> String {
    text.to_uppercase()
}

fn place(values: &Values, name: &str) -> Option<usize> {
    values
        .iter()
        .position(|value| upper(&value.0) == upper(name))
}

fn step(guest: &mut Guest, root: u64, model: &mut Model, step: Step) {
    match step {
        Step::Create(path) => {
            let key = upper(&path);
            let (parent, name) = path.rsplit_once('\\').unwrap_or(("", &path));
            let created = guest.create(root, &path, 0);
            if model.contains_key(&key) {
                let (handle, is_new) = created.unwrap();
                assert!(!is_new);
                guest.close(handle);
            } else if parent.is_empty() || model.contains_key(&upper(parent)) {
                let (handle, is_new) = created.unwrap();
                assert!(is_new);
                guest.close(handle);
                model.insert(key, (name.to_owned(), Vec::new()));
            } else {
                assert_eq!(created, Err(NAME_NOT_FOUND));
            }
        }
        Step::Delete(path) => {
            let key = upper(&path);
            let opened = guest.open(root, &path);
            assert_eq!(opened.is_ok(), model.contains_key(&key));
            let Ok(handle) = opened else {
                return;
            };
            let below = format!("{key}\\");
            let has_keys = model.keys().any(|other| other.starts_with(&below));
            let status = guest.status("ZwDeleteKey", &[handle]);
            assert_eq!(status, if has_keys { CANNOT_DELETE } else { SUCCESS });
            if !has_keys {
                model.remove(&key);
            }
            guest.close(handle);
        }
        Step::Set(path, name, kind, data) => {
            let Ok(handle) = guest.open(root, &path) else {
                assert!(!model.contains_key(&upper(&path)));
                return;
            };
            assert_eq!(guest.set(handle, &name, kind, &data), SUCCESS);
            guest.close(handle);
            let values = &mut model.get_mut(&upper(&path)).unwrap().1;
            match place(values, &name) {
                Some(at) => values[at] = (values[at].0.clone(), kind, data),
                None => values.push((name, kind, data)),
            }
        }
        Step::Remove(path, name) => {
            let Ok(handle) = guest.open(root, &path) else {
                return;
            };
            let string = guest.string(&name);
            let status = guest.status("ZwDeleteValueKey", &[handle, string]);
            guest.close(handle);
            let values = &mut model.get_mut(&upper(&path)).unwrap().1;
            let at = place(values, &name);
            assert_eq!(
                status,
                if at.is_some() {
                    SUCCESS
                } else {
                    NAME_NOT_FOUND
                }
            );
            at.map(|at| values.remove(at));
        }
    }
}

fn compare(guest: &mut Guest, root: u64, model: &Model) {
    for (path, (_, values)) in model {
        guest.used = 0;
        let key = guest.open(root, path).unwrap();
        let names: Vec<&String> = values.iter().map(|value| &value.0).collect();
        assert_eq!(guest.values(key).iter().collect::<Vec<_>>(), names);
        for (name, kind, data) in values {
            assert_eq!(guest.value(key, name), Ok((*kind, data.clone())));
        }
        let below = format!("{path}\\");
        let keys = model.iter().filter_map(|(other, (name, _))| {
            let rest = other.strip_prefix(&below)?;
            (!rest.contains('\\')).then_some(name)
        });
        assert_eq!(
            guest.keys(key).iter().collect::<Vec<_>>(),
            keys.collect::<Vec<_>>()
        );
        guest.close(key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_is_a_map(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut guest = Guest::new();
        let root = guest.open(0, ROOT).unwrap();
        let mut model = Model::new();
        for one in steps {
            guest.used = 0;
            step(&mut guest, root, &mut model, one);
        }
        compare(&mut guest, root, &model);
    }
}
