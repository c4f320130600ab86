//! Strings in guest memory, as the debugger reads them.

use super::elements::Space;
use super::session::Session;
use crate::address::Va;

/// The characters of a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CharacterSize {
    /// One byte each; those above 7f are no characters here.
    Byte,
    /// Two bytes each: UTF-16.
    Wide,
}

impl CharacterSize {
    /// In bytes.
    ///
    /// ```
    /// use poolhit::debugger::string::CharacterSize;
    /// assert_eq!(CharacterSize::Wide.bytes(), 2);
    /// ```
    pub fn bytes(self) -> u64 {
        match self {
            CharacterSize::Byte => 1,
            CharacterSize::Wide => 2,
        }
    }
}

/// Characters of a string that are shown in one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StringLine {
    /// The first character's address.
    pub address: Va,
    /// The characters: `.` for what cannot be printed, `?` for what is not in memory.
    pub text: String,
}

/// A string: where it lies, and how it is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StringRange {
    /// The first character.
    pub start: Va,
    /// How many characters are looked at, at most.
    pub limit: u64,
    /// Their size.
    pub size: CharacterSize,
    /// Whether a zero ends the string.
    pub ends_at_zero: bool,
    /// How many characters a line has.
    pub columns: u64,
    /// Which memory.
    pub space: Space,
}

/// What is shown for a character.
fn printable(unit: u64, size: CharacterSize) -> char {
    let ascii = |unit: u64| matches!(unit, 0x20..0x7f);
    match (size, u32::try_from(unit).ok().and_then(char::from_u32)) {
        (_, Some(character)) if ascii(unit) => character,
        (CharacterSize::Wide, Some(character)) if unit > 0xff && character.is_alphanumeric() => {
            character
        }
        _ => '.',
    }
}

impl Session {
    /// The lines of a string. There is one even if it is empty.
    ///
    /// ```
    /// use poolhit::debugger::{elements::Space, string::{CharacterSize, StringRange}};
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let start = session.resolve("myfault").unwrap().wrapping_add(0x1400);
    /// session.write(start, b"leak\0")?;
    /// let string = StringRange {
    ///     start,
    ///     limit: 100,
    ///     size: CharacterSize::Byte,
    ///     ends_at_zero: true,
    ///     columns: 32,
    ///     space: Space::Virtual,
    /// };
    /// assert_eq!(session.string_lines(string)[0].text, "leak");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn string_lines(&self, string: StringRange) -> Vec<StringLine> {
        let size = string.size.bytes();
        let mut lines = vec![StringLine {
            address: string.start,
            text: String::new(),
        }];
        for number in 0..string.limit {
            let at = string.start.wrapping_add(number * size);
            let mut bytes = [0; 8];
            let there = self.read_space(string.space, at, &mut bytes[..size as usize]);
            let unit = u64::from_le_bytes(bytes);
            if there && unit == 0 && string.ends_at_zero {
                break;
            }
            if number > 0 && number % string.columns.max(1) == 0 {
                lines.push(StringLine {
                    address: at,
                    text: String::new(),
                });
            }
            if let Some(line) = lines.last_mut() {
                line.text.push(match there {
                    true => printable(unit, string.size),
                    false => '?',
                });
            }
        }
        lines
    }
}
