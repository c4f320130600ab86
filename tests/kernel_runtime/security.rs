//! Security descriptors. Microsoft's pages of `RtlCreateSecurityDescriptor`, `RtlSetDaclSecurityDescriptor`,
//! `RtlGetDaclSecurityDescriptor`, `RtlSetOwnerSecurityDescriptor`, `RtlLengthSecurityDescriptor`,
//! `RtlAbsoluteToSelfRelativeSD`, `RtlSelfRelativeToAbsoluteSD`, `RtlValidRelativeSecurityDescriptor` (wdm.h,
//! ntifs.h), with the statuses that each lists; layouts and control bits of MS-DTYP 2.4.6.

use crate::guest::*;
use crate::sid::{Sid, any_sid};
use proptest::prelude::*;

const ABSOLUTE: usize = 0x28;
const RELATIVE: usize = 0x14;
const UNKNOWN_REVISION: u32 = 0xc000_0058;
const BAD_DESCRIPTOR_FORMAT: u32 = 0xc000_00e7;
const SELF_RELATIVE: u16 = 0x8000;

/// Owner, group, SACL, DACL: the order of their fields. The bits that say that they are there and that they
/// come from a default; a SID that is there has no bit.
const DEFAULTED: [u16; 4] = [1, 2, 0x20, 8];
const PRESENT: [u16; 4] = [0, 0, 0x10, 4];
const SET: [&str; 4] = [
    "RtlSetOwnerSecurityDescriptor",
    "RtlSetGroupSecurityDescriptor",
    "RtlSetSaclSecurityDescriptor",
    "RtlSetDaclSecurityDescriptor",
];
const GET: [&str; 4] = [
    "RtlGetOwnerSecurityDescriptor",
    "RtlGetGroupSecurityDescriptor",
    "RtlGetSaclSecurityDescriptor",
    "RtlGetDaclSecurityDescriptor",
];

/// A part's bytes, or none: a list may be present and be none. Then whether it comes from a default.
type Part = Option<(Option<Vec<u8>>, bool)>;

fn acl(size: u16) -> Vec<u8> {
    let mut acl = vec![0x77; size.into()];
    acl[..8].copy_from_slice(&[2, 0, size as u8, (size >> 8) as u8, 0, 0, 0, 0]);
    acl
}

fn any_parts() -> impl Strategy<Value = [Part; 4]> {
    let sid = || {
        let sid = proptest::option::of(any_sid().prop_map(|sid| sid.bytes()));
        proptest::option::of((sid, any::<bool>()))
    };
    let list = || {
        let acl = (8..40u16).prop_map(acl);
        proptest::option::of((proptest::option::of(acl), any::<bool>()))
    };
    (sid(), sid(), list(), list()).prop_map(|(a, b, c, d)| [a, b, c, d])
}

/// The bytes of each part that there is.
fn bytes(parts: &[Part; 4]) -> [Option<&Vec<u8>>; 4] {
    std::array::from_fn(|i| parts[i].as_ref().and_then(|part| part.0.as_ref()))
}

fn control(parts: &[Part; 4]) -> u16 {
    (0..4).fold(0, |control, i| match parts[i] {
        Some((_, defaulted)) => control | PRESENT[i] | if defaulted { DEFAULTED[i] } else { 0 },
        None => control,
    })
}

/// An absolute descriptor with these parts, and where they are.
fn absolute(guest: &mut Guest, parts: &[Part; 4]) -> (u64, [u64; 4]) {
    let descriptor = guest.room(ABSOLUTE);
    let create = "RtlCreateSecurityDescriptor";
    assert_eq!(guest.ulong(create, &[descriptor, 2]), UNKNOWN_REVISION);
    assert_eq!(guest.ulong(create, &[descriptor, 1]), SUCCESS);
    let places = bytes(parts).map(|bytes| bytes.map_or(0, |bytes| guest.put(bytes)));
    for (i, part) in parts.iter().enumerate() {
        let Some((_, defaulted)) = part else {
            continue;
        };
        let defaulted = u64::from(*defaulted);
        let status = match PRESENT[i] {
            0 => guest.ulong(SET[i], &[descriptor, places[i], defaulted]),
            _ => guest.ulong(SET[i], &[descriptor, 1, places[i], defaulted]),
        };
        assert_eq!(status, SUCCESS);
    }
    (descriptor, places)
}

/// What the four routines that ask for parts say.
#[track_caller]
fn holds(guest: &mut Guest, descriptor: u64, parts: &[Part; 4]) {
    let (present, place, defaulted) = (guest.room(1), guest.room(8), guest.room(1));
    for (i, part) in parts.iter().enumerate() {
        let is_list = PRESENT[i] != 0;
        guest.write(place, &[FILL; 8]);
        let status = match is_list {
            true => guest.ulong(GET[i], &[descriptor, present, place, defaulted]),
            false => guest.ulong(GET[i], &[descriptor, place, defaulted]),
        };
        assert_eq!(status, SUCCESS);
        if is_list {
            assert_eq!(guest.bytes(present, 1), [u8::from(part.is_some())]);
        }
        match part {
            None if is_list => assert_eq!(guest.bytes(place, 8), [FILL; 8]),
            None => assert_eq!((guest.u64(place), guest.bytes(defaulted, 1)), (0, vec![0])),
            Some((bytes, is_default)) => {
                assert_eq!(guest.bytes(defaulted, 1), [u8::from(*is_default)]);
                match bytes {
                    Some(bytes) => assert_eq!(guest.bytes(guest.u64(place), bytes.len()), *bytes),
                    None => assert_eq!(guest.u64(place), 0),
                }
            }
        }
    }
}

#[test]
fn set_measured_and_read() {
    property(100, any_parts(), |guest, parts| {
        let (descriptor, places) = absolute(guest, &parts);
        assert_eq!(guest.u16(descriptor + 2), control(&parts));
        assert_eq!(
            [8, 16, 24, 32].map(|field| guest.u64(descriptor + field)),
            places
        );
        holds(guest, descriptor, &parts);
        assert!(guest.boolean("RtlValidSecurityDescriptor", &[descriptor]));
        let sizes = bytes(&parts).map(|part| part.map_or(0, |part| part.len().next_multiple_of(4)));
        let length = ABSOLUTE + sizes.iter().sum::<usize>();
        let got = guest.ulong("RtlLengthSecurityDescriptor", &[descriptor]);
        assert_eq!(got, length as u32);
        // a part that is not valid
        for place in places.into_iter().filter(|place| *place != 0) {
            guest.write(place, &[9]);
            assert!(!guest.boolean("RtlValidSecurityDescriptor", &[descriptor]));
            guest.write(
                place,
                &[if place == places[0] || place == places[1] {
                    1
                } else {
                    2
                }],
            );
        }
        // a list that is taken away
        assert_eq!(guest.ulong(SET[3], &[descriptor, 0, 0, 0]), SUCCESS);
        assert_eq!(guest.u16(descriptor + 2) & 4, 0);
        let without = [parts[0].clone(), parts[1].clone(), parts[2].clone(), None];
        holds(guest, descriptor, &without);
    });
}

#[test]
fn one_kind_to_the_other() {
    property(100, (any_parts(), 0..12u32), |guest, (parts, missing)| {
        let (descriptor, _) = absolute(guest, &parts);
        let sizes =
            bytes(&parts).map(|part| part.map_or(0, |part| part.len().next_multiple_of(4) as u32));
        let length = RELATIVE as u32 + sizes.iter().sum::<u32>();
        let (relative, size) = (
            guest.room(length as usize),
            guest.put(&ulongs(&[length - missing])),
        );
        let name = "RtlAbsoluteToSelfRelativeSD";
        let status = guest.ulong(name, &[descriptor, relative, size]);
        assert_eq!(
            (status, guest.u32(size)),
            (
                if missing > 0 {
                    BUFFER_TOO_SMALL
                } else {
                    SUCCESS
                },
                length
            )
        );
        assert_eq!(guest.ulong(name, &[descriptor, relative, size]), SUCCESS);
        assert_eq!(guest.u16(relative + 2), control(&parts) | SELF_RELATIVE);
        holds(guest, relative, &parts);
        assert!(guest.boolean("RtlValidSecurityDescriptor", &[relative]));
        let got = guest.ulong("RtlLengthSecurityDescriptor", &[relative]);
        assert_eq!(got, length);
        assert!(guest.boolean(
            "RtlValidRelativeSecurityDescriptor",
            &[relative, length.into(), 0]
        ));
        // it is one already, and cannot be set
        assert_eq!(
            guest.ulong(name, &[relative, descriptor, size]),
            BAD_DESCRIPTOR_FORMAT
        );
        assert_eq!(guest.ulong(SET[3], &[relative, 1, 0, 0]), 0xc000_0079);
        assert_eq!(guest.ulong(SET[0], &[relative, 0, 0]), 0xc000_0079);
        // and back: DACL, SACL, owner, group, each with its size
        let name = "RtlSelfRelativeToAbsoluteSD";
        let needed = [ABSOLUTE as u32, sizes[3], sizes[2], sizes[0], sizes[1]];
        let arguments: Vec<u64> = needed
            .iter()
            .flat_map(|size| {
                let room = guest.room(*size as usize);
                [room, guest.put(&[0; 4])]
            })
            .collect();
        let arguments = [vec![relative], arguments].concat();
        assert_eq!(guest.ulong(name, &arguments), BUFFER_TOO_SMALL);
        let got = [2, 4, 6, 8, 10].map(|i| guest.u32(arguments[i]));
        assert_eq!(got, needed);
        assert_eq!(guest.ulong(name, &arguments), SUCCESS);
        let back = arguments[1];
        assert_eq!(guest.u16(back + 2), control(&parts));
        holds(guest, back, &parts);
        let arguments = [vec![back], arguments[1..].to_vec()].concat();
        assert_eq!(guest.ulong(name, &arguments), BAD_DESCRIPTOR_FORMAT);
    });
}

#[test]
fn of_another_revision() {
    let mut guest = Guest::new();
    let (descriptor, _) = absolute(&mut guest, &[None, None, None, None]);
    let out = guest.room(8);
    guest.write(descriptor, &[2]);
    assert!(!guest.boolean("RtlValidSecurityDescriptor", &[descriptor]));
    for i in 0..4 {
        assert_eq!(
            guest.ulong(GET[i], &[descriptor, out, out, out]),
            UNKNOWN_REVISION
        );
        assert_eq!(
            guest.ulong(SET[i], &[descriptor, 1, 0, 0]),
            UNKNOWN_REVISION
        );
    }
}

/// One part alone, at the end of a descriptor that is too short for it, byte by byte.
#[test]
fn descriptors_that_end_in_a_part() {
    let mut guest = Guest::new();
    let sid = Sid {
        authority: 5,
        parts: vec![32, 544],
    };
    // the order of the fields is that of the parts
    for (i, present) in PRESENT.iter().enumerate() {
        let part = if i < 2 { sid.bytes() } else { acl(16) };
        let mut image = [&[1, 0, *present as u8, 0x80][..], &[0; 16]].concat();
        image[4 + 4 * i] = RELATIVE as u8;
        image.extend(&part);
        let at = guest.put(&image);
        for length in 0..=image.len() {
            let arguments = [at, length as u64, 0];
            let valid = guest.boolean("RtlValidRelativeSecurityDescriptor", &arguments);
            assert_eq!(valid, length == image.len(), "part {i}, {length} bytes");
        }
    }
}

/// What a caller says is a descriptor of a length: every field may be anything.
#[test]
fn descriptors_that_are_not_to_be_trusted() {
    let offset = prop_oneof![
        Just(0u32),
        (5..24u32).prop_map(|word| 4 * word),
        0..100u32,
        any::<u32>()
    ];
    let offsets = proptest::array::uniform4(offset);
    let values = (offsets, 0..0x40u16, 0..96usize, 0..16u64, any::<bool>());
    property(
        800,
        values,
        |guest, (offsets, control, length, required, tail)| {
            let sid = Sid {
                authority: 5,
                parts: vec![18],
            };
            // wherever an offset leads, there is a SID, or a list for the last two
            let mut image = [0x33; 96];
            image[..4].copy_from_slice(&[1, 0, control as u8, 0x80]);
            image[4..RELATIVE].copy_from_slice(&ulongs(&offsets));
            for (i, offset) in offsets.iter().map(|offset| *offset as usize).enumerate() {
                let part = if i < 2 { sid.bytes() } else { acl(12) };
                if (RELATIVE..96).contains(&offset) && tail {
                    let end = 96.min(offset + part.len());
                    image[offset..end].copy_from_slice(&part[..end - offset]);
                }
            }
            let image = &image[..length];
            let at = guest.put(image);
            let arguments = [at, length as u64, required];
            let valid = guest.boolean("RtlValidRelativeSecurityDescriptor", &arguments);
            // owner, group, DACL and SACL are the bits of what is required, from the lowest
            let mut expected = length >= RELATIVE;
            for (i, bit) in [1, 2, 8, 4]
                .into_iter()
                .enumerate()
                .filter(|_| length >= RELATIVE)
            {
                let (offset, is_list) = (offsets[i] as usize, i >= 2);
                let present = !is_list || control & PRESENT[i] != 0;
                if offset == 0 || !present {
                    let missing = if is_list { !present } else { true };
                    expected &= required & bit == 0 || !missing;
                    continue;
                }
                let inside = offset % 4 == 0 && offset >= RELATIVE && offset + 8 <= length;
                expected &= inside && {
                    let part = &image[offset..];
                    if is_list {
                        let size = usize::from(u16::from_le_bytes([part[2], part[3]]));
                        // none of the lists has entries, and 0x33 is no revision
                        (2..=4).contains(&part[0])
                            && size >= 8
                            && size <= part.len()
                            && part[4..6] == [0, 0]
                    } else {
                        part[0] & 0xf == 1
                            && part[1] <= 15
                            && 8 + 4 * usize::from(part[1]) <= part.len()
                    }
                };
            }
            assert_eq!(valid, expected, "{image:x?} {required}");
        },
    );
}
