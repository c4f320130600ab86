//! One line of input, or a block of a program, as the commands it holds.
//!
//! Commands are separated by `;`, which means nothing inside a quoted string or a block:
//!
//! ```
//! use poolhit::debugger::command_line::commands;
//!
//! let line = r#"bp fffff800`014798f6 "k;g"; .if (1) { k; g }; $$ and wait; * the end; bl"#;
//! let commands: Vec<&str> = commands(line).unwrap().collect();
//! assert_eq!(commands, [r#"bp fffff800`014798f6 "k;g""#, ".if (1) { k; g }"]);
//! ```

mod blocks;

pub(crate) use blocks::{JUMPS, next_block, next_parenthesis, skip_separators};

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
///   end. In script files that are run as one block, the end of a line is a `;` ("Run Script File").
/// - A control flow token is one command with its blocks, whatever is in their braces ("Using
///   Debugger Command Programs").
/// - `*` at the start of a command makes the rest of the line a comment; `$$` one that ends at the
///   next `;` ("Comment Line Specifier", "Comment Specifier"). `$$<` and `$$>` are no comments but
///   run script files.
/// - `as` with a text or `/c` or `/f`, `j`, `r $.u0=`, `$<`, `$><` and `.sympath` take the rest of the
///   line, semicolons included ("as, aS (Set Alias)", "j (Execute If - Else)", "Using Aliases").
/// - A quote in `.echo` and `aS` means something only as the text's first character ("Echo Comment").
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
    if line.len() > MAX_LINE_LENGTH {
        return Err(LineTooLong { length: line.len() });
    }
    let mut rest = line;
    Ok(std::iter::from_fn(move || {
        let (command, behind) = next_command(rest)?;
        rest = behind;
        Some(command)
    }))
}

/// The first command of a text, and what is behind it; none if only space and comments are left.
pub(crate) fn next_command(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if rest.is_empty() || rest.starts_with('*') {
            return None;
        }
        if is_comment(rest) {
            rest = &rest[rest.find([';', '\n']).unwrap_or(rest.len())..];
            continue;
        }
        let (command, behind) = rest.split_at(command_end(rest));
        // What an alias stands for ends in the spaces that are typed.
        let command = match command.starts_with("as") || command.starts_with("aS") {
            true => command,
            false => command.trim_end(),
        };
        return Some((command, behind));
    }
}

fn is_comment(command: &str) -> bool {
    command
        .strip_prefix("$$")
        .is_some_and(|rest| !rest.starts_with(['<', '>']))
}

/// The index behind the command that `text` starts with.
fn command_end(text: &str) -> usize {
    if let Some(end) = blocks::end(text) {
        return end;
    }
    let word = text
        .split_once(char::is_whitespace)
        .map_or(text, |(word, _)| word);
    let arguments = text[word.len()..].trim_start();
    let whole = match word {
        "as" => !["/e", "/ma", "/mu", "/msa", "/msu", "/x"].contains(&first_word(arguments)),
        "r" => arguments.starts_with("$.u"),
        "j" | "J" => true,
        ".sympath" | ".sympath+" => true,
        _ => {
            let lower = |prefix: &str| word.starts_with(prefix);
            lower("$<") || lower("$><") || lower("j(") || lower("r$.u")
        }
    };
    if whole {
        return text.len();
    }
    let quoted = match word {
        ".echo" => Some(arguments),
        "aS" => arguments
            .split_once(char::is_whitespace)
            .map(|(_, text)| text.trim_start()),
        _ => return separator(text),
    };
    match quoted.and_then(|text| text.strip_prefix('"')) {
        Some(inside) => {
            let start = text.len() - inside.len();
            let end = inside.find('"').map_or(text.len(), |end| start + end);
            end + text[end..].find([';', '\n']).unwrap_or(text.len() - end)
        }
        None => text.find([';', '\n']).unwrap_or(text.len()),
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// The index of the `;` that ends a command, or the text's length.
fn separator(text: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' | b'\n' if !quoted => return at,
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
        // Outside a string a backslash is a character like any other, and so is a quote in `.echo`.
        check(r#"bp \";g";k"#, &[r#"bp \";g""#, "k"]);
        check(r#".echo \";g"#, &[r#".echo \""#, "g"]);
        check(r#".echo "a;b"c ; g"#, &[r#".echo "a;b"c"#, "g"]);
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
        check("as x a; b ", &["as x a; b "]);
        check("as /x x 1; g", &["as /x x 1", "g"]);
        check("aS x 1; g", &["aS x 1", "g"]);
        check(r#"aS x "1; 2"; g"#, &[r#"aS x "1; 2""#, "g"]);
        check("as /c x k; r", &["as /c x k; r"]);
        check("j (1) 'k'; 'r'; g", &["j (1) 'k'; 'r'; g"]);
        check("r $.u1=k; r;r", &["r $.u1=k; r;r"]);
        check("k\nr\n\n; g", &["k", "r", "g"]);
        check("$$ one\nr", &["r"]);
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
            words in proptest::collection::vec("[b-ik-z?][a-z0-9 ]{0,8}[a-z]", 0..6),
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
