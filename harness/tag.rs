//! Pool tags: the four bytes that drivers give to `ExAllocatePoolWithTag`, in every form in which
//! people write them.
//!
//! A tag is a 32-bit number whose bytes, lowest first, are the characters that tools show. `Lea2`
//! in a listing of `!poolused` is `'2aeL'` in a driver's C source and `3261654c` to `ed` and `dd`.
//!
//! # How a text is read
//! As a [`Tag`], wherever one tag is asked for, and as a [`TagPattern`], by the rules of `!poolfind`
//! and `!poolused` in the debugger's manual. The first row that a text fits is the one that counts.
//!
//! | text | as a [`Tag`] | as a [`TagPattern`] |
//! |---|---|---|
//! | `0x3261654c`, `0x12`: `0x`, not `0X` | the number, of up to eight hexadecimal digits; with any others an error | the same |
//! | `'2aeL'`, `'prI'`: in single quotes | the constant as in C and in `ed`, first character highest: `Lea2`, `Irp\0` | no constant: `'ab'` are four characters, `'2aeL'` an error |
//! | `3261654c`: eight hexadecimal digits | the number, as in `ed` and `dd` | an error |
//! | `Lea2`: four characters | as shown and stored; `*` and `?` are characters like others | the same, but `?` stands for any one byte |
//! | `Irp`: fewer | filled with spaces: `Irp ` | an error; write `"Irp "` in double quotes, or with a `*` |
//! | `L*2`, `Le*`: up to four characters and any number of `*` | characters like others, up to four in all | `*` stands for any number of bytes, `?` for one |
//!
//! Characters are those of ASCII that can be printed; upper and lower case differ. A byte that
//! cannot be printed has to be written in a number, and fits only wildcards and numbers. A pattern
//! does not look at the protected bit, neither in a tag nor in a number.
//!
//! # How a tag is printed
//! | by | form | reads back |
//! |---|---|---|
//! | `Display` | four characters, spaces among them, or the number with `0x` where they would be read as something else | as this tag |
//! | [`Tag::hex`] | eight hexadecimal digits | as this tag |
//! | [`Tag::constant`] | a constant of C and of `ed`, or the number with `0x` where there is none | as this tag |
//! | [`Tag::shown`] | four characters in every case, a point for each that cannot be printed | not in every case |
//!
//! The pool's listings show a tag without its protected bit ([`Tag::unprotected`]), but for blocks
//! that are free, where they show the byte as it is.
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

/// The longest part of a text that an error quotes, in characters.
const QUOTED: usize = 32;

/// A pool tag: the number as it lies in memory, little-endian.
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
    /// It starts with `0x`, and no number of 32 bits follows.
    #[error("'{text}' is no number of a tag: up to eight hexadecimal digits follow 0x")]
    Number {
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
    pub const fn from_bytes(bytes: [u8; 4]) -> Tag {
        Tag(u32::from_le_bytes(bytes))
    }

    /// The bytes as they lie in memory: the characters in the order in which tools show them.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(&Tag(0x20707249).to_bytes(), b"Irp ");
    /// ```
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// Whether the bit is set that protects a block from being freed with another tag.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// // `Fil\xe5`, as the tag of a file object is stored.
    /// assert!(Tag(0xe56c6946).is_protected());
    /// ```
    pub const fn is_protected(self) -> bool {
        self.0 & PROTECTED != 0
    }

    /// The tag without the protected bit: what `PoolHitTag` is compared with when a block is freed,
    /// and what `nt!PoolTrackTable` counts by.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(Tag(0xe56c6946).unprotected().to_string(), "File");
    /// ```
    pub const fn unprotected(self) -> Tag {
        Tag(self.0 & !PROTECTED)
    }

    /// Whether an allocation with this tag hits when `nt!PoolHitTag` is `hit_tag`: all 32 bits have
    /// to be equal, the protected one too (`docs/pool-hit-tag.md`, which has the evidence).
    ///
    /// The kernel refuses the tags 0 and `BIG ` with a bug check, before it compares them.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// let tag = Tag::from_bytes(*b"Lea2");
    /// assert!(tag.hits_allocation(tag));
    /// // a driver that passes the tag as a protected one is another matter
    /// assert!(!Tag(tag.0 | 0x8000_0000).hits_allocation(tag));
    /// ```
    pub const fn hits_allocation(self, hit_tag: Tag) -> bool {
        self.0 == hit_tag.0
    }

    /// Whether freeing a block that was allocated with this tag hits when `nt!PoolHitTag` is
    /// `hit_tag`: the block's tag is compared without its protected bit (`docs/pool-hit-tag.md`).
    /// The tag that the caller of `ExFreePoolWithTag` passes does not matter.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// let (plain, protected) = (Tag(0x3261654c), Tag(0xb261654c));
    /// assert!(plain.hits_free(plain) && protected.hits_free(plain));
    /// // no free hits a tag with the protected bit, such as the default
    /// assert!(!protected.hits_free(protected));
    /// assert!(!Tag(0xffffff0f).hits_free(Tag(0xffffff0f)));
    /// ```
    pub const fn hits_free(self, hit_tag: Tag) -> bool {
        self.unprotected().0 == hit_tag.0
    }

    /// The tag as the pool's listings show it: always four characters, a point for each byte that
    /// cannot be printed.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(Tag(0xe56c6946).shown(), "Fil.");
    /// assert_eq!(Tag(0xe56c6946).unprotected().shown(), "File");
    /// assert_eq!(Tag(0x00013e2a).shown(), "*>..");
    /// ```
    pub fn shown(self) -> String {
        let shown = |byte: u8| match is_printable(byte) {
            true => char::from(byte),
            false => '.',
        };
        self.to_bytes().into_iter().map(shown).collect()
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

    /// The tag as a character constant, which C and the debugger's expressions read as the same
    /// number; one without `'` and `\\`, which C would want escaped. Where there is none, the
    /// number with `0x`. Parsing gives the same tag.
    ///
    /// ```
    /// use poolhit::tag::Tag;
    /// assert_eq!(Tag::from_bytes(*b"Lea2").constant(), "'2aeL'");
    /// assert_eq!(Tag::from_bytes(*b"Irp\0").constant(), "'prI'");
    /// assert_eq!(Tag(0xe56c6946).constant(), "0xe56c6946");
    /// ```
    pub fn constant(self) -> String {
        let bytes = self.to_bytes();
        // C fills a short constant with zeros at the high end.
        let length = 4 - self.0.leading_zeros() as usize / 8;
        let is_plain = |byte: &u8| is_printable(*byte) && !matches!(byte, b'\'' | b'\\');
        if length == 0 || !bytes[..length].iter().all(is_plain) {
            return self.number();
        }
        let backwards = bytes[..length].iter().rev().copied().map(char::from);
        format!("'{}'", backwards.collect::<String>())
    }

    fn number(self) -> String {
        format!("{:#010x}", self.0)
    }
}

impl From<u32> for Tag {
    fn from(value: u32) -> Tag {
        Tag(value)
    }
}

/// As an argument of the pool's routines.
///
/// ```
/// use poolhit::tag::Tag;
/// let mut lab = poolhit::Lab::builder().build()?;
/// let tag = Tag::from_bytes(*b"Lea2");
/// lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, tag.into()])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl From<Tag> for u64 {
    fn from(tag: Tag) -> u64 {
        u64::from(tag.0)
    }
}

/// The four characters, trailing spaces among them, if they can be read back as this tag; else the
/// number with `0x`.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.to_bytes();
        let reads_back = !matches!(bytes, [b'\'', _, _, b'\''] | [b'0', b'x', ..]);
        match reads_back && bytes.into_iter().all(is_printable) {
            true => f.write_str(&self.shown()),
            false => f.write_str(&self.number()),
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
        if let Some(number) = number(text) {
            return number;
        }
        let form = || TagError::Form { text: quote(text) };
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
            8 => hexadecimal(text).map(Tag).ok_or_else(form),
            _ => Err(form()),
        }
    }
}

/// The tag of a text that starts with `0x`, in any other case nothing.
fn number(text: &str) -> Option<Result<Tag, TagError>> {
    let digits = text.strip_prefix("0x")?;
    let tag = hexadecimal(digits).map(Tag);
    Some(tag.ok_or_else(|| TagError::Number { text: quote(text) }))
}

/// A number of one to eight hexadecimal digits, and nothing else.
fn hexadecimal(digits: &str) -> Option<u32> {
    let is_number = digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_number)
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

/// Up to four characters and how many there are; of a longer text, a length over 4.
fn characters(text: &str) -> Result<([u8; 4], usize), TagError> {
    let mut bytes = [0; 4];
    let mut length = 0;
    for character in text.chars() {
        let byte = u8::try_from(character).ok();
        let Some(byte) = byte.filter(|byte| is_printable(*byte)) else {
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
