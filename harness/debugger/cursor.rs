//! Reading one command's arguments from left to right, and the errors that point into them.
//!
//! ```
//! use poolhit::debugger::cursor::Cursor;
//!
//! let mut cursor = Cursor::new(r#"bp 1000 "k;g""#);
//! assert_eq!(cursor.next_word(), Some("bp"));
//! assert_eq!(cursor.next_word(), Some("1000"));
//! assert_eq!(cursor.next_quoted().unwrap().as_deref(), Some("k;g"));
//! assert!(cursor.finish().is_ok());
//! ```

use super::expression::ExpressionError;
use crate::tag::{PatternError, TagPattern};
use std::fmt;

/// A place in a command's text: everything before it has been read.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of a command.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// assert_eq!(Cursor::new("k 5").rest(), "k 5");
    /// ```
    pub fn new(command: &'a str) -> Cursor<'a> {
        Cursor {
            text: command,
            at: 0,
        }
    }

    /// What has not been read yet.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// let mut cursor = Cursor::new("k 5");
    /// cursor.next_word();
    /// assert_eq!(cursor.rest(), " 5");
    /// ```
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// How many bytes have been read.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// let mut cursor = Cursor::new("k 5");
    /// cursor.next_word();
    /// assert_eq!(cursor.position(), 1);
    /// ```
    pub fn position(&self) -> usize {
        self.at
    }

    /// Skips white space and says whether anything is left behind it.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// assert!(Cursor::new("  ").at_end());
    /// ```
    pub fn at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    /// Skips white space and returns the next character without reading it.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// let mut cursor = Cursor::new(" 5");
    /// assert_eq!(cursor.peek(), Some('5'));
    /// assert_eq!(cursor.rest(), "5");
    /// ```
    pub fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest().chars().next()
    }

    /// Reads `prefix` if the rest, after white space, starts with it in either case.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// let mut cursor = Cursor::new(" L8");
    /// assert!(cursor.eat("l"));
    /// assert!(!cursor.eat("?"));
    /// assert_eq!(cursor.rest(), "8");
    /// ```
    pub fn eat(&mut self, prefix: &str) -> bool {
        self.skip_space();
        let found = self
            .rest()
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// Reads the characters up to the next white space.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// let mut cursor = Cursor::new("lm m nt");
    /// cursor.next_word();
    /// assert_eq!(cursor.next_word(), Some("m"));
    /// ```
    pub fn next_word(&mut self) -> Option<&'a str> {
        if self.at_end() {
            return None;
        }
        let rest = self.rest();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.at += end;
        Some(&rest[..end])
    }

    /// Reads a string in double quotes, if one is next, and resolves `\"` and `\\` in it. A
    /// backslash before anything else stands for itself.
    ///
    /// # Errors
    /// A syntax error if the string is not closed.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// let mut cursor = Cursor::new(r#" "bp 2 \"k;g\"" 5"#);
    /// assert_eq!(cursor.next_quoted().unwrap().as_deref(), Some(r#"bp 2 "k;g""#));
    /// assert_eq!(cursor.next_quoted(), Ok(None));
    /// assert_eq!(cursor.rest(), "5");
    /// ```
    pub fn next_quoted(&mut self) -> Result<Option<String>, CommandError> {
        self.skip_space();
        let Some(inside) = self.rest().strip_prefix('"') else {
            return Ok(None);
        };
        let mut string = String::new();
        let mut characters = inside.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 2;
                    return Ok(Some(string));
                }
                '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                    Some((_, next)) => string.push(next),
                    None => string.push('\\'),
                },
                _ => string.push(character),
            }
        }
        self.at = self.text.len();
        Err(self.error(CommandErrorKind::Syntax))
    }

    /// Reads a pattern for tags: a word, or a string in double quotes, which may have spaces in it.
    ///
    /// # Errors
    /// A syntax error if there is none; if no tag can fit it, what a pattern looks like.
    ///
    /// ```
    /// use poolhit::{debugger::cursor::Cursor, tag::Tag};
    /// let mut cursor = Cursor::new(r#""Irp " Irp"#);
    /// let pattern = cursor.next_tag_pattern().unwrap();
    /// assert_eq!(pattern.exact(), Some(Tag::from_bytes(*b"Irp ")));
    /// let error = cursor.next_tag_pattern().unwrap_err();
    /// assert!(error.to_string().starts_with("a tag has four characters, 'Irp' has 3"));
    /// ```
    pub fn next_tag_pattern(&mut self) -> Result<TagPattern, ArgumentError> {
        if let Some(text) = self.next_quoted()? {
            return Ok(text.parse()?);
        }
        match self.next_word() {
            Some(word) => Ok(word.parse()?),
            None => Err(self.error(CommandErrorKind::Syntax).into()),
        }
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// An extra character error at what is left.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// let error = Cursor::new("1)").finish().unwrap_err();
    /// assert_eq!(error.to_string(), "^ Extra character error in '1)'");
    /// ```
    pub fn finish(&mut self) -> Result<(), CommandError> {
        if self.at_end() {
            return Ok(());
        }
        self.advance(self.rest().chars().next().map_or(0, char::len_utf8));
        Err(self.error(CommandErrorKind::ExtraCharacter))
    }

    /// An error of the command that points at the last character read.
    ///
    /// ```
    /// use poolhit::debugger::cursor::{CommandErrorKind, Cursor};
    /// let mut cursor = Cursor::new("kb rsp+28");
    /// while cursor.next_word().is_some() {}
    /// let error = cursor.error(CommandErrorKind::Range);
    /// // From a WinDbg session, typed at the prompt "0:000> ".
    /// assert_eq!(error.with_prompt(7), "               ^ Range error in 'kb rsp+28'");
    /// ```
    pub fn error(&self, kind: CommandErrorKind) -> CommandError {
        CommandError {
            kind,
            command: self.text.to_string(),
            column: self.text[..self.at].chars().count().saturating_sub(1),
        }
    }

    pub(crate) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

/// What is wrong with a command as a whole, in WinDbg's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandErrorKind {
    /// The command or its arguments do not have the form they should.
    Syntax,
    /// More text than the command takes.
    ExtraCharacter,
    /// A number or an address range outside what the command takes.
    Range,
    /// A value that does not fit where it is to be written.
    Overflow,
    /// Memory that the command needs cannot be accessed.
    MemoryAccess,
    /// There is no module of the name that the command's text, as far as it is quoted, ends with.
    Unresolved,
}

impl fmt::Display for CommandErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandErrorKind::Syntax => "Syntax",
            CommandErrorKind::ExtraCharacter => "Extra character",
            CommandErrorKind::Range => "Range",
            CommandErrorKind::Overflow => "Overflow",
            CommandErrorKind::MemoryAccess => "Memory access",
            CommandErrorKind::Unresolved => "Couldn't resolve",
        })
    }
}

/// An error of a command. WinDbg prints it with a caret under the last character that it read.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct CommandError {
    /// What is wrong.
    pub kind: CommandErrorKind,
    /// The command's text.
    pub command: String,
    /// The caret's place in the command, in characters from 0.
    pub column: usize,
}

impl CommandError {
    /// The message with its caret below the command's text, for a command typed behind a prompt of
    /// `width` characters.
    ///
    /// ```
    /// use poolhit::debugger::cursor::{CommandErrorKind, Cursor};
    /// let error = Cursor::new("?)").error(CommandErrorKind::Syntax);
    /// assert_eq!(error.with_prompt(3), "   ^ Syntax error in '?)'");
    /// ```
    pub fn with_prompt(&self, width: usize) -> String {
        format!("{:1$}{self}", "", width + self.column)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandError { kind, command, .. } = self;
        match kind {
            CommandErrorKind::Unresolved => write!(f, "^ {kind} '{command}'"),
            kind => write!(f, "^ {kind} error in '{command}'"),
        }
    }
}

/// The message, for whoever unwraps it.
impl fmt::Debug for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandError: {self}, column {}", self.column)
    }
}

/// Why a command's arguments could not be read.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// An expression has no value.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// An argument has the wrong form or size.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A text is no tag, and no pattern for tags.
    #[error(transparent)]
    Tag(#[from] PatternError),
}

/// The message, for whoever unwraps it.
///
/// ```
/// use poolhit::debugger::cursor::{ArgumentError, CommandErrorKind, Cursor};
/// let error = ArgumentError::from(Cursor::new("k 1 2").error(CommandErrorKind::Range));
/// assert_eq!(format!("{error:?}"), "ArgumentError: ^ Range error in 'k 1 2'");
/// ```
impl fmt::Debug for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArgumentError: {self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The caret is where WinDbg sessions, published by their authors, have it.
    #[test]
    fn the_caret_is_below_the_last_character_read() {
        for (prompt, command, read, kind, expected) in [
            (
                "0:000> ",
                "r rsp+28",
                5,
                CommandErrorKind::Syntax,
                "           ^ Syntax error in 'r rsp+28'",
            ),
            (
                "lkd> ",
                "(0x88-0x70)",
                1,
                CommandErrorKind::Syntax,
                "     ^ Syntax error in '(0x88-0x70)'",
            ),
            (
                "0:000:x86> ",
                "u",
                1,
                CommandErrorKind::MemoryAccess,
                "           ^ Memory access error in 'u'",
            ),
        ] {
            let mut cursor = Cursor::new(command);
            cursor.advance(read);
            assert_eq!(cursor.error(kind).with_prompt(prompt.len()), expected);
        }
    }

    #[test]
    fn an_open_string_is_a_syntax_error() {
        let mut cursor = Cursor::new(r#"bp 1 "k;g\""#);
        cursor.next_word();
        cursor.next_word();
        assert_eq!(
            cursor.next_quoted().unwrap_err().kind,
            CommandErrorKind::Syntax
        );
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in r#"(.|[ "\\l]){0,40}"#) {
            let mut cursor = Cursor::new(&text);
            let mut before = cursor.position();
            while !cursor.at_end() {
                cursor.eat("l");
                cursor.peek();
                if cursor.next_quoted() == Ok(None) {
                    cursor.next_word();
                }
                prop_assert!(cursor.position() > before);
                before = cursor.position();
            }
            let error = cursor.error(CommandErrorKind::Range);
            prop_assert!(error.column <= text.chars().count());
        }

        #[test]
        fn quoting_is_undone(string in r#"(.|["\\;]){0,20}"#) {
            let quoted = string.replace('\\', r"\\").replace('"', r#"\""#);
            let text = format!("\"{quoted}\" rest");
            let mut cursor = Cursor::new(&text);
            prop_assert_eq!(cursor.next_quoted().unwrap(), Some(string));
            prop_assert_eq!(cursor.rest(), " rest");
        }
    }
}
