//! Tags as the pool's commands take them: four characters, or a pattern with `*` and `?`.
//!
//! The rules are the debugger's manual's (`!poolused`, `!poolfind`): upper and lower case differ,
//! `*` stands for any number of characters and `?` for one, and without a `*` there have to be four.
//! `!poolfind` also takes a number that starts with `0x`. Quotes make room for a space: `"Irp "`.

use super::ExecuteError;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::pool::PROTECTED_TAG;

/// A tag, or a pattern that several match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TagPattern {
    /// The pattern's characters; for a number, the tag's bytes, of which none is a wildcard.
    bytes: Vec<u8>,
    wildcards: bool,
}

impl TagPattern {
    /// The pattern that every tag matches.
    pub(super) fn any() -> TagPattern {
        TagPattern {
            bytes: vec![b'*'],
            wildcards: true,
        }
    }

    /// Reads a tag from a command's arguments.
    ///
    /// # Errors
    /// A syntax error: there is none, or it cannot match a tag.
    pub(super) fn read(arguments: &mut Cursor<'_>) -> Result<TagPattern, ExecuteError> {
        let text = match arguments.next_quoted()? {
            Some(text) => Some(text),
            None => arguments.next_word().map(str::to_string),
        };
        let pattern = text.as_deref().and_then(TagPattern::parse);
        pattern.ok_or_else(|| arguments.error(CommandErrorKind::Syntax).into())
    }

    fn parse(text: &str) -> Option<TagPattern> {
        if let Some(digits) = text.strip_prefix("0x") {
            let value = u32::from_str_radix(digits, 16).ok()?;
            return (!digits.starts_with('+')).then(|| TagPattern {
                bytes: value.to_le_bytes().to_vec(),
                wildcards: false,
            });
        }
        let mut bytes = text.as_bytes().to_vec();
        bytes.dedup_by(|one, before| *one == b'*' && *before == b'*');
        let characters = bytes.iter().filter(|byte| **byte != b'*').count();
        let right_length = characters == 4 || characters < 4 && bytes.contains(&b'*');
        (text.is_ascii() && right_length).then_some(TagPattern {
            bytes,
            wildcards: true,
        })
    }

    /// Whether a tag matches. The protection bit is not looked at.
    pub(super) fn matches(&self, tag: u32) -> bool {
        let tag = tag & !PROTECTED_TAG;
        if self.wildcards {
            matches(&self.bytes, &tag.to_le_bytes())
        } else {
            self.bytes == tag.to_le_bytes() || self.value() & !PROTECTED_TAG == tag
        }
    }

    /// The pattern's first four characters, spaces behind them if there are fewer.
    pub(super) fn value(&self) -> u32 {
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(b' ');
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    }
}

/// Both are short: a pattern has at most four characters and a `*` around each.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        ([b'?', rest @ ..], [_, text @ ..]) => matches(rest, text),
        ([one, rest @ ..], [first, text @ ..]) => one == first && matches(rest, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_as_the_manual_says() {
        for (pattern, tag, expected) in [
            ("Lea2", b"Lea2", Some(true)),
            ("lea2", b"Lea2", Some(false)),
            ("Lea?", b"Lea2", Some(true)),
            ("?ea2", b"Leak", Some(false)),
            ("Le*", b"Lea2", Some(true)),
            ("*2", b"Lea2", Some(true)),
            ("L*2", b"Lea2", Some(true)),
            ("*e*2", b"Lea2", Some(true)),
            ("*", b"\0\x01\x02\x03", Some(true)),
            ("**L**", b"aLbc", Some(true)),
            ("Lea2*", b"Lea2", Some(true)),
            ("Lea2*", b"Lea3", Some(false)),
            ("Irp ", b"Irp ", Some(true)),
            ("0x3261654c", b"Lea2", Some(true)),
            ("0xb261654c", b"Lea2", Some(true)),
            ("0x2a", b"Lea2", Some(false)),
            ("Lea", b"Lea2", None),
            ("Lea22", b"Lea2", None),
            ("Lea22*", b"Lea2", None),
            ("", b"Lea2", None),
            ("0x", b"Lea2", None),
            ("0x+1", b"Lea2", None),
            ("0x123456789", b"Lea2", None),
            ("0X12", b"0X12", Some(true)),
            ("Leä", b"Lea2", None),
        ] {
            let parsed = TagPattern::parse(pattern);
            let found = parsed.map(|parsed| parsed.matches(u32::from_le_bytes(*tag)));
            assert_eq!(found, expected, "{pattern:?}");
        }
    }

    proptest! {
        /// A tag of four characters is found by itself, and by itself with any of them wild.
        #[test]
        fn a_tag_matches_itself(tag in "[ -~&&[^*?\"]]{4}", wild in 0usize..4, protected: bool) {
            prop_assume!(!tag.starts_with("0x"));
            let bytes: [u8; 4] = tag.as_bytes().try_into().unwrap();
            let value = u32::from_le_bytes(bytes) | if protected { PROTECTED_TAG } else { 0 };
            prop_assert!(TagPattern::parse(&tag).unwrap().matches(value));
            for sign in ["?", "*"] {
                let mut pattern = tag.clone();
                pattern.replace_range(wild..wild + 1, sign);
                if let Some(pattern) = TagPattern::parse(&pattern) {
                    prop_assert!(pattern.matches(value));
                }
            }
        }

        #[test]
        fn any_text_is_a_pattern_or_not(text in ".{0,12}|[*?a]{0,40}", tag: u32) {
            if let Some(pattern) = TagPattern::parse(&text) {
                pattern.matches(tag);
                pattern.value();
            }
        }
    }
}
