//! SIDs. Microsoft's pages of `RtlLengthSid`, `RtlValidSid`, `RtlEqualSid`, `RtlCopySid`, `RtlInitializeSid`,
//! `RtlConvertSidToUnicodeString` (ntifs.h), and MS-DTYP 2.4.2 for the text; `RtlMapGenericMask` (ntifs.h).

use crate::guest::*;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub struct Sid {
    pub authority: u64,
    pub parts: Vec<u32>,
}

impl Sid {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.parts.len() as u8];
        bytes.extend(&self.authority.to_be_bytes()[2..]);
        bytes.extend(ulongs(&self.parts));
        bytes
    }

    fn text(&self) -> String {
        let mut text = match self.authority >> 32 {
            0 => format!("S-1-{}", self.authority),
            _ => format!("S-1-0x{:012x}", self.authority),
        };
        for part in &self.parts {
            text += &format!("-{part}");
        }
        text
    }
}

pub fn any_sid() -> impl Strategy<Value = Sid> {
    let authority = prop_oneof![0..20u64, 0..1u64 << 48];
    let part = prop_oneof![0..1000u32, any::<u32>()];
    let parts = proptest::collection::vec(part, 0..=15);
    (authority, parts).prop_map(|(authority, parts)| Sid { authority, parts })
}

#[test]
fn built_and_measured() {
    property(100, any_sid(), |guest, sid| {
        let (count, bytes) = (sid.parts.len() as u64, sid.bytes());
        assert_eq!(
            guest.ulong("RtlLengthRequiredSid", &[count]),
            bytes.len() as u32
        );
        let authority = guest.put(&sid.authority.to_be_bytes()[2..]);
        let at = guest.room(bytes.len());
        assert_eq!(
            guest.ulong("RtlInitializeSid", &[at, authority, count]),
            SUCCESS
        );
        assert_eq!(guest.call("RtlSubAuthorityCountSid", &[at]), at + 1);
        for (i, part) in sid.parts.iter().enumerate() {
            let place = guest.call("RtlSubAuthoritySid", &[at, i as u64]);
            guest.write(place, &part.to_le_bytes());
        }
        assert_eq!(guest.bytes(at, bytes.len()), bytes);
        assert_eq!(guest.ulong("RtlLengthSid", &[at]), bytes.len() as u32);
        assert!(guest.boolean("RtlValidSid", &[at]));
    });
    let mut guest = Guest::new();
    let (at, authority) = (guest.room(80), guest.put(&[0; 6]));
    assert_eq!(
        guest.ulong("RtlInitializeSid", &[at, authority, 16]),
        INVALID_PARAMETER
    );
    for (bytes, valid) in [
        ([1, 15], true),
        ([1, 16], false),
        ([2, 1], false),
        ([0, 1], false),
    ] {
        guest.write(at, &bytes);
        assert_eq!(guest.boolean("RtlValidSid", &[at]), valid, "{bytes:?}");
    }
    assert!(!guest.boolean("RtlValidSid", &[0]));
}

#[test]
fn copied_and_compared() {
    let values = (any_sid(), 0..80usize, 0..68usize);
    property(200, values, |guest, (sid, room, place)| {
        let bytes = sid.bytes();
        let (from, to) = (guest.put(&bytes), guest.room(room));
        let status = guest.ulong("RtlCopySid", &[room as u64, to, from]);
        if room < bytes.len() {
            assert_eq!(
                (status, guest.bytes(to, room)),
                (BUFFER_TOO_SMALL, vec![FILL; room])
            );
        } else {
            assert_eq!(
                (status, guest.bytes(to, bytes.len())),
                (SUCCESS, bytes.clone())
            );
            assert!(guest.boolean("RtlEqualSid", &[from, to]));
        }
        // one byte differs, and it is not the count
        let mut other = bytes.clone();
        let place = place % bytes.len();
        if place != 1 {
            other[place] ^= 0x10;
            let other = guest.put(&other);
            assert!(!guest.boolean("RtlEqualSid", &[from, other]));
        }
    });
    let mut guest = Guest::new();
    let [short, long] = [vec![1, 2], vec![1, 2, 3]].map(|parts| {
        guest.put(
            &Sid {
                authority: 5,
                parts,
            }
            .bytes(),
        )
    });
    assert!(!guest.boolean("RtlEqualSid", &[short, long]));
}

#[test]
fn as_text() {
    property(150, (any_sid(), 0..420usize), |guest, (sid, room)| {
        let (at, expected) = (guest.put(&sid.bytes()), w(&sid.text()));
        let string = guest.unicode(&[], room);
        let name = "RtlConvertSidToUnicodeString";
        let status = guest.ulong(name, &[string, at, 0]);
        if room < 2 * expected.len() + 2 {
            assert_eq!(status, BUFFER_OVERFLOW);
        } else {
            assert_eq!(
                (status, guest.read_unicode(string).text),
                (SUCCESS, expected.clone())
            );
        }
        assert_eq!(guest.ulong(name, &[string, at, 1]), SUCCESS);
        let result = guest.read_unicode(string);
        assert_eq!(result.text, expected);
        assert_eq!(usize::from(result.maximum), 2 * expected.len() + 2);
        guest.call("RtlFreeUnicodeString", &[string]);
        guest.write(at, &[3]);
        assert_eq!(guest.ulong(name, &[string, at, 1]), 0xc000_0078);
    });
    // Administrators, and the longest of all
    let text = |authority, parts: Vec<u32>| Sid { authority, parts }.text();
    assert_eq!(text(5, vec![32, 544]), "S-1-5-32-544");
    assert_eq!(text((1 << 48) - 1, vec![u32::MAX; 15]).len(), 18 + 15 * 11);
}

#[test]
fn the_longest_text() {
    let mut guest = Guest::new();
    let sid = Sid {
        authority: (1 << 48) - 1,
        parts: vec![u32::MAX; 15],
    };
    let (at, string) = (guest.put(&sid.bytes()), guest.room(16));
    let status = guest.ulong("RtlConvertSidToUnicodeString", &[string, at, 1]);
    assert_eq!(
        (status, guest.read_unicode(string).text),
        (SUCCESS, w(&sid.text()))
    );
}

#[test]
fn generic_rights() {
    property(
        100,
        (any::<u32>(), any::<[u32; 4]>()),
        |guest, (mask, rights)| {
            let rights = rights.map(|right| right & 0x01ff_ffff);
            let (at, mapping) = (guest.put(&ulongs(&[mask])), guest.put(&ulongs(&rights)));
            guest.call("RtlMapGenericMask", &[at, mapping]);
            // read, write, execute and all are the bits from 31 down to 28
            let specific = (0..4).filter(|i| mask >> (31 - i) & 1 == 1);
            let expected = specific.fold(mask & 0x0fff_ffff, |mask, i| mask | rights[i as usize]);
            assert_eq!(guest.u32(at), expected);
        },
    );
}
