//! `RtlQueryRegistryValues`, by the WDK's page of that name.

use crate::guest::*;

const RELATIVE_ABSOLUTE: u64 = 0;
const RELATIVE_OPTIONAL: u64 = 0x8000_0000;
const SUBKEY: u64 = 1;
const TOPKEY: u64 = 2;
const REQUIRED: u64 = 4;
const NOVALUE: u64 = 8;
const NOEXPAND: u64 = 0x10;
const DIRECT: u64 = 0x20;
const DELETE: u64 = 0x40;
const PATH_NOT_FOUND: u32 = 0xc000_003a;

/// A query routine: appends type, length, the first eight bytes of the data, and the entry's context to
/// the list that the context is. The list begins with its length.
const ROUTINE: &[u8] = &[
    0x48, 0x8b, 0x44, 0x24, 0x28, // mov rax, [rsp+28h]
    0x4c, 0x8b, 0x10, // mov r10, [rax]
    0x48, 0xff, 0x00, // inc qword ptr [rax]
    0x49, 0xc1, 0xe2, 5, // shl r10, 5
    0x4c, 0x01, 0xd0, // add rax, r10
    0x89, 0x50, 8, // mov [rax+8], edx
    0x44, 0x89, 0x48, 0x10, // mov [rax+10h], r9d
    0x4d, 0x85, 0xc0, // test r8, r8
    0x74, 7, // je over the next two
    0x4d, 0x8b, 0x18, // mov r11, [r8]
    0x4c, 0x89, 0x58, 0x18, // mov [rax+18h], r11
    0x4c, 0x8b, 0x5c, 0x24, 0x30, // mov r11, [rsp+30h]
    0x4c, 0x89, 0x58, 0x20, // mov [rax+20h], r11
    0x31, 0xc0, 0xc3, // xor eax, eax; ret
];

/// What the routine has been called with.
type Given = (u32, u32, u64, u64);

struct Query {
    guest: Guest,
    routine: u64,
    key: u64,
    table: Vec<u8>,
}

impl Query {
    /// A key with a value of each kind, and a key in it.
    fn new() -> Query {
        let mut guest = Guest::new();
        let routine = guest.put(ROUTINE);
        let key = guest.open(0, ROOT).unwrap();
        assert_eq!(guest.set(key, "Number", 4, &7_u32.to_le_bytes()), SUCCESS);
        assert_eq!(guest.set(key, "Text", 1, &units("abc\0")), SUCCESS);
        assert_eq!(guest.set(key, "Texts", 7, &units("ab\0c\0\0")), SUCCESS);
        let (below, _) = guest.create(key, "Below", 0).unwrap();
        assert_eq!(guest.set(below, "Deep", 3, b"12345678"), SUCCESS);
        Query {
            guest,
            routine,
            key,
            table: Vec::new(),
        }
    }

    fn zero_terminated(&mut self, text: Option<&str>) -> u64 {
        text.map_or(0, |text| self.guest.put(&units(&format!("{text}\0"))))
    }

    /// An entry of the table (`RTL_QUERY_REGISTRY_TABLE`).
    fn entry(&mut self, flags: u64, name: Option<&str>, context: u64, default: (u64, u64, u64)) {
        let name = self.zero_terminated(name);
        let routine = if flags & DIRECT == 0 { self.routine } else { 0 };
        let (kind, data, length) = default;
        let fields = [routine, flags, name, context, kind, data, length];
        self.table.extend(words(&fields));
    }

    fn ask_at(&mut self, relative: u64, path: &str) -> (u32, Vec<Given>) {
        let path = self.zero_terminated(Some(path));
        self.table.extend(words(&[0; 7]));
        let table = std::mem::take(&mut self.table);
        let table = self.guest.put(&table);
        let list = self.guest.put(&[0; 0x100]);
        let call = [relative, path, table, list, 0];
        let status = self.guest.status("RtlQueryRegistryValues", &call);
        let given = (0..self.guest.u64(list)).map(|number| {
            let at = list + number * 32;
            let numbers = [8, 0x10].map(|offset| self.guest.u32(at + offset));
            let words = [0x18, 0x20].map(|offset| self.guest.u64(at + offset));
            (numbers[0], numbers[1], words[0], words[1])
        });
        (status, given.collect())
    }

    fn ask(&mut self) -> (u32, Vec<Given>) {
        self.ask_at(RELATIVE_ABSOLUTE, ROOT)
    }
}

const NONE: (u64, u64, u64) = (0, 0, 0);

fn first(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let length = bytes.len().min(8);
    word[..length].copy_from_slice(&bytes[..length]);
    u64::from_le_bytes(word)
}

#[test]
fn routines_get_values() {
    let mut query = Query::new();
    query.entry(0, Some("text"), 11, NONE);
    query.entry(NOVALUE, None, 12, NONE);
    let text = (1, 8, first(&units("abc\0")), 11);
    assert_eq!(query.ask(), (SUCCESS, vec![text, (0, 0, 0, 12)]));
    // strings of strings are given one by one, unless asked for as they are
    query.entry(0, Some("Texts"), 13, NONE);
    query.entry(NOEXPAND, Some("Texts"), 14, NONE);
    let (status, given) = query.ask();
    assert_eq!(status, SUCCESS);
    let lengths: Vec<_> = given.iter().map(|one| (one.0, one.1, one.3)).collect();
    assert_eq!(lengths, [(1, 6, 13), (1, 4, 13), (7, 12, 14)]);
    assert_eq!(given[2].2, first(&units("ab\0c")));
}

#[test]
fn keys_below() {
    let mut query = Query::new();
    let deep = (3, 8, first(b"12345678"), 1);
    // of a key without a value's name all are given, and behind it values are its own
    query.entry(SUBKEY, Some("Below"), 1, NONE);
    query.entry(0, Some("Deep"), 1, NONE);
    query.entry(TOPKEY | REQUIRED, Some("Deep"), 1, NONE);
    assert_eq!(query.ask(), (NAME_NOT_FOUND, vec![deep, deep]));
    query.entry(SUBKEY, None, 1, NONE);
    assert_eq!(query.ask(), (INVALID_PARAMETER, vec![]));
}

#[test]
fn values_that_are_not_there() {
    let mut query = Query::new();
    let data = query.guest.put(b"default!");
    query.entry(0, Some("No"), 1, NONE);
    query.entry(0, Some("No"), 2, (3, data, 8));
    query.entry(REQUIRED, Some("No"), 3, (3, data, 8));
    let default = (3, 8, first(b"default!"), 2);
    assert_eq!(query.ask(), (NAME_NOT_FOUND, vec![default]));
    let nowhere = format!(r"{ROOT}\Nowhere");
    query.entry(0, Some("Number"), 1, NONE);
    let (status, given) = query.ask_at(RELATIVE_ABSOLUTE, &nowhere);
    assert!(
        [NAME_NOT_FOUND, PATH_NOT_FOUND].contains(&status),
        "{status:#x}"
    );
    assert_eq!(given, []);
    query.entry(0, Some("Number"), 1, NONE);
    assert_eq!(query.ask_at(RELATIVE_OPTIONAL, &nowhere), (SUCCESS, vec![]));
}

#[test]
fn values_are_stored_where_the_entry_says() {
    let mut query = Query::new();
    let number = query.guest.put(&[0xcc; 8]);
    let string = query.guest.put(&[0; 16]);
    query.entry(DIRECT, Some("Number"), number, NONE);
    query.entry(DIRECT, Some("Text"), string, NONE);
    assert_eq!(query.ask(), (SUCCESS, vec![]));
    assert_eq!(query.guest.u64(number), 0xcccc_cccc_0000_0007);
    // a string without a buffer gets one, with the zero that its length does not count
    assert_eq!(query.guest.u32(string), 0x0008_0006);
    let buffer = query.guest.u64(string + 8);
    assert_eq!(query.guest.bytes(buffer, 8), units("abc\0"));
    query.guest.status("ExFreePool", &[buffer]);
    // one with a buffer that is too short gets nothing
    let buffer = query.guest.put(&[0xcc; 16]);
    let short = query.guest.put(&words(&[0x0006_0000, buffer]));
    query.entry(DIRECT, Some("Text"), short, NONE);
    assert_eq!(query.ask().0, BUFFER_TOO_SMALL);
    assert_eq!(query.guest.bytes(buffer, 8), [0xcc; 8]);
}

/// The buffer says its size, and gets length and type in front of the data; or says it as a negative
/// number, and gets the data alone.
#[test]
fn longer_values_are_stored_in_two_ways() {
    for (size, expected) in [
        (16_i32, Some(words(&[0x3_0000_0008, first(b"12345678")]))),
        (15, None),
        (-8, Some(b"12345678".to_vec())),
        (-7, None),
    ] {
        let mut query = Query::new();
        let buffer = [&size.to_le_bytes()[..], &[0xcc; 28]].concat();
        let at = query.guest.put(&buffer);
        let below = format!(r"{ROOT}\Below");
        query.entry(DIRECT, Some("Deep"), at, NONE);
        let (status, _) = query.ask_at(RELATIVE_ABSOLUTE, &below);
        let bytes = query.guest.bytes(at, 32);
        match expected {
            Some(expected) => {
                assert_eq!(status, SUCCESS, "{size}");
                assert_eq!(bytes[..expected.len()], expected, "{size}");
                assert_eq!(bytes[expected.len()..], buffer[expected.len()..], "{size}");
            }
            None => assert_eq!((status, bytes), (BUFFER_TOO_SMALL, buffer), "{size}"),
        }
    }
}

#[test]
fn values_can_be_deleted() {
    let mut query = Query::new();
    query.entry(DELETE, Some("Number"), 1, NONE);
    assert_eq!(query.ask(), (SUCCESS, vec![(4, 4, 7, 1)]));
    let key = query.key;
    assert_eq!(query.guest.value(key, "Number"), Err(NAME_NOT_FOUND));
    assert!(query.guest.value(key, "Text").is_ok());
}
