//! GUIDs. Microsoft's pages of `RtlStringFromGUID` and `RtlGUIDFromString` (wdm.h).

use crate::guest::*;
use proptest::prelude::*;

fn text(guid: &[u8; 16]) -> String {
    let b = guid;
    let first = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let (second, third) = (
        u16::from_le_bytes([b[4], b[5]]),
        u16::from_le_bytes([b[6], b[7]]),
    );
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<String>()
    };
    format!(
        "{{{first:08X}-{second:04X}-{third:04X}-{}-{}}}",
        hex(&b[8..10]),
        hex(&b[10..])
    )
}

#[test]
fn to_text_and_back() {
    property(100, any::<[u8; 16]>(), |guest, bytes| {
        let (guid, string, back) = (guest.put(&bytes), guest.room(16), guest.room(16));
        assert_eq!(guest.ulong("RtlStringFromGUID", &[guid, string]), SUCCESS);
        let result = guest.read_unicode(string);
        assert_eq!((&result.text, result.maximum), (&w(&text(&bytes)), 78));
        assert_eq!(guest.wide_string(result.buffer), result.text);
        assert_eq!(guest.ulong("RtlGUIDFromString", &[string, back]), SUCCESS);
        assert_eq!(guest.bytes(back, 16), bytes);
        guest.call("RtlFreeUnicodeString", &[string]);
        let lower = guest.unicode(&w(&text(&bytes).to_lowercase()), 0);
        assert_eq!(guest.ulong("RtlGUIDFromString", &[lower, guid]), SUCCESS);
        assert_eq!(guest.bytes(guid, 16), bytes);
    });
}

#[test]
fn what_is_no_guid() {
    let good = w("{00112233-4455-6677-8899-aabbccddeeff}");
    let values = (0..good.len(), proptest::sample::select(w("{}-gG x\u{130}")));
    property(150, values, move |guest, (place, unit)| {
        let mut text = good.clone();
        text[place] = unit;
        let (string, guid) = (guest.unicode(&text, 0), guest.room(16));
        let status = guest.ulong("RtlGUIDFromString", &[string, guid]);
        if text == good {
            assert_eq!(status, SUCCESS);
        } else {
            assert_eq!(status, INVALID_PARAMETER);
            assert_eq!(guest.bytes(guid, 16), [FILL; 16]);
        }
        let cut = guest.unicode(&good[..place], 0);
        assert_eq!(
            guest.ulong("RtlGUIDFromString", &[cut, guid]),
            INVALID_PARAMETER
        );
    });
}
