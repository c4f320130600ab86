//! Where the blocks of a program start and end: `.if (1) { k; .echo "}" } .else { g }`.
//!
//! In script files that are run as one block, the end of a line is a `;`, so that between a token and its
//! braces there may be some.

use super::is_comment;
use crate::debugger::cursor::{CommandError, CommandErrorKind, Cursor};

/// The tokens in front of which `.if` may do without braces, as the manual's pages of these show it
/// (".leave": `.if (Condition) .leave`).
pub(crate) const JUMPS: [&str; 3] = [".break", ".continue", ".leave"];

/// What starts a command with blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Something, and a block.
    One,
    /// A block, and a condition.
    Do,
    /// A condition and a block, and others.
    If,
}

/// The name of a meta-command at the start of a text, with its point.
fn word(text: &str) -> &str {
    let Some(letters) = text.strip_prefix('.') else {
        return "";
    };
    let end = letters.find(|c: char| !c.is_ascii_alphabetic());
    &text[..1 + end.unwrap_or(letters.len())]
}

fn is(text: &str, name: &str) -> bool {
    word(text).eq_ignore_ascii_case(name)
}

/// The index behind a command with blocks; none if it is another command. One whose braces do not fit
/// reaches to the end.
pub(super) fn end(text: &str) -> Option<usize> {
    let name = word(text).to_ascii_lowercase();
    let known = [
        ".block", ".catch", ".do", ".for", ".foreach", ".if", ".while",
    ];
    known
        .contains(&name.as_str())
        .then(|| fitting_end(text).unwrap_or(text.len()))
}

fn fitting_end(text: &str) -> Option<usize> {
    let name = word(text);
    let token = match name.to_ascii_lowercase().as_str() {
        ".block" | ".catch" | ".for" | ".foreach" | ".while" => Token::One,
        ".do" => Token::Do,
        ".if" => Token::If,
        _ => return None,
    };
    let mut at = name.len();
    if token == Token::Do {
        at = matching(text, at + separators(&text[at..]))? + 1;
        return Some(at + super::separator(&text[at..]));
    }
    at = block_behind(text, at)?;
    if token == Token::One {
        return Some(at);
    }
    loop {
        let next = at + separators(&text[at..]);
        let rest = &text[next..];
        if is(rest, ".else") {
            return block_behind(text, next + word(rest).len());
        }
        if !is(rest, ".elsif") && !is(rest, ".elseif") {
            return Some(at);
        }
        at = block_behind(text, next + word(rest).len())?;
    }
}

/// The index behind the first block, or the jump without braces, behind `from`.
fn block_behind(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = &text[at..];
        let next = rest.chars().next()?;
        at += match next {
            '{' => return Some(matching(text, at)? + 1),
            '(' => matching(text, at)? + 1 - at,
            '"' => string_length(rest)?,
            '.' if JUMPS.iter().any(|jump| is(rest, jump)) => return Some(at + word(rest).len()),
            ';' | '\n' => {
                let skipped = separators(rest);
                (rest[skipped..].starts_with('{')).then_some(skipped)?
            }
            other => other.len_utf8(),
        };
    }
}

/// How much white space, and ends of commands, a text starts with.
fn separators(text: &str) -> usize {
    text.len()
        - text
            .trim_start_matches(|c: char| c.is_whitespace() || c == ';')
            .len()
}

/// The length of the string in double quotes that a text starts with; none if it is not closed.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The index of the brace or parenthesis that closes the one at `at`. Those in strings and character
/// constants do not count; in comments, quotes do not.
fn matching(text: &str, at: usize) -> Option<usize> {
    let (open, close) = match text.as_bytes().get(at)? {
        b'{' => (b'{', b'}'),
        b'(' => (b'(', b')'),
        _ => return None,
    };
    let (mut depth, mut here) = (0_usize, at);
    let (mut starts_command, mut comment) = (false, false);
    // A quote that nothing closes is looked at once.
    let mut open_string = false;
    while let Some(&byte) = text.as_bytes().get(here) {
        let mut length = 1;
        match byte {
            b';' | b'\n' => (starts_command, comment) = (true, false),
            b'$' if starts_command && open == b'{' && is_comment(&text[here..]) => comment = true,
            b'"' if !comment && !open_string => match string_length(&text[here..]) {
                Some(string) => length = string,
                None => open_string = true,
            },
            // '(' is a character, and nothing else fits between single quotes here
            b'\'' if open == b'(' && text.as_bytes().get(here + 2) == Some(&b'\'') => length = 3,
            _ if byte == open => depth += 1,
            _ if byte == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(here);
                }
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() && byte != b';' {
            starts_command = byte == b'{';
        }
        here += length;
    }
    None
}

/// Skips white space and ends of commands.
pub(crate) fn skip_separators(cursor: &mut Cursor<'_>) {
    cursor.advance(separators(cursor.rest()));
}

/// Reads a block in braces, and gives what is between them.
///
/// # Errors
/// A syntax error if there is none, or it is not closed.
pub(crate) fn next_block<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, CommandError> {
    skip_separators(cursor);
    next_between(cursor, '{')
}

/// Reads what is between parentheses.
///
/// # Errors
/// A syntax error if there are none, or they are not closed.
pub(crate) fn next_parenthesis<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, CommandError> {
    cursor.skip_space();
    next_between(cursor, '(')
}

fn next_between<'a>(cursor: &mut Cursor<'a>, open: char) -> Result<&'a str, CommandError> {
    let rest = cursor.rest();
    let end = matching(rest, 0).filter(|_| rest.starts_with(open));
    let Some(end) = end else {
        cursor.advance(rest.chars().next().map_or(0, char::len_utf8));
        return Err(cursor.error(CommandErrorKind::Syntax));
    };
    cursor.advance(end + 1);
    Ok(&rest[1..end])
}

#[cfg(test)]
mod tests {
    use super::super::commands;
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let found: Vec<&str> = commands(line).unwrap().collect();
        assert_eq!(found, expected, "in {line:?}");
    }

    #[test]
    fn a_token_and_its_blocks_are_one_command() {
        check(".if (1) { k; g } r", &[".if (1) { k; g }", "r"]);
        check(
            ".if 1 { k } .else { r; r } ; g",
            &[".if 1 { k } .else { r; r }", "g"],
        );
        check(
            ".if(1)\n{\nk;\n}\n.elsif (2)\n{\nr\n}\n.else\n{\n}\ng",
            &[".if(1)\n{\nk;\n}\n.elsif (2)\n{\nr\n}\n.else\n{\n}", "g"],
        );
        check(".if (1) .break ; k", &[".if (1) .break", "k"]);
        check(
            ".do { k; r } (@rax < 5); g",
            &[".do { k; r } (@rax < 5)", "g"],
        );
        check(
            ".for (r $t0=0; @$t0<5; r $t0=@$t0+1) { .while (1) { k } } g",
            &[
                ".for (r $t0=0; @$t0<5; r $t0=@$t0+1) { .while (1) { k } }",
                "g",
            ],
        );
        check(
            ".foreach /ps 1 (x { k; r }) { .echo x }; g",
            &[".foreach /ps 1 (x { k; r }) { .echo x }", "g"],
        );
        check(".block{.echo a};g", &[".block{.echo a}", "g"]);
        check(".blocks{k;g}", &[".blocks{k", "g}"]);
    }

    #[test]
    fn braces_in_strings_do_not_count() {
        check(
            r#".if (1) { .printf "}"; k } g"#,
            &[r#".if (1) { .printf "}"; k }"#, "g"],
        );
        check(
            r#".if (@rax == '(') { k; r } g"#,
            &[r#".if (@rax == '(') { k; r }"#, "g"],
        );
        check(
            r#".block { .echo don"t; k } g"#,
            &[r#".block { .echo don"t; k }"#, "g"],
        );
        check(
            ".block { $$ say \"no\n k } g",
            &[".block { $$ say \"no\n k }", "g"],
        );
    }

    #[test]
    fn what_does_not_fit_reaches_to_the_end() {
        for text in [
            ".if (1) { k; g",
            ".if (1; k",
            ".if (1) k; r",
            ".do k; r",
            ".for (;;)",
        ] {
            check(&format!("r; {text}"), &["r", text]);
        }
    }

    #[test]
    fn blocks_are_read() {
        let mut cursor = Cursor::new("(a) ;\n{ k; {r} } x");
        assert_eq!(next_parenthesis(&mut cursor).unwrap(), "a");
        assert_eq!(next_block(&mut cursor).unwrap(), " k; {r} ");
        assert_eq!(cursor.rest(), " x");
        assert!(next_block(&mut cursor).is_err());
        assert!(next_block(&mut Cursor::new("{ k")).is_err());
        assert!(next_parenthesis(&mut Cursor::new("{ k }")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_splits(text in r#"(\.if|\.do|\.for|\.foreach|\.else|\.break|[ ;"\\$*{}()'\na-c]){0,40}"#) {
            for command in commands(&text).unwrap() {
                prop_assert!(!command.is_empty());
                prop_assert!(text.contains(command));
            }
            let mut cursor = Cursor::new(&text);
            let _ = next_block(&mut cursor);
            let _ = next_parenthesis(&mut cursor);
        }
    }
}
