//! One line of input as the commands it holds.
//!
//! Commands are separated by `;`, which means nothing inside a quoted string:
//!
//! ```
//! use poolhit::debugger::command_line::commands;
//!
//! let line = r#"bp fffff800`014798f6 "k;g"; g; $$ and wait; * the end; bl"#;
//! let commands: Vec<&str> = commands(line).unwrap().collect();
//! assert_eq!(commands, [r#"bp fffff800`014798f6 "k;g""#, "g"]);
//! ```

/// The longest line that is taken, in bytes. The project's own limit: it bounds the work that one
/// line of a script can ask for.
pub const MAX_LINE_LENGTH: usize = 65_536;

/// A line longer than [`MAX_LINE_LENGTH`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("Command line of {length} bytes is too long: the limit is {MAX_LINE_LENGTH}")]
pub struct LineTooLong {
    /// The line's length in bytes.
    pub length: usize,
}

/// The commands of a line, in order, without the space around them. Empty commands and comments
/// are left out.
///
/// The rules are the debugger's manual's:
/// - `;` separates commands ("; (Command Separator)"), but not inside double quotes, where `\"`
///   is a quote that does not end the string. A string that is not closed reaches to the line's
///   end.
/// - `*` at the start of a command makes the rest of the line a comment; `$$` one that ends at the
///   next `;` ("Comment Line Specifier", "Comment Specifier"). `$$<` and `$$>` are no comments but
///   run script files.
/// - `as`, `aS`, `$<`, `$><` and `.sympath` take the rest of the line, semicolons included.
///
/// # Errors
/// The line is longer than [`MAX_LINE_LENGTH`].
///
/// ```
/// use poolhit::debugger::command_line::commands;
/// let commands: Vec<&str> = commands("r rax ;; as x dd;k").unwrap().collect();
/// assert_eq!(commands, ["r rax", "as x dd;k"]);
/// ```
pub fn commands(line: &str) -> Result<impl Iterator<Item = &str>, LineTooLong> {
    Ok(commands_and_rest(line)?.map(|(command, _)| command))
}

/// The same, each with what is behind it.
pub(crate) fn commands_and_rest(
    line: &str,
) -> Result<impl Iterator<Item = (&str, &str)>, LineTooLong> {
    if line.len() > MAX_LINE_LENGTH {
        return Err(LineTooLong { length: line.len() });
    }
    let mut rest = line;
    Ok(std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with('*') {
                return None;
            }
            let is_comment = is_comment(rest);
            let end = if takes_whole_line(rest) {
                rest.len()
            } else if is_comment {
                rest.find(';').unwrap_or(rest.len())
            } else {
                command_end(rest)
            };
            let command = rest[..end].trim_end();
            rest = rest.get(end + 1..).unwrap_or("");
            if !is_comment && !command.is_empty() {
                return Some((command, rest));
            }
        }
    }))
}

fn is_comment(command: &str) -> bool {
    command
        .strip_prefix("$$")
        .is_some_and(|rest| !rest.starts_with(['<', '>']))
}

fn takes_whole_line(command: &str) -> bool {
    let word = command
        .split_once(char::is_whitespace)
        .map_or(command, |(word, _)| word);
    matches!(word, "as" | "aS" | "aS/f" | ".sympath" | ".sympath+")
        || word.starts_with("$<")
        || word.starts_with("$><")
}

/// The index of the `;` that ends a command, or the text's length.
fn command_end(text: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let found: Vec<&str> = commands(line).unwrap().collect();
        assert_eq!(found, expected, "in {line:?}");
    }

    #[test]
    fn splits_lines() {
        check("", &[]);
        check(" ; ;; ", &[]);
        check("g", &["g"]);
        check("  k ; g ", &["k", "g"]);
        check(r#"bp a "k;g";g"#, &[r#"bp a "k;g""#, "g"]);
        check(
            r#"bp a "bp b \"k;g\";g";g"#,
            &[r#"bp a "bp b \"k;g\";g""#, "g"],
        );
        check(r#".echo "a\\";g"#, &[r#".echo "a\\""#, "g"]);
        // Outside a string a backslash is a character like any other.
        check(r#".echo \";g";k"#, &[r#".echo \";g""#, "k"]);
        check(r#"bp a "k;g"#, &[r#"bp a "k;g"#]);
        // The manual's example for both comments: shows eax and ebx, but not ecx.
        check(
            "r eax; $$ some text; r ebx; * more text; r ecx",
            &["r eax", "r ebx"],
        );
        check("$$ all of it \"", &[]);
        check("$$ a \" quote;g", &["g"]);
        check("$$<script;g", &["$$<script", "g"]);
        check("$<script;g", &["$<script;g"]);
        check("r @rax*2;g", &["r @rax*2", "g"]);
        check("asx;g", &["asx", "g"]);
        // The manual's example for the separator.
        check(
            "g `:123`; ? poi(counter); g ",
            &["g `:123`", "? poi(counter)", "g"],
        );
    }

    #[test]
    fn refuses_a_line_over_the_limit() {
        let line = " ".repeat(MAX_LINE_LENGTH + 1);
        let error = commands(&line).err();
        assert_eq!(
            error,
            Some(LineTooLong {
                length: MAX_LINE_LENGTH + 1
            })
        );
    }

    proptest! {
        #[test]
        fn any_line_splits(line in r#"(.|[;"\\$* ]){0,60}"#) {
            for command in commands(&line).unwrap() {
                prop_assert!(!command.is_empty());
                prop_assert_eq!(command.trim(), command);
                prop_assert!(line.contains(command));
            }
        }

        /// Commands without quotes come back as they were joined.
        #[test]
        fn joined_commands_split_again(
            words in proptest::collection::vec("[b-z?.][a-z0-9 ]{0,8}[a-z]", 0..6),
        ) {
            let line = words.join(";");
            let found: Vec<&str> = commands(&line).unwrap().collect();
            prop_assert_eq!(found, words);
        }

        /// A string may hold anything, if its quotes and backslashes are escaped.
        #[test]
        fn a_quoted_string_stays_whole(string in r#"[a-z;"\\ *$]{0,20}"#) {
            let quoted = string.replace('\\', r"\\").replace('"', r#"\""#);
            let first = format!("bp 1 \"{quoted}\"");
            let line = format!("{first};g");
            let found: Vec<&str> = commands(&line).unwrap().collect();
            prop_assert_eq!(found, [first.as_str(), "g"]);
        }
    }
}
