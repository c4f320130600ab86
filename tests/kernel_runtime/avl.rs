//! Generic tables of AVL trees against a sorted map. Microsoft's pages of `RtlInitializeGenericTableAvl`,
//! `RtlInsertElementGenericTableAvl`, `RtlEnumerateGenericTableAvl`, `RtlGetElementGenericTableAvl`,
//! `RtlEnumerateGenericTableLikeADirectory` (ntddk.h); layouts of `RTL_AVL_TABLE` and `RTL_BALANCED_LINKS`.

use crate::guest::*;
use crate::table_guest::*;

const TABLE: usize = 0x68;
const LINKS: u64 = 0x20;

/// A tree's depth; its links, balances and order are as they should be, and its keys go to the list.
fn walk(guest: &Guest, links: u64, parent: u64, keys: &mut Vec<u32>) -> u32 {
    if links == 0 {
        return 0;
    }
    assert_eq!(guest.u64(links), parent);
    let left = walk(guest, guest.u64(links + 8), links, keys);
    keys.push(guest.u32(links + LINKS));
    let right = walk(guest, guest.u64(links + 16), links, keys);
    let balance = guest.bytes(links + 24, 1)[0] as i8;
    assert_eq!(i64::from(balance), i64::from(right) - i64::from(left));
    assert!((-1..=1).contains(&balance));
    left.max(right) + 1
}

#[track_caller]
fn check(guest: &mut Guest, table: u64, model: &Model) {
    let mut keys = Vec::new();
    assert_eq!((guest.u64(table), guest.u64(table + 8)), (table, 0));
    let depth = walk(guest, guest.u64(table + 16), table, &mut keys);
    assert_eq!(guest.u32(table + 0x30), depth);
    assert_eq!(keys, model.keys().copied().collect::<Vec<_>>());
    let count = guest.ulong("RtlNumberGenericTableElementsAvl", &[table]);
    assert_eq!(
        (count, guest.u32(table + 0x2c)),
        (model.len() as u32, model.len() as u32)
    );
    let empty = guest.boolean("RtlIsGenericTableEmptyAvl", &[table]);
    assert_eq!(empty, model.is_empty());
}

/// An element's key and value, unless there is none.
fn read(guest: &Guest, at: u64) -> Option<(u32, u64)> {
    (at != 0).then(|| (guest.u32(at), guest.u64(at + 4)))
}

#[test]
fn like_a_sorted_map() {
    property(60, any_steps(), |guest, steps| {
        let table = Table::new(guest, "RtlInitializeGenericTableAvl", TABLE).at;
        let before = outstanding(guest);
        let (buffer, new) = (guest.room(ELEMENT as usize), guest.room(1));
        let mut model = Model::new();
        let mut last: Option<u32> = None;
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    guest.write(buffer, &element(key, value));
                    let arguments = [table, buffer, ELEMENT, new];
                    let at = guest.call("RtlInsertElementGenericTableAvl", &arguments);
                    let is_new = !model.contains_key(&key);
                    let held = *model.entry(key).or_insert(value);
                    assert_eq!(read(guest, at), Some((key, held)));
                    assert_eq!(guest.bytes(new, 1), [u8::from(is_new)]);
                }
                Step::Delete(key) => {
                    guest.write(buffer, &element(key, 0));
                    let deleted =
                        guest.boolean("RtlDeleteElementGenericTableAvl", &[table, buffer]);
                    assert_eq!(deleted, model.remove(&key).is_some());
                    // an enumeration goes on behind the one before
                    if deleted && last == Some(key) {
                        last = model.range(..key).next_back().map(|(key, _)| *key);
                    }
                }
                Step::Lookup(key) => {
                    guest.write(buffer, &element(key, 0));
                    let at = guest.call("RtlLookupElementGenericTableAvl", &[table, buffer]);
                    assert_eq!(read(guest, at), model.get(&key).map(|value| (key, *value)));
                }
                Step::Get(first) => {
                    for index in [first, first.saturating_sub(1), first, first + 1] {
                        let at = guest.call("RtlGetElementGenericTableAvl", &[table, index.into()]);
                        let expected = model.iter().nth(index as usize);
                        assert_eq!(read(guest, at), expected.map(|(key, value)| (*key, *value)));
                    }
                }
                Step::Enumerate | Step::Next => {
                    let restart = matches!(step, Step::Enumerate);
                    let at = guest.call("RtlEnumerateGenericTableAvl", &[table, restart.into()]);
                    let next = match last.filter(|_| !restart) {
                        Some(last) => model.range(last..).find(|(key, _)| **key > last),
                        None => model.iter().next(),
                    };
                    assert_eq!(read(guest, at), next.map(|(key, value)| (*key, *value)));
                    if let Some((key, _)) = next {
                        last = Some(*key);
                    } else if restart {
                        last = None;
                    }
                }
            }
            check(guest, table, &model);
        }
        // the element, the links, the pool's header, in units of 16
        let (count, bytes) = (model.len() as u32, 64 * model.len() as u64);
        assert_eq!(outstanding(guest), (before.0 + count, before.1 + bytes));
        let key = guest.put(&[0; 8]);
        let mut all = Vec::new();
        loop {
            let at = guest.call("RtlEnumerateGenericTableWithoutSplayingAvl", &[table, key]);
            match read(guest, at) {
                Some(element) => all.push(element),
                None => break,
            }
        }
        assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        for key in model.keys() {
            guest.write(buffer, &element(*key, 0));
            assert!(guest.boolean("RtlDeleteElementGenericTableAvl", &[table, buffer]));
        }
        check(guest, table, &Model::new());
        assert_eq!(outstanding(guest), before);
    });
}

/// Keys in order, the worst for a tree without balance.
#[test]
fn a_thousand_in_order() {
    let mut guest = Guest::new();
    let table = Table::new(&mut guest, "RtlInitializeGenericTableAvl", TABLE).at;
    let buffer = guest.room(ELEMENT as usize);
    let mut model = Model::new();
    for key in 0..1000 {
        guest.write(buffer, &element(key, 1));
        guest.call(
            "RtlInsertElementGenericTableAvl",
            &[table, buffer, ELEMENT, 0],
        );
        model.insert(key, 1);
    }
    check(&mut guest, table, &model);
    assert_eq!(guest.u32(table + 0x30), 10);
    for key in (0..1000).filter(|key| key % 7 != 0) {
        guest.write(buffer, &element(key, 1));
        assert!(guest.boolean("RtlDeleteElementGenericTableAvl", &[table, buffer]));
        model.remove(&key);
    }
    check(&mut guest, table, &model);
    assert!(guest.u32(table + 0x30) <= 10);
}

#[test]
fn found_once_inserted_later() {
    let mut guest = Guest::new();
    let table = Table::new(&mut guest, "RtlInitializeGenericTableAvl", TABLE);
    let [node, result] = [8, 4].map(|bytes| guest.room(bytes));
    let (buffer, new) = (guest.room(ELEMENT as usize), guest.room(1));
    for (key, expected) in [
        (5, EMPTY_TREE),
        (3, INSERT_AS_LEFT),
        (8, INSERT_AS_RIGHT),
        (8, FOUND_NODE),
    ] {
        guest.write(buffer, &element(key, 9));
        let found = guest.call(
            "RtlLookupElementGenericTableFullAvl",
            &[table.at, buffer, node, result],
        );
        assert_eq!(
            (guest.u32(result), found != 0),
            (expected, expected == FOUND_NODE)
        );
        let parent = guest.u64(node);
        let arguments = [table.at, buffer, ELEMENT, new, parent, expected.into()];
        let at = guest.call("RtlInsertElementGenericTableFullAvl", &arguments);
        assert_eq!(read(&guest, at), Some((key, 9)));
        assert_eq!(guest.bytes(new, 1), [u8::from(expected != FOUND_NODE)]);
    }
    check(&mut guest, table.at, &Model::from([(3, 9), (5, 9), (8, 9)]));
    // no memory: nothing is inserted
    table.exhaust(&mut guest);
    guest.write(buffer, &element(4, 9));
    let at = guest.call(
        "RtlInsertElementGenericTableAvl",
        &[table.at, buffer, ELEMENT, new],
    );
    assert_eq!((at, guest.bytes(new, 1)), (0, vec![0]));
    check(&mut guest, table.at, &Model::from([(3, 9), (5, 9), (8, 9)]));
}

/// Elements that compare equal cannot be inserted, but a comparison may be changed, as callers do that look
/// for a prefix: here by the high half of the key.
#[test]
fn the_first_of_those_that_match() {
    let mut guest = Guest::new();
    let table = Table::new(&mut guest, "RtlInitializeGenericTableAvl", TABLE).at;
    let buffer = guest.room(ELEMENT as usize);
    for key in 0..40u32 {
        guest.write(buffer, &element(((key / 8) << 16) | (key % 8), 0));
        guest.call(
            "RtlInsertElementGenericTableAvl",
            &[table, buffer, ELEMENT, 0],
        );
    }
    // mov ax, [rdx+2]; cmp ax, [r8+2]; and the rest as before
    let half = [0x66, 0x8b, 0x42, 2, 0x66, 0x41, 0x3b, 0x40, 2];
    let rest = [
        0xb8, 2, 0, 0, 0, 0x74, 12, 0xb8, 0, 0, 0, 0, 0x72, 5, 0xb8, 1, 0, 0, 0, 0xc3,
    ];
    let compare = guest.put(&[&half[..], &rest].concat());
    guest.write(table + 0x48, &compare.to_le_bytes());
    let restart = guest.room(8);
    for part in 0..6 {
        guest.write(buffer, &element(part << 16 | 99, 0));
        let arguments = [table, buffer, restart];
        let at = guest.call("RtlLookupFirstMatchingElementGenericTableAvl", &arguments);
        assert_eq!(read(&guest, at), (part < 5).then_some((part << 16, 0)));
        if part < 4 {
            let next = guest.call(
                "RtlEnumerateGenericTableWithoutSplayingAvl",
                &[table, restart],
            );
            assert_eq!(read(&guest, next), Some((part << 16 | 1, 0)));
        }
    }
}

/// The page's loop: a restart key, and after a deletion the buffer says where to go on.
#[test]
fn like_a_directory() {
    const NO_MATCH: u32 = 0xc000_0272;
    const NO_MORE_MATCHES: u32 = 0xc000_0273;
    let mut guest = Guest::new();
    let table = Table::new(&mut guest, "RtlInitializeGenericTableAvl", TABLE).at;
    let [buffer, restart, deletions] = [ELEMENT as usize, 8, 4].map(|bytes| guest.room(bytes));
    for key in (0..20).map(|key| 10 * key) {
        guest.write(buffer, &element(key, key.into()));
        guest.call(
            "RtlInsertElementGenericTableAvl",
            &[table, buffer, ELEMENT, 0],
        );
    }
    // odd tens do not match, and from the match data on nothing does:
    // mov eax, [rdx]; cmp eax, r8d; mov ecx, NO_MORE_MATCHES; jae out
    // xor edx, edx; mov ecx, 20; div ecx; mov ecx, NO_MATCH; test edx, edx; jnz out; xor ecx, ecx
    // out: mov eax, ecx; ret
    let matching = [
        &[0x8b, 0x02, 0x44, 0x39, 0xc0, 0xb9][..],
        &NO_MORE_MATCHES.to_le_bytes(),
        &[0x73, 20, 0x31, 0xd2, 0xb9, 20, 0, 0, 0, 0xf7, 0xf1, 0xb9],
        &NO_MATCH.to_le_bytes(),
        &[0x85, 0xd2, 0x75, 2, 0x31, 0xc9, 0x89, 0xc8, 0xc3],
    ];
    let matching = guest.put(&matching.concat());
    let enumerate = |guest: &mut Guest, from: u32, function: u64, delete: Option<u32>| {
        let mut keys = Vec::new();
        guest.write(buffer, &element(from, 0));
        guest.write(restart, &[0; 8]);
        guest.write(deletions, &[0; 4]);
        for next in 0.. {
            let arguments = [
                table,
                function,
                150,
                u64::from(next > 0),
                restart,
                deletions,
                buffer,
            ];
            let at = guest.call("RtlEnumerateGenericTableLikeADirectory", &arguments);
            let Some((key, _)) = read(guest, at) else {
                break;
            };
            keys.push(key);
            if delete == Some(key) {
                guest.write(buffer, &element(key, 0));
                assert!(guest.boolean("RtlDeleteElementGenericTableAvl", &[table, buffer]));
            }
            guest.write(buffer, &element(key, 0));
        }
        keys
    };
    let tens = |from: u32, to: u32, step: usize| (from..to).step_by(step).collect::<Vec<_>>();
    assert_eq!(enumerate(&mut guest, 0, 0, None), tens(0, 200, 10));
    assert_eq!(enumerate(&mut guest, 85, 0, None), tens(90, 200, 10));
    assert!(enumerate(&mut guest, 201, 0, None).is_empty());
    assert_eq!(enumerate(&mut guest, 0, matching, None), tens(0, 150, 20));
    assert_eq!(enumerate(&mut guest, 0, 0, Some(70)), tens(0, 200, 10));
    assert_eq!(
        enumerate(&mut guest, 0, 0, None),
        [tens(0, 70, 10), tens(80, 200, 10)].concat()
    );
}
