//! Generic tables of splay trees against a sorted map and the order of insertion. Microsoft's pages of
//! `RtlInitializeGenericTable`, `RtlInsertElementGenericTable`, `RtlEnumerateGenericTable`,
//! `RtlGetElementGenericTable` (ntddk.h); layout of `RTL_GENERIC_TABLE`.

use crate::guest::*;
use crate::table_guest::*;

const TABLE: usize = 0x48;
const DATA: u64 = 0x28;

/// The keys of a splay tree in order, with its links checked; its root is its own parent.
fn walk(guest: &Guest, links: u64, parent: u64, keys: &mut Vec<u32>) {
    if links == 0 {
        return;
    }
    assert_eq!(guest.u64(links), parent);
    walk(guest, guest.u64(links + 8), links, keys);
    keys.push(guest.u32(links + DATA));
    walk(guest, guest.u64(links + 16), links, keys);
}

/// The elements in the order of their insertion: the list's head is at 8, the entries behind the links.
fn inserted(guest: &Guest, table: u64) -> Vec<u32> {
    let mut keys = Vec::new();
    let mut entry = guest.u64(table + 8);
    while entry != table + 8 {
        keys.push(guest.u32(entry + 0x10));
        assert_eq!(guest.u64(guest.u64(entry) + 8), entry);
        entry = guest.u64(entry);
    }
    keys
}

#[track_caller]
fn check(guest: &mut Guest, table: u64, model: &Model, order: &[u32]) {
    let (mut keys, root) = (Vec::new(), guest.u64(table));
    walk(guest, root, root, &mut keys);
    assert_eq!(keys, model.keys().copied().collect::<Vec<_>>());
    assert_eq!(inserted(guest, table), order);
    let count = guest.ulong("RtlNumberGenericTableElements", &[table]);
    assert_eq!(count, model.len() as u32);
    let empty = guest.boolean("RtlIsGenericTableEmpty", &[table]);
    assert_eq!(empty, model.is_empty());
}

fn read(guest: &Guest, at: u64) -> Option<(u32, u64)> {
    (at != 0).then(|| (guest.u32(at), guest.u64(at + 4)))
}

/// What was found last is the root.
#[track_caller]
fn is_root(guest: &Guest, table: u64, at: u64) {
    assert_eq!(guest.u64(table), at - DATA);
}

#[test]
fn like_a_sorted_map() {
    property(60, any_steps(), |guest, steps| {
        let table = Table::new(guest, "RtlInitializeGenericTable", TABLE).at;
        let before = outstanding(guest);
        let (buffer, new) = (guest.room(ELEMENT as usize), guest.room(1));
        let (mut model, mut order) = (Model::new(), Vec::new());
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    guest.write(buffer, &element(key, value));
                    let arguments = [table, buffer, ELEMENT, new];
                    let at = guest.call("RtlInsertElementGenericTable", &arguments);
                    let is_new = !model.contains_key(&key);
                    order.extend(is_new.then_some(key));
                    let held = *model.entry(key).or_insert(value);
                    assert_eq!(read(guest, at), Some((key, held)));
                    assert_eq!(guest.bytes(new, 1), [u8::from(is_new)]);
                    is_root(guest, table, at);
                }
                Step::Delete(key) => {
                    guest.write(buffer, &element(key, 0));
                    let deleted = guest.boolean("RtlDeleteElementGenericTable", &[table, buffer]);
                    assert_eq!(deleted, model.remove(&key).is_some());
                    order.retain(|at| *at != key);
                }
                Step::Lookup(key) => {
                    guest.write(buffer, &element(key, 0));
                    let at = guest.call("RtlLookupElementGenericTable", &[table, buffer]);
                    assert_eq!(read(guest, at), model.get(&key).map(|value| (key, *value)));
                    if at != 0 {
                        is_root(guest, table, at);
                    }
                }
                // in the order of insertion
                Step::Get(first) => {
                    for index in [first, first.saturating_sub(1), first, first + 1] {
                        let at = guest.call("RtlGetElementGenericTable", &[table, index.into()]);
                        let expected = order.get(index as usize);
                        assert_eq!(read(guest, at), expected.map(|key| (*key, model[key])));
                    }
                }
                Step::Enumerate | Step::Next => {
                    let mut all = Vec::new();
                    let mut at = guest.call("RtlEnumerateGenericTable", &[table, 1]);
                    while let Some(element) = read(guest, at) {
                        is_root(guest, table, at);
                        all.push(element);
                        at = guest.call("RtlEnumerateGenericTable", &[table, 0]);
                    }
                    assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
                }
            }
            check(guest, table, &model, &order);
        }
        // the element, the links, the pool's header, in units of 16
        let (count, bytes) = (model.len() as u32, 80 * model.len() as u64);
        assert_eq!(outstanding(guest), (before.0 + count, before.1 + bytes));
        let (key, root) = (guest.put(&[0; 8]), guest.u64(table));
        let mut all = Vec::new();
        loop {
            let at = guest.call("RtlEnumerateGenericTableWithoutSplaying", &[table, key]);
            match read(guest, at) {
                Some(element) => all.push(element),
                None => break,
            }
        }
        assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(guest.u64(table), root);
        for key in model.keys() {
            guest.write(buffer, &element(*key, 0));
            assert!(guest.boolean("RtlDeleteElementGenericTable", &[table, buffer]));
        }
        check(guest, table, &Model::new(), &[]);
        assert_eq!(outstanding(guest), before);
    });
}

#[test]
fn found_once_inserted_later() {
    let mut guest = Guest::new();
    let table = Table::new(&mut guest, "RtlInitializeGenericTable", TABLE);
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
            "RtlLookupElementGenericTableFull",
            &[table.at, buffer, node, result],
        );
        assert_eq!(
            (guest.u32(result), found != 0),
            (expected, expected == FOUND_NODE)
        );
        let parent = guest.u64(node);
        let arguments = [table.at, buffer, ELEMENT, new, parent, expected.into()];
        let at = guest.call("RtlInsertElementGenericTableFull", &arguments);
        assert_eq!(read(&guest, at), Some((key, 9)));
        assert_eq!(guest.bytes(new, 1), [u8::from(expected != FOUND_NODE)]);
    }
    let model = Model::from([(3, 9), (5, 9), (8, 9)]);
    check(&mut guest, table.at, &model, &[5, 3, 8]);
    table.exhaust(&mut guest);
    guest.write(buffer, &element(4, 9));
    let at = guest.call(
        "RtlInsertElementGenericTable",
        &[table.at, buffer, ELEMENT, new],
    );
    assert_eq!((at, guest.bytes(new, 1)), (0, vec![0]));
    check(&mut guest, table.at, &model, &[5, 3, 8]);
}
