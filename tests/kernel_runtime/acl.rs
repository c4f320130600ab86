//! Access control lists. Microsoft's pages of `RtlCreateAcl`, `RtlAddAccessAllowedAce`,
//! `RtlAddAccessAllowedAceEx`, `RtlAddAce`, `RtlDeleteAce`, `RtlGetAce` (ntifs.h), with the statuses that each
//! lists; layouts of `ACL` and `ACCESS_ALLOWED_ACE`.

use crate::guest::*;
use crate::sid::{Sid, any_sid};
use proptest::prelude::*;

const ALLOTTED_SPACE_EXCEEDED: u32 = 0xc000_0099;

fn ace(flags: u8, mask: u32, sid: &Sid) -> Vec<u8> {
    let sid = sid.bytes();
    let mut ace = vec![0, flags];
    ace.extend((8 + sid.len() as u16).to_le_bytes());
    ace.extend(mask.to_le_bytes());
    ace.extend(sid);
    ace
}

#[track_caller]
fn holds(guest: &mut Guest, acl: u64, revision: u8, size: u16, aces: &[Vec<u8>]) {
    let header = [
        &[revision, 0][..],
        &size.to_le_bytes(),
        &(aces.len() as u16).to_le_bytes(),
        &[0, 0],
    ];
    let expected = [header.concat(), aces.concat()].concat();
    assert_eq!(guest.bytes(acl, expected.len()), expected);
    assert!(guest.boolean("RtlValidAcl", &[acl]));
    let out = guest.room(8);
    for (i, ace) in aces.iter().enumerate() {
        assert_eq!(guest.ulong("RtlGetAce", &[acl, i as u64, out]), SUCCESS);
        assert_eq!(guest.bytes(guest.u64(out), ace.len()), *ace);
    }
    assert_eq!(
        guest.ulong("RtlGetAce", &[acl, aces.len() as u64, out]),
        INVALID_PARAMETER
    );
}

#[derive(Clone, Debug)]
enum Step {
    Allow(u32, Sid),
    AllowEx(u8, u32, Sid),
    Add(u64, Vec<(u32, Sid)>),
    Delete(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let index = prop_oneof![0..6u64, Just(0xffff_ffff)];
    let list = proptest::collection::vec((any::<u32>(), any_sid()), 1..3);
    prop_oneof![
        (any::<u32>(), any_sid()).prop_map(|(mask, sid)| Step::Allow(mask, sid)),
        (0..0x20u8, any::<u32>(), any_sid())
            .prop_map(|(flags, mask, sid)| Step::AllowEx(flags, mask, sid)),
        (index, list).prop_map(|(index, list)| Step::Add(index, list)),
        (0..6usize).prop_map(Step::Delete),
    ]
}

#[test]
fn entries_added_and_deleted() {
    let steps = proptest::collection::vec(any_step(), 0..12);
    property(100, (8..300u16, steps), |guest, (size, steps)| {
        let acl = guest.room(size.into());
        assert_eq!(guest.ulong("RtlCreateAcl", &[acl, size.into(), 2]), SUCCESS);
        let mut aces: Vec<Vec<u8>> = Vec::new();
        for step in steps {
            let used = 8 + aces.concat().len();
            let fits = |more: usize| used + more <= usize::from(size);
            match step {
                Step::Allow(mask, sid) => {
                    let (new, sid) = (ace(0, mask, &sid), guest.put(&sid.bytes()));
                    let status = guest.ulong("RtlAddAccessAllowedAce", &[acl, 2, mask.into(), sid]);
                    let expected = if fits(new.len()) {
                        SUCCESS
                    } else {
                        ALLOTTED_SPACE_EXCEEDED
                    };
                    assert_eq!(status, expected);
                    aces.extend((status == SUCCESS).then_some(new));
                }
                Step::AllowEx(flags, mask, sid) => {
                    let (new, sid) = (ace(flags, mask, &sid), guest.put(&sid.bytes()));
                    let arguments = [acl, 2, flags.into(), mask.into(), sid];
                    let status = guest.ulong("RtlAddAccessAllowedAceEx", &arguments);
                    let expected = if fits(new.len()) {
                        SUCCESS
                    } else {
                        ALLOTTED_SPACE_EXCEEDED
                    };
                    assert_eq!(status, expected);
                    aces.extend((status == SUCCESS).then_some(new));
                }
                Step::Add(index, list) => {
                    let new: Vec<Vec<u8>> =
                        list.iter().map(|(mask, sid)| ace(0, *mask, sid)).collect();
                    let bytes = new.concat();
                    let list = guest.put(&bytes);
                    let status =
                        guest.ulong("RtlAddAce", &[acl, 2, index, list, bytes.len() as u64]);
                    let expected = if fits(bytes.len()) {
                        SUCCESS
                    } else {
                        BUFFER_TOO_SMALL
                    };
                    assert_eq!(status, expected);
                    if status == SUCCESS {
                        let at = aces.len().min(index as usize);
                        aces.splice(at..at, new);
                    }
                }
                Step::Delete(index) => {
                    let status = guest.ulong("RtlDeleteAce", &[acl, index as u64]);
                    if index < aces.len() {
                        aces.remove(index);
                        assert_eq!(status, SUCCESS);
                    } else {
                        assert_eq!(status, INVALID_PARAMETER);
                    }
                }
            }
            holds(guest, acl, 2, size, &aces);
        }
    });
}

#[test]
fn statuses() {
    let mut guest = Guest::new();
    let everyone = Sid {
        authority: 1,
        parts: vec![0],
    };
    let (acl, sid) = (guest.room(0x40), guest.put(&everyone.bytes()));
    for (length, revision, status) in [
        (7, 2, BUFFER_TOO_SMALL),
        (8, 1, INVALID_PARAMETER),
        (8, 5, INVALID_PARAMETER),
        (0x10000, 2, INVALID_PARAMETER),
        (0x40, 2, SUCCESS),
    ] {
        assert_eq!(
            guest.ulong("RtlCreateAcl", &[acl, length, revision]),
            status
        );
    }
    let name = "RtlAddAccessAllowedAceEx";
    assert_eq!(guest.ulong(name, &[acl, 1, 0, 1, sid]), 0xc000_0059);
    assert_eq!(
        guest.ulong(name, &[acl, 2, 0x20, 1, sid]),
        INVALID_PARAMETER
    );
    assert_eq!(guest.ulong(name, &[acl, 2, 0, 1, acl]), 0xc000_0078);
    // a higher revision becomes the list's own
    assert_eq!(guest.ulong(name, &[acl, 4, 0, 1, sid]), SUCCESS);
    holds(&mut guest, acl, 4, 0x40, &[ace(0, 1, &everyone)]);
    // no entries, or not whole ones
    let list = guest.put(&ace(0, 1, &everyone));
    for length in [0, 3, 8, 19] {
        let status = guest.ulong("RtlAddAce", &[acl, 2, 0, list, length]);
        assert_eq!(status, INVALID_PARAMETER, "{length}");
    }
    assert_eq!(
        guest.ulong("RtlAddAce", &[acl, 9, 0, list, 20]),
        INVALID_PARAMETER
    );
}

/// Lists whose sizes lie: nothing is read or written outside of them.
#[test]
fn hostile_lists() {
    let bytes = proptest::collection::vec(prop_oneof![0..12u8, any::<u8>()], 0x40);
    property(
        400,
        (bytes, 0..0x60u16, 0..6u16),
        |guest, (mut bytes, size, count)| {
            let everyone = Sid {
                authority: 1,
                parts: vec![0],
            };
            bytes[..6].copy_from_slice(&[2, 0, size as u8, 0, count as u8, 0]);
            let size = usize::from(size.min(0x40));
            bytes[2] = size as u8;
            let (acl, sid, out) = (
                guest.put(&bytes),
                guest.put(&everyone.bytes()),
                guest.room(8),
            );
            // walk the entries as they say they are
            let mut at = 8;
            let mut valid = size >= 8;
            for _ in 0..count {
                let length = bytes.get(at + 2..at + 4).map_or(0, |length| {
                    usize::from(u16::from_le_bytes([length[0], length[1]]))
                });
                valid &= at + 4 <= size && length >= 4 && at + length <= size;
                if !valid {
                    break;
                }
                at += length;
            }
            assert_eq!(guest.boolean("RtlValidAcl", &[acl]), valid);
            let list = guest.put(&ace(0, 1, &everyone));
            if !valid {
                assert_eq!(
                    guest.ulong("RtlAddAccessAllowedAce", &[acl, 2, 1, sid]),
                    0xc000_0077
                );
                assert_eq!(
                    guest.ulong("RtlAddAce", &[acl, 2, 0, list, 20]),
                    INVALID_PARAMETER
                );
                assert_eq!(guest.ulong("RtlDeleteAce", &[acl, 0]), INVALID_PARAMETER);
                assert_eq!(guest.bytes(acl, 0x40), bytes);
            }
            for index in 0..7 {
                let status = guest.ulong("RtlGetAce", &[acl, index, out]);
                if status == SUCCESS {
                    assert!(guest.u64(out) - acl + 4 <= size as u64);
                }
            }
        },
    );
}
