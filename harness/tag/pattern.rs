//! Patterns for tags, as `!poolused` and `!poolfind` take them.

use super::{Tag, TagError};
use std::fmt;
use std::str::FromStr;

/// The longest pattern. Four characters and as many stars as can mean something need nine.
pub const PATTERN_LIMIT: usize = 16;

/// Why a text is no pattern for tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has no wildcard and is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// It is too long.
    #[error("a pattern for tags of {length} characters is too long: the limit is {PATTERN_LIMIT}")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
}

/// A pattern for tags: `*` stands for any characters, `?` for one, all others for themselves, in
/// the case they have ("!poolused": the tag is case-sensitive). A text without wildcards is read as
/// a [`Tag`], in any of its forms.
///
/// The protected bit does not count. A byte that cannot be printed fits wildcards only.
///
/// ```
/// use poolhit::tag::{Tag, TagPattern};
/// let pattern: TagPattern = "Le*".parse()?;
/// assert!(pattern.matches(Tag::from_bytes(*b"Lea2")));
/// assert!(!pattern.matches(Tag::from_bytes(*b"leak")));
/// let pattern: TagPattern = "Irp".parse()?;
/// assert!(pattern.matches(Tag::from_bytes(*b"Irp ")));
/// # Ok::<(), poolhit::tag::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Exact(Tag),
    Wild(Vec<u8>),
}

impl TagPattern {
    /// The pattern that every tag fits: `*`.
    ///
    /// ```
    /// use poolhit::tag::{Tag, TagPattern};
    /// assert!(TagPattern::any().matches(Tag(0)));
    /// ```
    pub fn any() -> TagPattern {
        TagPattern(Kind::Wild(b"*".to_vec()))
    }

    /// Whether a tag fits.
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
            Kind::Wild(pattern) => fits(pattern, &tag.unprotected().to_bytes()),
        }
    }

    /// The one tag that fits, if the pattern has no wildcards.
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
}

/// A pattern is at most [`PATTERN_LIMIT`] long and a tag four bytes: trying every way ends at once.
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

    fn from_str(text: &str) -> Result<TagPattern, PatternError> {
        let length = text.chars().count();
        if length > PATTERN_LIMIT {
            return Err(PatternError::TooLong { length });
        }
        if !text.contains(['*', '?']) {
            return Ok(TagPattern(Kind::Exact(text.parse()?)));
        }
        if let Some(character) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(TagError::Character { character }.into());
        }
        let mut pattern = text.as_bytes().to_vec();
        pattern.dedup_by(|a, b| (*a, *b) == (b'*', b'*'));
        // Without a star a pattern stands for four characters, like a tag.
        while !pattern.contains(&b'*') && pattern.len() < 4 {
            pattern.push(b' ');
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
                write!(f, "{:#010x}", tag.0)
            }
            Kind::Exact(tag) => tag.fmt(f),
            Kind::Wild(pattern) => f.write_str(&String::from_utf8_lossy(pattern)),
        }
    }
}
