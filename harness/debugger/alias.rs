//! Aliases: names that are replaced in commands before they are read.
//!
//! "Using Aliases" and "${ } (Alias Interpreter)" in the debugger's manual:
//!
//! - A user-named alias is replaced where white space, a semicolon, a quotation mark or an end of the text
//!   is on both of its sides; in `${…}` anywhere.
//! - `${NAME}` without such an alias stays as it is. `${/d:NAME}` is 1 or 0, whether there is one;
//!   `${/f:NAME}` is its value or nothing; `${/n:NAME}` its name, or stays; `${/v:NAME}` always stays.
//! - `$u0` to `$u9` are replaced first, and anywhere; at first they are empty.
//! - A text that begins with `as`, `aS`, `ad` or `al` keeps its user-named aliases.
//! - A value is not looked through for aliases again until the next block is entered.
//! - `$ntsym` and `$ntnsym` are `nt`, the kernel's module.

use std::collections::BTreeMap;

/// The most aliases, the longest name or value, and the longest text with aliases replaced, in bytes. The
/// project's own limits.
pub const MOST_ALIASES: usize = 1024;
/// See [`MOST_ALIASES`].
pub const MAX_VALUE_LENGTH: usize = 65_536;
/// See [`MOST_ALIASES`].
pub const MAX_EXPANDED_LENGTH: usize = 1 << 20;

/// Why an alias cannot be set, or not be replaced.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AliasError {
    /// There are as many as there can be.
    #[error("there are {MOST_ALIASES} aliases already; delete some with ad")]
    TooMany,
    /// A name or value is too long.
    #[error("an alias of {length} bytes is too long: the limit is {MAX_VALUE_LENGTH}")]
    TooLong {
        /// The length in bytes.
        length: usize,
    },
    /// The commands are too long with their aliases replaced.
    #[error("the commands are longer than {MAX_EXPANDED_LENGTH} bytes with their aliases replaced")]
    ExpandedTooLong,
}

/// The aliases of a session.
///
/// ```
/// use poolhit::debugger::alias::Aliases;
/// let mut aliases = Aliases::default();
/// aliases.set("Tag", "nt!PoolHitTag")?;
/// aliases.set_fixed(0, "l1")?;
/// assert_eq!(aliases.replace("dc Tag $u0; dc ${Tag}+4; dc Tags")?,
///     "dc nt!PoolHitTag l1; dc nt!PoolHitTag+4; dc Tags");
/// # Ok::<(), poolhit::debugger::alias::AliasError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    user: BTreeMap<String, String>,
    fixed: [String; 10],
}

/// Those that the debugger sets itself, in kernel mode.
const AUTOMATIC: [(&str, &str); 2] = [("$ntnsym", "nt"), ("$ntsym", "nt")];

impl Aliases {
    /// Sets a user-named alias, or sets it anew.
    ///
    /// # Errors
    /// There are too many, or one is too long.
    ///
    /// ```
    /// use poolhit::debugger::alias::{AliasError, Aliases};
    /// let mut aliases = Aliases::default();
    /// assert_eq!(aliases.set("x", &"y".repeat(65_537)), Err(AliasError::TooLong { length: 65_537 }));
    /// ```
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), AliasError> {
        let length = name.len().max(value.len());
        if length > MAX_VALUE_LENGTH {
            return Err(AliasError::TooLong { length });
        }
        if self.user.len() >= MOST_ALIASES && !self.user.contains_key(name) {
            return Err(AliasError::TooMany);
        }
        self.user.insert(name.to_string(), value.to_string());
        Ok(())
    }

    /// Sets `$u0` to `$u9`; other numbers have no alias, and nothing is done.
    ///
    /// # Errors
    /// The value is too long.
    ///
    /// ```
    /// use poolhit::debugger::alias::Aliases;
    /// let mut aliases = Aliases::default();
    /// aliases.set_fixed(2, "7")?;
    /// assert_eq!(aliases.replace("? 1+$u2")?, "? 1+7");
    /// # Ok::<(), poolhit::debugger::alias::AliasError>(())
    /// ```
    pub fn set_fixed(&mut self, number: usize, value: &str) -> Result<(), AliasError> {
        if value.len() > MAX_VALUE_LENGTH {
            return Err(AliasError::TooLong {
                length: value.len(),
            });
        }
        if let Some(fixed) = self.fixed.get_mut(number) {
            *fixed = value.to_string();
        }
        Ok(())
    }

    /// Deletes a user-named alias, and says whether there was one.
    ///
    /// ```
    /// assert!(!poolhit::debugger::alias::Aliases::default().remove("x"));
    /// ```
    pub fn remove(&mut self, name: &str) -> bool {
        self.user.remove(name).is_some()
    }

    /// Deletes all user-named aliases.
    ///
    /// ```
    /// use poolhit::debugger::alias::Aliases;
    /// let mut aliases = Aliases::default();
    /// aliases.set("x", "y")?;
    /// aliases.clear();
    /// assert_eq!(aliases.iter().count(), 0);
    /// # Ok::<(), poolhit::debugger::alias::AliasError>(())
    /// ```
    pub fn clear(&mut self) {
        self.user.clear();
    }

    /// The user-named aliases with their values, by name.
    ///
    /// ```
    /// use poolhit::debugger::alias::Aliases;
    /// let mut aliases = Aliases::default();
    /// aliases.set("x", "y")?;
    /// assert_eq!(aliases.iter().next(), Some(("x", "y")));
    /// # Ok::<(), poolhit::debugger::alias::AliasError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.user.iter().map(|(name, value)| (&**name, &**value))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let automatic = || AUTOMATIC.iter().find(|(known, _)| *known == name);
        self.user
            .get(name)
            .map(String::as_str)
            .or_else(|| automatic().map(|(_, value)| *value))
    }

    /// A text with its aliases replaced.
    ///
    /// # Errors
    /// It is longer than [`MAX_EXPANDED_LENGTH`] then.
    ///
    /// ```
    /// use poolhit::debugger::alias::Aliases;
    /// let mut aliases = Aliases::default();
    /// aliases.set("x", "1")?;
    /// assert_eq!(aliases.replace("as x 2; ? x")?, "as x 2; ? x");
    /// assert_eq!(aliases.replace("? ${x}0 + ${/d:y}")?, "? 10 + 0");
    /// # Ok::<(), poolhit::debugger::alias::AliasError>(())
    /// ```
    pub fn replace(&self, text: &str) -> Result<String, AliasError> {
        let text = self.replace_fixed(text)?;
        if ["as", "aS", "ad", "al"]
            .iter()
            .any(|one| text.starts_with(one))
        {
            return Ok(text);
        }
        replace_named(&text, &|name| self.get(name), true)
    }

    /// Whether a text has no aliases in it.
    pub(crate) fn keep(&self, text: &str) -> bool {
        let replaced = self.replace(text);
        replaced.is_ok_and(|replaced| replaced == text)
    }

    fn replace_fixed(&self, text: &str) -> Result<String, AliasError> {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("$u") {
            let (before, name) = rest.split_at(at);
            replaced.push_str(before);
            let digit = name[2..].chars().next().and_then(|c| c.to_digit(10));
            match digit.and_then(|digit| self.fixed.get(digit as usize)) {
                Some(value) => {
                    replaced.push_str(value);
                    rest = &name[3..];
                }
                None => {
                    replaced.push_str("$u");
                    rest = &name[2..];
                }
            }
            check_length(&replaced)?;
        }
        replaced.push_str(rest);
        check_length(&replaced)?;
        Ok(replaced)
    }
}

fn check_length(text: &str) -> Result<(), AliasError> {
    match text.len() > MAX_EXPANDED_LENGTH {
        true => Err(AliasError::ExpandedTooLong),
        false => Ok(()),
    }
}

/// A text with one variable of `.foreach` replaced, as if it were an alias.
///
/// # Errors
/// It is longer than [`MAX_EXPANDED_LENGTH`] then.
pub(crate) fn replace_variable(text: &str, name: &str, value: &str) -> Result<String, AliasError> {
    if ["as", "aS", "ad", "al"]
        .iter()
        .any(|one| text.starts_with(one))
    {
        return Ok(text.to_string());
    }
    replace_named(text, &|asked| (asked == name).then_some(value), false)
}

/// What bounds an alias.
fn is_boundary(character: char) -> bool {
    character.is_whitespace() || matches!(character, ';' | '"')
}

/// Replaces names. `answers` is whether `${/d:…}` and `${/f:…}` of unknown ones are answered; otherwise
/// they stay.
fn replace_named<'v>(
    text: &str,
    value: &dyn Fn(&str) -> Option<&'v str>,
    answers: bool,
) -> Result<String, AliasError> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    let mut at_boundary = true;
    while let Some(character) = rest.chars().next() {
        check_length(&replaced)?;
        if let Some(inside) = rest.strip_prefix("${")
            && let Some((inside, behind)) = inside.split_once('}')
        {
            let token = &rest[..rest.len() - behind.len()];
            replaced.push_str(&interpret(token, inside, value, answers));
            rest = behind;
            at_boundary = false;
            continue;
        }
        if at_boundary && !is_boundary(character) {
            let word = &rest[..rest.find(is_boundary).unwrap_or(rest.len())];
            if let Some(value) = value(word) {
                replaced.push_str(value);
                rest = &rest[word.len()..];
                at_boundary = false;
                continue;
            }
        }
        at_boundary = is_boundary(character);
        replaced.push(character);
        rest = &rest[character.len_utf8()..];
    }
    check_length(&replaced)?;
    Ok(replaced)
}

/// What `${…}` stands for.
fn interpret<'v>(
    token: &str,
    inside: &str,
    value: &dyn Fn(&str) -> Option<&'v str>,
    answers: bool,
) -> String {
    let (option, name) = match inside
        .strip_prefix('/')
        .and_then(|text| text.split_once(':'))
    {
        Some((option, name)) => (option, name.trim()),
        None => ("", inside.trim()),
    };
    let found = value(name);
    let answer = match (option, found) {
        ("", Some(value)) | ("f", Some(value)) => Some(value),
        ("d", Some(_)) => Some("1"),
        ("n", Some(_)) => Some(name),
        ("d", None) if answers => Some("0"),
        ("f", None) if answers => Some(""),
        _ => None,
    };
    answer.unwrap_or(token).to_string()
}

/// The name that `${/v:NAME}` protects from being replaced; other names as they are ("${ } (Alias
/// Interpreter)": as the first parameter of `as`, `aS` and `ad`).
pub(crate) fn protected_name(word: &str) -> &str {
    let inside = word
        .strip_prefix("${/v:")
        .and_then(|text| text.strip_suffix('}'));
    inside.map_or(word, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aliases() -> Aliases {
        let mut aliases = Aliases::default();
        aliases.set("one", "1").unwrap();
        aliases.set("two", "one one").unwrap();
        aliases.set_fixed(1, "one").unwrap();
        aliases
    }

    #[test]
    fn aliases_are_replaced_by_the_manuals_rules() {
        for (text, expected) in [
            ("one", "1"),
            (" one;one\"one\" one", " 1;1\"1\" 1"),
            ("one+one (one) ones", "one+one (one) ones"),
            ("${one}+${one}", "1+1"),
            ("two", "one one"),
            ("$u1$u1 $u0x", "oneone x"),
            ("$u1 $ux", "1 $ux"),
            (
                "${three} ${/v:one} ${/n:one} ${/n:three}",
                "${three} ${/v:one} one ${/n:three}",
            ),
            ("${/d:one}${/d:three}${/f:one}${/f:three}.", "101."),
            ("as one two", "as one two"),
            (" as one two", " as 1 one one"),
            (";as one two", ";as 1 one one"),
            ("al; one", "al; one"),
            ("${one", "${one"),
            ("x $ntsym!y ${$ntsym}!y", "x $ntsym!y nt!y"),
        ] {
            assert_eq!(aliases().replace(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn variables_are_replaced_alone() {
        let replaced = replace_variable("x ${x} one ${/d:one} (x)", "x", "7").unwrap();
        assert_eq!(replaced, "7 7 one ${/d:one} (x)");
        assert_eq!(replace_variable("as a x", "x", "7").unwrap(), "as a x");
    }

    #[test]
    fn there_is_an_end() {
        let mut aliases = Aliases::default();
        for number in 0..MOST_ALIASES {
            aliases.set(&format!("a{number}"), "x").unwrap();
        }
        assert_eq!(aliases.set("one more", "x"), Err(AliasError::TooMany));
        aliases.set("a0", &"y".repeat(MAX_VALUE_LENGTH)).unwrap();
        let text = "a0 ".repeat(17);
        assert_eq!(aliases.replace(&text), Err(AliasError::ExpandedTooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_replaced(text in r#"(one|two|\$\{|\}|/[dfnv]:|\$u1|[ ;"a-z]|.){0,40}"#) {
            let once = aliases().replace(&text).unwrap();
            prop_assert!(Aliases::default().replace(&once).is_ok());
        }
    }
}
