use super::super::tests::tags;
use super::*;
use proptest::prelude::*;

/// Whether a tag fits a pattern; `None` if it is no pattern.
#[track_caller]
fn check(pattern: &str, tag: &[u8; 4], expected: Option<bool>) {
    let parsed = pattern.parse::<TagPattern>();
    let found = parsed.ok().map(|one| one.matches(Tag::from_bytes(*tag)));
    assert_eq!(found, expected, "{pattern:?} {tag:?}");
}

/// The manual, "!poolfind": "case-sensitive ASCII string", "any number of characters", "exactly one
/// character", "unless an asterisk is used, TagString must be exactly four characters", "must begin
/// with 0x", "including 0X … an ASCII tag string".
#[test]
fn matches_as_the_manual_says() {
    for (pattern, tag, expected) in [
        ("Lea2", b"Lea2", Some(true)),
        ("lea2", b"Lea2", Some(false)),
        ("Lea?", b"Lea2", Some(true)),
        ("?ea2", b"Leak", Some(false)),
        ("L??k", b"L\0\x01k", Some(true)),
        ("????", b"\0\x01\x02\x03", Some(true)),
        ("Le*", b"Lea2", Some(true)),
        ("Le*", b"Le  ", Some(true)),
        ("Le*", b"leak", Some(false)),
        ("Le*", b"xLea", Some(false)),
        ("*2", b"Lea2", Some(true)),
        ("*ak", b"akLe", Some(false)),
        ("L*2", b"Lea2", Some(true)),
        ("*e*2", b"Lea2", Some(true)),
        ("*?????", b"Lea2", None),
        ("*????", b"Lea2", Some(true)),
        ("*", b"\0\x01\x02\x03", Some(true)),
        ("****", b"Leak", Some(true)),
        ("**L**", b"aLbc", Some(true)),
        ("*a*b*c*d*", b"abcd", Some(true)),
        ("*a*b*c*d*e*", b"abcd", None),
        ("**e**", b"Loak", Some(false)),
        ("Lea2*", b"Lea2", Some(true)),
        ("Lea2*", b"Lea3", Some(false)),
        ("Irp ", b"Irp ", Some(true)),
        ("Irp ", b"Irp\0", Some(false)),
        ("....", b"\x01...", Some(false)),
        ("File", b"Fil\xe5", Some(true)),
        ("0x3261654c", b"Lea2", Some(true)),
        ("0xb261654c", b"Lea2", Some(true)),
        ("0x3261654c", b"Lea\xb2", Some(true)),
        ("0x2a", b"Lea2", Some(false)),
        ("0x2a", b"*\0\0\0", Some(true)),
        ("0x2a2a2a2a", b"Lea2", Some(false)),
        ("0X12", b"0X12", Some(true)),
        ("'ab'", b"'ab'", Some(true)),
        ("Lea", b"Lea2", None),
        ("L?", b"Le  ", None),
        ("Lea22", b"Lea2", None),
        ("Lea22*", b"Lea2", None),
        ("", b"Lea2", None),
        ("0x", b"Lea2", None),
        ("0x*", b"Lea2", None),
        ("0x+1", b"Lea2", None),
        ("0x123456789", b"Lea2", None),
        ("0X3261654c", b"Lea2", None),
        ("3261654c", b"Lea2", None),
        ("'2aeL'", b"Lea2", None),
        ("Le\u{e4}", b"Lea2", None),
        ("\u{e9}*", b"Lea2", None),
        ("Le\t*", b"Le\t ", None),
    ] {
        check(pattern, tag, expected);
    }
    check(&"*".repeat(1 << 20), b"Lea2", Some(true));
    check(&"x".repeat(1 << 20), b"Lea2", None);
}

#[test]
fn errors_say_why() {
    for (text, expected) in [
        ("", "a tag cannot be empty"),
        ("0xfg", "'0xfg' is no number of a tag"),
        ("Le\t*", "the character '\\t' cannot be in a tag"),
        ("Leak2", "'Leak2' is no pattern for tags"),
    ] {
        let error = text.parse::<TagPattern>().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn titles_show_the_first_four() {
    for (pattern, expected) in [
        ("Lea2", "Lea2"),
        ("Lea?", "Lea?"),
        ("Le**", "Le* "),
        ("*e*2*", "*e*2"),
        ("*", "*   "),
        ("0x2a", "*..."),
        ("0xb261654c", "Lea."),
    ] {
        let parsed: TagPattern = pattern.parse().unwrap();
        assert_eq!(parsed.first_four().shown(), expected, "{pattern}");
    }
}

/// Every way to fit, by another road than the pattern's own: which tags a pattern's stars leave.
fn fits_by_lengths(pattern: &[u8], tag: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|byte| *byte == b'*') else {
        let fits = |(wanted, byte): (&u8, &u8)| *wanted == b'?' || wanted == byte;
        return pattern.len() == tag.len() && pattern.iter().zip(tag).all(fits);
    };
    (0..=tag.len()).any(|marks| {
        let mut longer = pattern[..star].to_vec();
        longer.extend(std::iter::repeat_n(b'?', marks));
        longer.extend(&pattern[star + 1..]);
        fits_by_lengths(&longer, tag)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_printed_reads_back(tag in tags(), text in "0?x?(.|[0-9a-fxL' *?]){0,12}") {
        let exact = TagPattern::from(tag);
        prop_assert_eq!(exact.to_string().parse::<TagPattern>(), Ok(exact));
        if let Ok(pattern) = text.parse::<TagPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<TagPattern>(), Ok(pattern));
        }
    }

    /// A tag's own pattern fits it, protected or not, and no other tag.
    #[test]
    fn a_tags_pattern_fits_it_alone(tag in tags(), other in tags(), bit in 0u32..31) {
        let pattern = TagPattern::from(tag);
        for protected in [0, 1 << 31] {
            prop_assert!(pattern.matches(Tag(tag.0 ^ protected)));
            prop_assert!(!pattern.matches(Tag(tag.0 ^ 1 << bit ^ protected)));
        }
        let same = other.unprotected() == tag.unprotected();
        prop_assert_eq!(pattern.matches(other), same);
    }

    /// Typed at the prompt, in quotes or not, the four characters fit, as they do with any of them
    /// wild.
    #[test]
    fn a_tag_matches_itself(
        text in "[ -~&&[^*?]]{4}",
        stars in 0u8..16,
        marks in 0u8..16,
        protected: bool,
    ) {
        prop_assume!(!text.starts_with("0x"));
        let bytes: [u8; 4] = text.as_bytes().try_into().unwrap();
        let tag = Tag(Tag::from_bytes(bytes).0 | u32::from(protected) << 31);
        let character = |(at, byte): (usize, &u8)| match (stars >> at & 1, marks >> at & 1) {
            (1, _) => '*',
            (_, 1) => '?',
            _ => char::from(*byte),
        };
        let wild: String = bytes.iter().enumerate().map(character).collect();
        for pattern in [&text, &wild, &format!("{text}*"), &format!("*{text}")] {
            prop_assert!(pattern.parse::<TagPattern>().unwrap().matches(tag), "{}", pattern);
        }
    }

    #[test]
    fn wildcards_mean_what_they_say(pattern in "[ab*?]{1,9}", tag in "[ab]{4}") {
        let others = pattern.bytes().filter(|byte| *byte != b'*').count();
        let is_pattern = others == 4 || others < 4 && pattern.contains('*');
        let parsed = pattern.parse::<TagPattern>();
        prop_assert_eq!(parsed.is_ok(), is_pattern);
        if let Ok(parsed) = parsed {
            let expected = fits_by_lengths(pattern.as_bytes(), tag.as_bytes());
            let tag = Tag::from_bytes(tag.as_bytes().try_into().unwrap());
            prop_assert_eq!(parsed.matches(tag), expected);
        }
    }
}
