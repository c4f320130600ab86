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
    check("0X3261654C", Ok(b"Lea2"));
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
    check("0x12", Ok(b"0x12"));
    check("0x123", Ok(b"\x23\x01\0\0"));
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
    check("0x123456789", Err("no pool tag"));
    check("0xLeaklea", Err("no pool tag"));
    check("+1234567", Err("no pool tag"));
    check("0x+1234567", Err("no pool tag"));
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
    assert_eq!(event.shown(), "Even");
    assert_eq!(event.to_string(), "0xee657645");
    assert_eq!(Tag::from_bytes(*b"'ab'").to_string(), "0x27626127");
    assert_eq!(Tag(0).shown(), "....");
}

#[test]
fn patterns() {
    for (pattern, fitting, other) in [
        (
            "Le*",
            &[b"Leak", b"Lea2", b"Le  "][..],
            &[b"leak", b"xLea"][..],
        ),
        ("*ak", &[b"Leak"], &[b"akLe"]),
        ("L??k", &[b"Leak", b"L\0\x01k"], &[b"Lea2"]),
        ("Lea", &[b"Lea "], &[b"Leak", b"Lea\0"]),
        ("L?", &[b"Le  "], &[b"Leak"]),
        ("*", &[b"\0\0\0\0", b"Leak"], &[]),
        ("**e**", &[b"Leak", b"e   "], &[b"Loak"]),
        ("6b61654c", &[b"Leak"], &[b"Lea2"]),
        ("'kaeL'", &[b"Leak"], &[b"Lea2"]),
        ("File", &[b"File", b"Fil\xe5"], &[b"Fil "]),
        (".", &[b".   "], &[b"\x01   "]),
    ] {
        let pattern: TagPattern = pattern.parse().unwrap();
        for bytes in fitting {
            assert!(
                pattern.matches(Tag::from_bytes(**bytes)),
                "{pattern} {bytes:?}"
            );
        }
        for bytes in other {
            assert!(
                !pattern.matches(Tag::from_bytes(**bytes)),
                "{pattern} {bytes:?}"
            );
        }
    }
    assert!(matches!(
        "*".repeat(17).parse::<TagPattern>(),
        Err(PatternError::TooLong { length: 17 })
    ));
    assert!("Leak2".parse::<TagPattern>().is_err());
    assert!("\u{e9}*".parse::<TagPattern>().is_err());
}

/// Tags as they occur: mostly characters, some of them troublesome.
fn tags() -> impl Strategy<Value = Tag> {
    let byte = prop_oneof![
        6 => 0x20u8..0x7f,
        2 => prop::sample::select(b"'0xX *?.".to_vec()),
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
        prop_assert_eq!(format!("{:#010x}", tag.0).parse::<Tag>(), Ok(tag));
        prop_assert_eq!(Tag::from_bytes(tag.to_bytes()), tag);
        prop_assert_eq!(tag.shown().len(), 4);
    }

    #[test]
    fn a_constant_is_the_characters_backwards(bytes in prop::array::uniform4(0x20u8..0x7f)) {
        let backwards: String = bytes.iter().rev().map(|byte| char::from(*byte)).collect();
        let tag = format!("'{backwards}'").parse::<Tag>();
        prop_assert_eq!(tag, Ok(Tag::from_bytes(bytes)));
    }

    #[test]
    fn any_text_is_a_tag_or_an_error(text in "(.|[0-9a-fxL' ]){0,12}") {
        if let Ok(tag) = text.parse::<Tag>() {
            prop_assert_eq!(tag.to_string().parse::<Tag>(), Ok(tag));
        }
        if let Ok(pattern) = text.parse::<TagPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<TagPattern>(), Ok(pattern));
        }
    }

    #[test]
    fn a_pattern_of_its_own_characters_fits(
        bytes in prop::array::uniform4(0x20u8..0x7f),
        stars in 0u8..16,
        marks in 0u8..16,
        protected: bool,
    ) {
        let character = |(at, byte): (usize, &u8)| match (stars >> at & 1, marks >> at & 1) {
            (1, _) => '*',
            (_, 1) => '?',
            _ => char::from(*byte),
        };
        let mut pattern: String = bytes.iter().enumerate().map(character).collect();
        pattern.push('*');
        let tag = Tag(Tag::from_bytes(bytes).0 | u32::from(protected) << 31);
        prop_assert!(pattern.parse::<TagPattern>().unwrap().matches(tag), "{}", pattern);
    }
}
