//! Text that lies in guest memory, as commands take it: `%mu` of `.printf`, `as /mu`.

use super::session::Session;
use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};
use std::borrow::Cow;

/// The most characters that are read: as many as a `UNICODE_STRING` can have, and as many again.
const MOST: usize = 65_536;

/// How a text lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextForm {
    /// Bytes up to a zero.
    Ascii,
    /// UTF-16 up to a zero.
    Unicode,
    /// What an `ANSI_STRING` describes.
    AnsiString,
    /// What a `UNICODE_STRING` describes.
    UnicodeString,
}

/// A text as it may be printed. What is printed may come from guest memory, and a guest is not to move a
/// terminal's cursor or rename its window: control characters are points, but for ends of lines and
/// tabulators; carriage returns are left out. All that commands print, and errors, goes through here.
///
/// ```
/// use poolhit::debugger::target_text::printable;
/// assert_eq!(printable("one\ttwo\r\n"), "one\ttwo\n");
/// assert_eq!(printable("\x1b[2J\u{9b}2J"), ".[2J.2J");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    // Byte by byte, since listings of hits go through here: U+0080 to U+009F begin with C2 in UTF-8.
    let control = |byte: u8| byte < 0x20 && byte != b'\n' && byte != b'\t';
    let found = text.bytes().fold(false, |found, byte| {
        found | control(byte) | (byte == 0x7f) | (byte == 0xc2)
    });
    if !found {
        return Cow::Borrowed(text);
    }
    let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let kept = text.chars().filter(|c| *c != '\r');
    Cow::Owned(kept.map(|c| if moves(c) { '.' } else { c }).collect())
}

impl Session {
    /// The text at an address, of at most 65536 characters. Bytes that are no ASCII, and broken UTF-16, give
    /// replacement characters.
    ///
    /// # Errors
    /// Some of it is not in memory.
    ///
    /// ```
    /// use poolhit::{Lab, Session, debugger::target_text::TextForm};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let at = session.resolve("nt!PoolHitTag").unwrap();
    /// session.write(at, b"Le\0")?;
    /// assert_eq!(session.target_text(at, TextForm::Ascii)?, "Le");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn target_text(&self, address: Va, form: TextForm) -> Result<String, MemoryFault> {
        let machine = self.lab().machine();
        let counted = || -> Result<(usize, Va), MemoryFault> {
            // Length, and behind MaximumLength and four bytes Buffer
            let length = machine.read_u16(address)?;
            Ok((
                usize::from(length),
                machine.read_va(address.wrapping_add(8))?,
            ))
        };
        Ok(match form {
            TextForm::Ascii => {
                let mut bytes = Vec::new();
                while bytes.len() < MOST {
                    match machine.read_u8(address.wrapping_add(bytes.len() as u64))? {
                        0 => break,
                        byte => bytes.push(byte),
                    }
                }
                String::from_utf8_lossy(&bytes).into_owned()
            }
            TextForm::Unicode => {
                let mut units = Vec::new();
                while units.len() < MOST {
                    match machine.read_u16(address.wrapping_add(2 * units.len() as u64))? {
                        0 => break,
                        unit => units.push(unit),
                    }
                }
                String::from_utf16_lossy(&units)
            }
            TextForm::AnsiString => {
                let (length, buffer) = counted()?;
                let mut bytes = vec![0; length];
                machine.read(buffer, &mut bytes)?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            TextForm::UnicodeString => {
                let (length, buffer) = counted()?;
                let mut bytes = vec![0; length & !1];
                machine.read(buffer, &mut bytes)?;
                let units = bytes.chunks_exact(2);
                let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                String::from_utf16_lossy(&units.collect::<Vec<u16>>())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Lab;
    use proptest::prelude::*;

    #[test]
    fn texts_are_read_in_each_form() {
        let mut session = Session::new(Lab::builder().build().unwrap());
        let at = session.resolve("myfault").unwrap().wrapping_add(0x1400);
        let text = at.wrapping_add(0x20);
        let mut bytes = vec![4, 0, 8, 0, 0, 0, 0, 0];
        bytes.extend(text.0.to_le_bytes());
        session.write(at, &bytes).unwrap();
        session.write(text, b"L\0e\0a\0\0\0").unwrap();
        for (from, form, expected) in [
            (text, TextForm::Ascii, "L"),
            (text, TextForm::Unicode, "Lea"),
            (at, TextForm::AnsiString, "L\0e\0"),
            (at, TextForm::UnicodeString, "Le"),
        ] {
            assert_eq!(session.target_text(from, form).unwrap(), expected);
        }
        assert!(session.target_text(Va(0x10), TextForm::Ascii).is_err());
    }

    /// Whatever is in guest memory, and whichever command shows it.
    #[test]
    fn nothing_printed_moves_the_cursor() {
        let session = Session::new(Lab::builder().build().unwrap());
        let at = session.resolve("myfault").unwrap().wrapping_add(0x1400);
        // the closure of a property may be called again
        let session = std::cell::RefCell::new(session);
        let low = prop_oneof![0_u8..32, any::<u8>(), Just(0x1b)];
        let bytes = proptest::collection::vec(low, 1..24);
        proptest!(ProptestConfig::with_cases(64), |(bytes in bytes)| {
            let mut session = session.borrow_mut();
            session.write(at, &[&bytes[..], &[0, 0]].concat()).unwrap();
            for command in [
                format!(".printf \"%ma %mu %c %C\\n\", {at}, {at}, by({at}), wo({at})"),
                format!("as /c Shown .printf \"%c\", by({at})"),
                format!("as /ma Text {at}; al"),
                format!("as /mu Text {at}; al"),
                format!(".foreach (word {{ .printf \"%c%c\", by({at}), by({at}+1) }}) {{ ? word }}"),
                format!("da {at} l8; du {at} l4; db {at} l10; dc {at} l4; dda {at} l1"),
            ] {
                let mut out = String::new();
                if let Err(error) = session.execute_to(&command, &mut out) {
                    out.push_str(&error.below_prompt(7));
                }
                let moved = out.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
                prop_assert_eq!(moved, None, "{}: {:?}", command, out);
                let _ = session.execute("ad *");
            }
        });
    }
}
