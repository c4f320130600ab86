//! Patterns for tags, as `!poolused` and `!poolfind` take them.

use super::{Tag, TagError, characters, number, quote};
use std::fmt;
use std::str::FromStr;

/// The most characters that a pattern keeps: four, and a `*` around each.
const LONGEST: usize = 9;

/// Why a text is no pattern for tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty, a number that is none, or has a character that no tag can have.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// It has fewer characters than a tag, and no `*`.
    #[error(
        "a tag has four characters, '{text}' has {}; write \"{text:<4}\" with its spaces, in double \
         quotes, or {text}* for all tags that start so",
        text.chars().count()
    )]
    Short {
        /// The text.
        text: String,
    },
    /// It has more characters than a tag.
    #[error(
        "'{text}' is no pattern for tags: it has four characters, or up to four and any number of *"
    )]
    Length {
        /// The text, cut at 32 characters.
        text: String,
    },
}

/// A tag, or a pattern that several fit. The table in the [module's text](super) has the rules,
/// which are those of the debugger's manual, "!poolfind" and "!poolused".
///
/// ```
/// use poolhit::tag::{Tag, TagPattern};
/// let pattern: TagPattern = "Le*".parse()?;
/// assert!(pattern.matches(Tag::from_bytes(*b"Lea2")));
/// assert!(!pattern.matches(Tag::from_bytes(*b"leak")));
/// let pattern: TagPattern = "Irp ".parse()?;
/// assert!(pattern.matches(Tag::from_bytes(*b"Irp ")));
/// # Ok::<(), poolhit::tag::PatternError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagPattern(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exact(Tag),
    /// Characters, with zeros behind them.
    Wild([u8; LONGEST]),
}

impl TagPattern {
    /// The pattern that every tag fits: `*`.
    ///
    /// ```
    /// use poolhit::tag::{Tag, TagPattern};
    /// assert!(TagPattern::any().matches(Tag(0)));
    /// ```
    pub fn any() -> TagPattern {
        let mut pattern = [0; LONGEST];
        pattern[0] = b'*';
        TagPattern(Kind::Wild(pattern))
    }

    /// Whether a tag fits. The protected bit is not looked at.
    ///
    /// ```
    /// use poolhit::tag::{Tag, TagPattern};
    /// let pattern: TagPattern = "F?l*".parse()?;
    /// // `File`, protected
    /// assert!(pattern.matches(Tag(0xe56c6946)));
    /// # Ok::<(), poolhit::tag::PatternError>(())
    /// ```
    pub fn matches(&self, tag: Tag) -> bool {
        match &self.0 {
            Kind::Exact(wanted) => wanted.unprotected() == tag.unprotected(),
            Kind::Wild(pattern) => fits(trim(pattern), &tag.unprotected().to_bytes()),
        }
    }

    /// The one tag that fits, protected or not, if the pattern has no wildcards.
    ///
    /// ```
    /// use poolhit::tag::{Tag, TagPattern};
    /// assert_eq!("Lea2".parse::<TagPattern>()?.exact(), Some(Tag(0x3261654c)));
    /// assert_eq!("Lea?".parse::<TagPattern>()?.exact(), None);
    /// # Ok::<(), poolhit::tag::PatternError>(())
    /// ```
    pub fn exact(&self) -> Option<Tag> {
        match self.0 {
            Kind::Exact(tag) => Some(tag),
            Kind::Wild(_) => None,
        }
    }

    /// What the titles of `!poolfind` show of the pattern: its first four characters as if they
    /// were a tag, spaces behind them if there are fewer, with one `*` for several in a row.
    ///
    /// ```
    /// use poolhit::tag::{Tag, TagPattern};
    /// assert_eq!("Lea?".parse::<TagPattern>()?.first_four(), Tag(0x3f61654c));
    /// assert_eq!("0x3261654c".parse::<TagPattern>()?.first_four(), Tag(0x3261654c));
    /// assert_eq!(TagPattern::any().first_four().shown(), "*   ");
    /// # Ok::<(), poolhit::tag::PatternError>(())
    /// ```
    pub fn first_four(&self) -> Tag {
        match &self.0 {
            Kind::Exact(tag) => *tag,
            Kind::Wild(pattern) => {
                let mut bytes = [b' '; 4];
                for (byte, character) in bytes.iter_mut().zip(trim(pattern)) {
                    *byte = *character;
                }
                Tag::from_bytes(bytes)
            }
        }
    }
}

/// The pattern that fits a tag alone, protected or not.
///
/// ```
/// use poolhit::tag::{Tag, TagPattern};
/// let pattern = TagPattern::from(Tag::from_bytes(*b"a*b?"));
/// assert!(pattern.matches(Tag::from_bytes(*b"a*b?")));
/// assert!(!pattern.matches(Tag::from_bytes(*b"a_b_")));
/// ```
impl From<Tag> for TagPattern {
    fn from(tag: Tag) -> TagPattern {
        TagPattern(Kind::Exact(tag))
    }
}

/// A pattern without the zeros behind it.
fn trim(pattern: &[u8; LONGEST]) -> &[u8] {
    let end = pattern.iter().position(|byte| *byte == 0);
    &pattern[..end.unwrap_or(LONGEST)]
}

/// A pattern is at most [`LONGEST`] and a tag four bytes: trying every way ends at once.
fn fits(pattern: &[u8], tag: &[u8]) -> bool {
    match (pattern, tag) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => fits(rest, tag) || !tag.is_empty() && fits(pattern, &tag[1..]),
        ([b'?', rest @ ..], [_, tag @ ..]) => fits(rest, tag),
        ([wanted, rest @ ..], [byte, tag @ ..]) => wanted == byte && fits(rest, tag),
        _ => false,
    }
}

impl FromStr for TagPattern {
    type Err = PatternError;

    /// Reads a pattern by the [module's table](super).
    fn from_str(text: &str) -> Result<TagPattern, PatternError> {
        if let Some(number) = number(text) {
            return Ok(TagPattern(Kind::Exact(number?)));
        }
        if text.is_empty() {
            return Err(TagError::Empty.into());
        }
        let (bytes, length) = characters(text)?;
        if length == 4 && !bytes.iter().any(|byte| matches!(byte, b'*' | b'?')) {
            return Ok(TagPattern(Kind::Exact(Tag::from_bytes(bytes))));
        }
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        let others = length - stars;
        if others < 4 && stars == 0 {
            let text = quote(text);
            return Err(PatternError::Short { text });
        }
        if others > 4 {
            return Err(PatternError::Length { text: quote(text) });
        }
        let (mut pattern, mut end) = ([0; LONGEST], 0);
        for byte in text.bytes() {
            // Two in a row mean what one does, so that there are at most five.
            if byte != b'*' || end == 0 || pattern[end - 1] != b'*' {
                pattern[end] = byte;
                end += 1;
            }
        }
        Ok(TagPattern(Kind::Wild(pattern)))
    }
}

/// A text that gives this pattern when it is read.
impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // `*` and `?` in a tag would be read as wildcards
            Kind::Exact(tag) if tag.to_bytes().iter().any(|byte| b"*?".contains(byte)) => {
                f.write_str(&tag.number())
            }
            Kind::Exact(tag) => tag.fmt(f),
            Kind::Wild(pattern) => trim(pattern)
                .iter()
                .try_for_each(|byte| write!(f, "{}", char::from(*byte))),
        }
    }
}

#[cfg(test)]
mod tests;
