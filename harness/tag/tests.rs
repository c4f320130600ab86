use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, expected: Result<&[u8; 4], &str>) {
    let found = text.parse::<Tag>();
    let found = found.as_ref().map(|tag| tag.to_bytes());
    let expected = expected.copied();
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text:?}"),
        (Err(error), Err(expected)) => {
            assert!(error.to_string().contains(expected), "{text:?}: {error}");
        }
        (found, _) => panic!("{text:?}: {found:?}, not {expected:?}"),
    }
}

/// The pairs of characters and numbers stand in public debugging sessions: `ed nt!PoolHitTag
/// 3261654c` shows `Lea2`; `ed nt!PoolHitTag 'dcba'` gives 64636261; Microsoft's "Using the Kernel
/// Debugger to Find a Kernel-Mode Memory Leak" sets `Abc ` by `' cbA'`; `dt` shows the `Proc` of a
/// process' header as 0x636f7250.
#[test]
fn every_form_people_type() {
    check("Lea2", Ok(b"Lea2"));
    check("3261654c", Ok(b"Lea2"));
    check("3261654C", Ok(b"Lea2"));
    check("0x3261654c", Ok(b"Lea2"));
    check("0x3261654C", Ok(b"Lea2"));
    check("'2aeL'", Ok(b"Lea2"));
    check("'dcba'", Ok(b"abcd"));
    check("64636261", Ok(b"abcd"));
    check("' cbA'", Ok(b"Abc "));
    check("Abc", Ok(b"Abc "));
    check("Abc ", Ok(b"Abc "));
    check("0x636f7250", Ok(b"Proc"));
    check("I", Ok(b"I   "));
    check("    ", Ok(b"    "));
    check("'prI'", Ok(b"Irp\0"));
    check("'''", Ok(b"'\0\0\0"));
}

#[test]
fn ambiguous_texts_follow_the_table() {
    check("face", Ok(b"face"));
    check("0x12", Ok(b"\x12\0\0\0"));
    check("0X12", Ok(b"0X12"));
    check("0x0000000000", Err("no number of a tag"));
    check("deadbeef", Ok(b"\xef\xbe\xad\xde"));
    check("'ab'", Ok(b"ba\0\0"));
    check("'", Ok(b"'   "));
    check("''", Ok(b"''  "));
    check("'a", Ok(b"'a  "));
    check("x'y'", Ok(b"x'y'"));
}

#[test]
fn what_is_no_tag() {
    check("", Err("empty"));
    check("Leak2", Err("'Leak2' is no pool tag"));
    check("123456789", Err("no pool tag"));
    check("0x123456789", Err("'0x123456789' is no number of a tag"));
    check("0xLe", Err("no number of a tag"));
    check("0x", Err("no number of a tag"));
    check("0x+1", Err("no number of a tag"));
    check("0X3261654C", Err("no pool tag"));
    check("+1234567", Err("no pool tag"));
    check("'Leak2'", Err("no pool tag"));
    check("L\u{e9}", Err("'\u{e9}' cannot be in a tag"));
    check("a\tb", Err("'\\t' cannot"));
    check("'\u{0}'", Err("cannot"));
    check(&"x".repeat(1 << 20), Err("no pool tag"));
}

/// `!pool` on a corrupted page, from a public analysis: `*ffffbd06d46dffe0 size: 8020 previous
/// size: 0  (Free) *>.g.`; and "Even (Protected)" for a header with tag 0xee657645.
#[test]
fn shown_as_pool_shows_it() {
    assert_eq!(Tag::from_bytes(*b">\x90g\x01").shown(), ">.g.");
    let event = Tag(0xee657645);
    assert!(event.is_protected());
    assert_eq!(event.unprotected().shown(), "Even");
    assert_eq!(event.shown(), "Eve.");
    assert_eq!(event.to_string(), "0xee657645");
    assert_eq!(Tag::from_bytes(*b"'ab'").to_string(), "0x27626127");
    assert_eq!(Tag::from_bytes(*b"0x12").to_string(), "0x32317830");
    assert_eq!(Tag(0).shown(), "....");
}

#[test]
fn constants() {
    for (bytes, expected) in [
        (b"Lea2", "'2aeL'"),
        (b"Irp ", "' prI'"),
        (b"Irp\0", "'prI'"),
        (b"I\0\0\0", "'I'"),
        (b"\0Irp", "0x70724900"),
        (b"\0\0\0\0", "0x00000000"),
        (b"It's", "0x73277449"),
        (b"a\\bc", "0x63625c61"),
        (b"\"*? ", "' ?*\"'"),
        (b"Fil\xe5", "0xe56c6946"),
    ] {
        assert_eq!(Tag::from_bytes(*bytes).constant(), expected);
    }
}

/// Tags as they occur: mostly characters, some of them troublesome.
pub(super) fn tags() -> impl Strategy<Value = Tag> {
    let byte = prop_oneof![
        6 => 0x20u8..0x7f,
        2 => prop::sample::select(b"'0xX *?.\\\"\0\x1f\x7f".to_vec()),
        1 => any::<u8>(),
    ];
    prop_oneof![
        prop::array::uniform4(byte).prop_map(Tag::from_bytes),
        any::<u32>().prop_map(Tag),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_printed_reads_back(tag in tags()) {
        prop_assert_eq!(tag.to_string().parse::<Tag>(), Ok(tag));
        prop_assert_eq!(tag.hex().parse::<Tag>(), Ok(tag));
        prop_assert_eq!(tag.constant().parse::<Tag>(), Ok(tag));
        prop_assert_eq!(format!("{:#x}", tag.0).parse::<Tag>(), Ok(tag));
        prop_assert_eq!(Tag::from_bytes(tag.to_bytes()), tag);
        prop_assert_eq!(tag.shown().len(), 4);
    }

    #[test]
    fn a_constant_is_the_characters_backwards(bytes in prop::array::uniform4(0x20u8..0x7f)) {
        let backwards: String = bytes.iter().rev().map(|byte| char::from(*byte)).collect();
        let tag = format!("'{backwards}'").parse::<Tag>();
        prop_assert_eq!(tag, Ok(Tag::from_bytes(bytes)));
    }

    /// What is typed is what is shown, spaces behind it; what cannot be is refused, and the tag
    /// that has such bytes is printed as a number.
    #[test]
    fn up_to_four_characters_are_themselves(
        bytes in prop::collection::vec(prop_oneof![8 => 0x20u8..0x7f, 1 => 0u8..0x80], 1..=4),
    ) {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let printable = bytes.iter().all(|byte| !byte.is_ascii_control());
        let is_constant = text.len() > 2 && text.starts_with('\'') && text.ends_with('\'');
        let mut stored = [b' '; 4];
        stored[..bytes.len()].copy_from_slice(&bytes);
        let stored = Tag::from_bytes(stored);
        if !is_constant && !text.starts_with("0x") {
            match text.parse::<Tag>() {
                Ok(tag) => {
                    prop_assert!(printable);
                    prop_assert_eq!(tag, stored);
                    prop_assert_eq!(tag.to_string(), format!("{text:<4}"));
                    prop_assert_eq!(tag.shown(), format!("{text:<4}"));
                }
                Err(error) => prop_assert!(
                    !printable && matches!(error, TagError::Character { .. }),
                    "{:?}", error
                ),
            }
        }
        if !printable {
            prop_assert_eq!(stored.to_string(), format!("0x{:08x}", stored.0));
        }
        prop_assert_eq!(stored.to_string().parse::<Tag>(), Ok(stored));
    }

    #[test]
    fn any_text_is_a_tag_or_an_error(text in "0?x?(.|[0-9a-fxL' ]){0,12}") {
        if let Ok(tag) = text.parse::<Tag>() {
            prop_assert_eq!(tag.to_string().parse::<Tag>(), Ok(tag));
        }
    }
}
