//! What the tests of both kinds of generic table share: the caller's routines as code in the guest, and the
//! elements, which are a key of four bytes and eight more.

use crate::guest::*;
use poolhit::guest::pool::PoolKind;
use poolhit::tag::Tag;
use proptest::prelude::*;
use std::collections::BTreeMap;

const TAG: [u8; 4] = *b"TstG";

/// `TABLE_SEARCH_RESULT` of ntddk.h.
pub const EMPTY_TREE: u32 = 0;
pub const FOUND_NODE: u32 = 1;
pub const INSERT_AS_LEFT: u32 = 2;
pub const INSERT_AS_RIGHT: u32 = 3;

pub const ELEMENT: u64 = 12;

/// Compares two keys: `GenericLessThan` is 0, `GenericGreaterThan` 1, `GenericEqual` 2.
const COMPARE: &[u8] = &[
    0x8b, 0x02, // mov eax, [rdx]
    0x41, 0x3b, 0x00, // cmp eax, [r8]
    0xb8, 2, 0, 0, 0, 0x74, 12, // mov eax, 2; je
    0xb8, 0, 0, 0, 0, 0x72, 5, // mov eax, 0; jb
    0xb8, 1, 0, 0, 0, 0xc3, // mov eax, 1; ret
];

/// The caller's routines, and a table's structure.
pub struct Table {
    pub at: u64,
    pub allocate: u64,
}

impl Table {
    /// A table, initialized by a routine, of so many bytes.
    pub fn new(guest: &mut Guest, initialize: &str, bytes: usize) -> Table {
        let [pool, free] = ["ExAllocatePoolWithTag", "ExFreePoolWithTag"].map(|name| {
            guest
                .lab
                .kernel_function(name)
                .unwrap()
                .address()
                .0
                .to_le_bytes()
        });
        // mov r8d, TAG; mov edx, edx; xor ecx, ecx; mov rax, ExAllocatePoolWithTag; jmp rax
        let head = [
            &[0x41, 0xb8][..],
            &TAG,
            &[0x89, 0xd2, 0x31, 0xc9, 0x48, 0xb8],
            &pool,
        ];
        let allocate = guest.put(&[&head.concat()[..], &[0xff, 0xe0]].concat());
        // mov rcx, rdx; mov edx, TAG; mov rax, ExFreePoolWithTag; jmp rax
        let head = [&[0x48, 0x89, 0xd1, 0xba][..], &TAG, &[0x48, 0xb8], &free];
        let free = guest.put(&[&head.concat()[..], &[0xff, 0xe0]].concat());
        let compare = guest.put(COMPARE);
        let at = guest.room(bytes);
        guest.call(initialize, &[at, compare, allocate, free, 0x1234]);
        // the last fields are the routines and the context
        let last = at + bytes as u64 - 32;
        let fields = [0, 8, 16, 24].map(|field| guest.u64(last + field));
        assert_eq!(fields, [compare, allocate, free, 0x1234]);
        Table { at, allocate }
    }

    /// From now on there is no memory.
    pub fn exhaust(&self, guest: &mut Guest) {
        guest.write(self.allocate, &[0x31, 0xc0, 0xc3]); // xor eax, eax; ret
    }
}

/// Allocations of elements that have not been freed: how many, and their bytes with the pool's headers.
pub fn outstanding(guest: &Guest) -> (u32, u64) {
    let trackers = guest.lab.pool().unwrap().trackers().unwrap();
    let tag = Tag(u32::from_le_bytes(TAG));
    let tracker = trackers.iter().find(|tracker| tracker.tag == tag);
    tracker.map_or((0, 0), |tracker| {
        let used = tracker.in_pool(PoolKind::NonPaged);
        (used.outstanding(), used.bytes)
    })
}

pub fn element(key: u32, value: u64) -> Vec<u8> {
    [&key.to_le_bytes()[..], &value.to_le_bytes()].concat()
}

/// What a table should hold.
pub type Model = BTreeMap<u32, u64>;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Insert(u32, u64),
    Delete(u32),
    Lookup(u32),
    Get(u32),
    Enumerate,
    Next,
}

pub fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![0..24u32, (0..4u32).prop_map(|key| key << 30)];
    let step = prop_oneof![
        4 => (key(), any::<u64>()).prop_map(|(key, value)| Step::Insert(key, value)),
        3 => key().prop_map(Step::Delete),
        1 => key().prop_map(Step::Lookup),
        1 => (0..24u32).prop_map(Step::Get),
        1 => Just(Step::Enumerate),
        2 => Just(Step::Next),
    ];
    proptest::collection::vec(step, 0..60)
}
