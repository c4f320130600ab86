//! What a line of `dt` asks for: its options, fields and address.

use super::ExecuteError;
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::report::typed::{FieldPath, ListingOptions, NESTING_LIMIT};
use crate::symbols::types::{Shape, Type};

/// What the line asks for besides the name.
#[derive(Default)]
pub(super) struct Request {
    pub(super) options: ListingOptions,
    pub(super) address: Option<Va>,
    pub(super) by_prefix: bool,
    pub(super) is_name: bool,
    /// The member that links a list's elements (`-l`).
    pub(super) link: Option<String>,
    /// Types alone (`-e`, `-t`), and of one size (`-s`).
    pub(super) types_only: bool,
    pub(super) size: Option<u64>,
    /// All that there is to types whose names are listed (`-d`).
    pub(super) details: bool,
}

impl Request {
    /// Reads an option, if one is next.
    pub(super) fn next_option(
        &mut self,
        session: &Session,
        arguments: &mut Cursor<'_>,
    ) -> Result<bool, ExecuteError> {
        if !starts_option({
            arguments.peek();
            arguments.rest()
        }) {
            return Ok(false);
        }
        let word = arguments.next_word().unwrap_or_default();
        if are_letters(word) {
            for letter in word[1..].chars() {
                self.set(letter);
            }
            return Ok(true);
        }
        let (letter, count) = word.split_at(2);
        let number = match count {
            "" => None,
            count => match count.parse::<u64>() {
                Ok(number) if matches!(letter, "-r" | "-a") => Some(number),
                _ => return Err(unknown_option(word)),
            },
        };
        let options = &mut self.options;
        match letter {
            "-r" => options.depth = (number.unwrap_or(u64::MAX) as usize).min(NESTING_LIMIT),
            "-a" => options.elements = Some(number.unwrap_or(u64::MAX)),
            "-n" => self.is_name = true,
            "-l" => match arguments.next_word() {
                Some(path) => self.link = Some(path.to_string()),
                None => return Err(arguments.error(CommandErrorKind::Syntax).into()),
            },
            "-s" => {
                let size = arguments.next_word().unwrap_or_default();
                self.size = Some(Cursor::new(size).next_expression(session)?);
                self.types_only = true;
            }
            _ => return Err(unknown_option(word)),
        }
        Ok(true)
    }

    /// One of the [`LETTERS`].
    fn set(&mut self, letter: char) {
        let options = &mut self.options;
        match letter {
            'b' => (options.blocks, options.depth) = (true, NESTING_LIMIT),
            'd' => (options.verbose, self.details) = (true, true),
            'i' => options.without_indent = true,
            'o' => options.without_offsets = true,
            'v' => options.verbose = true,
            'y' => self.by_prefix = true,
            _ => self.types_only = true,
        }
    }

    /// Reads what stands behind the name.
    pub(super) fn next_rest(
        &mut self,
        session: &Session,
        arguments: &mut Cursor<'_>,
        ty: Type<'_>,
    ) -> Result<(), ExecuteError> {
        self.is_name = false;
        while !arguments.at_end() {
            if !self.next_option(session, arguments)? {
                self.next_field_or_address(session, arguments, ty)?;
            }
        }
        Ok(())
    }

    /// Reads a field's path, or else an address.
    fn next_field_or_address(
        &mut self,
        session: &Session,
        arguments: &mut Cursor<'_>,
        ty: Type<'_>,
    ) -> Result<(), ExecuteError> {
        let word = arguments.rest().split_whitespace().next();
        let word = word.unwrap_or_default();
        if let Some((array, index)) = element(word)
            && has_field(ty, &FieldPath::new(array, self.by_prefix))?
        {
            return Err(ExecuteError::ArrayElement {
                field: word.to_string(),
                array: array.to_string(),
                count: index.saturating_add(1),
            });
        }
        let path = FieldPath::new(word, self.by_prefix);
        // With an address at hand, what comes is a field even if there is no such field.
        if self.is_name || self.address.is_some() || has_field(ty, &path)? {
            arguments.next_word();
            self.options.fields.push(path);
            (self.by_prefix, self.is_name) = (false, false);
            return Ok(());
        }
        let mut ahead = arguments.clone();
        let found = self.next_address(session, arguments);
        while found.is_err() && !ahead.at_end() {
            if let Err(error) = refuse_option(&mut ahead) {
                *arguments = ahead;
                return Err(error);
            }
            ahead.next_word();
        }
        // What is no address at all was to be a member.
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.*[]".contains(c));
        match found {
            Err(ExecuteError::Argument(_)) if is_name => Err(ExecuteError::NoSuchField),
            found => found,
        }
    }

    /// Reads an address: up to an option, which an expression would take for a subtraction.
    pub(super) fn next_address(
        &mut self,
        session: &Session,
        arguments: &mut Cursor<'_>,
    ) -> Result<(), ExecuteError> {
        arguments.peek();
        let rest = arguments.rest();
        let end = rest
            .match_indices(char::is_whitespace)
            .map(|(at, _)| at)
            .find(|at| starts_option(rest[*at..].trim_start()));
        let text = &rest[..end.unwrap_or(rest.len())];
        let mut expression = Cursor::new(text);
        let value = expression.next_expression(session)?;
        arguments.eat(&text[..expression.position()]);
        self.address = Some(Va(value));
        Ok(())
    }
}

/// The options that are a letter alone, and may stand together.
const LETTERS: &str = "bdeiotvy";

/// Whether a word is `-` and some of the [`LETTERS`].
fn are_letters(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    !letters.is_empty() && letters.chars().all(|letter| LETTERS.contains(letter))
}

/// `-r1`, but not `-10` or `-nt`: of options only the letter and a number, or some [`LETTERS`], make a word.
fn starts_option(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default();
    if are_letters(word) {
        return true;
    }
    match word.as_bytes() {
        [b'-', letter, rest @ ..] => {
            letter.is_ascii_alphabetic() && rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// The name and the number of an array's element, as C writes it: `ListHeads[3]`.
pub(super) fn element(word: &str) -> Option<(&str, u64)> {
    let (array, index) = word.split_once('[')?;
    Some((array, index.split_once(']')?.0.parse().ok()?))
}

/// Refuses the next word if it looks like options: `-rx`, but not `-nt!KiIdleLoop` or `-10`. It has been read
/// then.
pub(super) fn refuse_option(arguments: &mut Cursor<'_>) -> Result<(), ExecuteError> {
    let mut ahead = arguments.clone();
    let word = ahead.next_word().unwrap_or_default();
    let letters = word.strip_prefix('-').unwrap_or_default();
    let is_option = letters.starts_with(|c: char| c.is_ascii_alphabetic())
        && letters.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match is_option && !starts_option(word) {
        true => {
            *arguments = ahead;
            Err(unknown_option(word))
        }
        false => Ok(()),
    }
}

fn unknown_option(word: &str) -> ExecuteError {
    ExecuteError::UnknownOption {
        command: "dt",
        option: word.to_string(),
        known: "-a[COUNT], -b, -d, -e, -i, -l LINK, -n, -o, -r[DEPTH], -s SIZE, -t, -v and -y",
    }
}

/// Whether a path begins with a member of the type, or of what it points to.
fn has_field(ty: Type<'_>, path: &FieldPath) -> Result<bool, ExecuteError> {
    let structure = match ty.shape()? {
        Shape::Structure(one) => one,
        Shape::Pointer { target, .. } => match target.shape()? {
            Shape::Structure(one) => one,
            _ => return Ok(false),
        },
        _ => return Ok(false),
    };
    let mut fields = structure.fields()?.into_iter();
    Ok(fields.any(|field| path.starts_with(&field.name())))
}
