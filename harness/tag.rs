//! Pool tags: the four bytes that drivers give to `ExAllocatePoolWithTag`, in every form in which
//! people write them.
//!
//! A tag is a 32-bit number whose bytes, lowest first, are the characters that tools show. `Lea2`
//! in a listing of `!poolused` is `'2aeL'` in a driver's C source and `3261654c` to `ed` and `dd`.
//!
//! # How a text is read
//! | text | rule | tag |
//! |---|---|---|
//! | `Lea2`, `Irp` | up to four printable ASCII characters: as shown and stored, filled with spaces | `Lea2`, `Irp ` |
//! | `3261654c` | eight hexadecimal digits: the number | `Lea2` |
//! | `0x3261654c`, `0x20707249` | `0x` and up to eight digits, five characters or more in all: the number | `Lea2`, `Irp ` |
//! | `'2aeL'`, `' prI'` | in single quotes: the constant as in C and in `ed`, first character highest | `Lea2`, `Irp ` |
//!
//! Eight characters are always a number, four or fewer always characters, so that `face` and `0x12`
//! are tags as they are shown. Quotes go before both: a tag that is shown as `'ab'` is to be written
//! as a number.
//!
//! ```
//! use poolhit::tag::Tag;
//!
//! let tag: Tag = "3261654c".parse()?;
//! assert_eq!(tag, "Lea2".parse()?);
//! assert_eq!(tag, "'2aeL'".parse()?);
//! assert_eq!(tag, Tag::from_bytes(*b"Lea2"));
//! assert_eq!(tag.to_string(), "Lea2");
//! # Ok::<(), poolhit::tag::TagError>(())
//! ```

use std::fmt;
use std::str::FromStr;

mod pattern;

pub use pattern::{PatternError, TagPattern};

/// What the pool sets in a block's tag so that only a free with the same tag frees it
/// (`PROTECTED_POOL`, ntifs.h).
const PROTECTED: u32 = 0x8000_0000;

/// A pool tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// Why a text is no tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// There is nothing.
    #[error("a tag cannot be empty")]
    Empty,
    /// Longer than a tag, and no number.
    #[error(
        "'{text}' is no pool tag: write up to four characters as in Lea2, eight hexadecimal \
         digits as in 3261654c, or a constant as in '2aeL'"
    )]
    Form {
        /// The text, cut at 32 characters.
        text: String,
    },
    /// A character that cannot be typed into a tag.
    #[error("the character {character:?} cannot be in a tag; write the tag as a number")]
    Character {
        /// The character.
        character: char,
    },
}

impl Tag {
    /// A tag from its bytes as they lie in memory.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(Tag::from_bytes(*b"Lea2"), Tag(0x3261654c));
    /// ```
    pub fn from_bytes(bytes: [u8; 4]) -> Tag {
        Tag(u32::from_le_bytes(bytes))
    }

    /// The bytes as they lie in memory: the characters in the order in which tools show them.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(&Tag(0x20707249).to_bytes(), b"Irp ");
    /// ```
    pub fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// Whether the bit is set that protects a block from being freed with another tag.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// // `Fil\xe5`, as the tag of a file object is stored.
    /// assert!(Tag(0xe56c6946).is_protected());
    /// ```
    pub fn is_protected(self) -> bool {
        self.0 & PROTECTED != 0
    }

    /// The tag without the protected bit: what `PoolHitTag` is compared with when a block is freed.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(Tag(0xe56c6946).unprotected().to_string(), "File");
    /// ```
    pub fn unprotected(self) -> Tag {
        Tag(self.0 & !PROTECTED)
    }

    /// The tag as `!pool` and `!poolused` show it: always four characters, a point for each that
    /// cannot be printed, without the protected bit.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(Tag(0xe56c6946).shown(), "File");
    /// assert_eq!(Tag(0x00013e2a).shown(), "*>..");
    /// ```
    pub fn shown(self) -> String {
        let shown = |byte: u8| match byte {
            0x20..0x7f => char::from(byte),
            _ => '.',
        };
        self.unprotected()
            .to_bytes()
            .into_iter()
            .map(shown)
            .collect()
    }

    /// The tag as `ed` and `dd` have it: eight hexadecimal digits. Parsing gives the same tag.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(Tag::from_bytes(*b"Lea2").hex(), "3261654c");
    /// ```
    pub fn hex(self) -> String {
        format!("{:08x}", self.0)
    }
}

/// The four characters, trailing spaces among them, if they can be read back as this tag; else the
/// number with `0x`.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.to_bytes();
        match bytes {
            [b'\'', _, _, b'\''] => write!(f, "{:#010x}", self.0),
            _ if bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) => bytes
                .iter()
                .try_for_each(|byte| write!(f, "{}", char::from(*byte))),
            _ => write!(f, "{:#010x}", self.0),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

impl FromStr for Tag {
    type Err = TagError;

    /// Reads any of the forms in the [module's table](self).
    fn from_str(text: &str) -> Result<Tag, TagError> {
        let form = || TagError::Form {
            text: text.chars().take(32).collect(),
        };
        let constant = text
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''));
        if let Some(constant) = constant.filter(|constant| !constant.is_empty()) {
            return match characters(constant)? {
                (bytes, length @ 1..=4) => {
                    let value = bytes[..length].iter();
                    Ok(Tag(
                        value.fold(0, |value, byte| value << 8 | u32::from(*byte))
                    ))
                }
                _ => Err(form()),
            };
        }
        match text.len() {
            0 => Err(TagError::Empty),
            1..=4 => {
                let (mut bytes, length) = characters(text)?;
                bytes[length..].fill(b' ');
                Ok(Tag::from_bytes(bytes))
            }
            length => {
                let prefix = text
                    .get(..2)
                    .filter(|prefix| prefix.eq_ignore_ascii_case("0x"));
                let digits = match prefix {
                    Some(_) => &text[2..],
                    None if length == 8 => text,
                    None => return Err(form()),
                };
                let is_number = digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_number);
                number.map(Tag).ok_or_else(form)
            }
        }
    }
}

/// Up to four printable ASCII characters and how many there are; of a longer text, a length over 4.
fn characters(text: &str) -> Result<([u8; 4], usize), TagError> {
    let mut bytes = [0; 4];
    let mut length = 0;
    for character in text.chars() {
        let byte = u8::try_from(character).ok();
        let Some(byte) = byte.filter(|byte| (0x20..0x7f).contains(byte)) else {
            return Err(TagError::Character { character });
        };
        if let Some(place) = bytes.get_mut(length) {
            *place = byte;
        }
        length += 1;
    }
    Ok((bytes, length))
}

#[cfg(test)]
mod tests;
