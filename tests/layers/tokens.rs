//! Reads Rust source as far as the rules need: its tokens without comments and literals, and
//! the names that paths reach through the crate's root.

/// An identifier or a piece of punctuation (`::` is one) outside comments and literals.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// Its line, from 1.
    pub line: usize,
    /// The token itself.
    pub text: &'a str,
}

/// The tokens of Rust source that compiles; on any other, some tokens without a panic.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment_length(rest)
        } else if let Some(length) = literal_length(rest) {
            length
        } else {
            let length = if is_word(first) {
                word_length(rest)
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token {
                line,
                text: &rest[..length],
            });
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// The length of the block comment that `text` starts with; they nest.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the string, character, number or lifetime that `text` starts with.
fn literal_length(text: &str) -> Option<usize> {
    let prefix = text
        .find(|c: char| !c.is_ascii_lowercase())
        .unwrap_or(text.len());
    let (name, body) = text.split_at(prefix);
    let hashes = body.len() - body.trim_start_matches('#').len();
    match (name, body[hashes..].chars().next()) {
        ("r" | "br" | "cr", Some('"')) => {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = prefix + hashes + 1;
            Some(
                text[start..]
                    .find(&end)
                    .map_or(text.len(), |at| start + at + end.len()),
            )
        }
        ("" | "b" | "c", Some('"')) if hashes == 0 => Some(prefix + quoted_length(body, '"')),
        ("b", Some('\'')) if hashes == 0 => Some(prefix + quoted_length(body, '\'')),
        ("", Some('\'')) if hashes == 0 => {
            let mut after = body[1..].chars();
            match (after.next(), after.next()) {
                (Some('\\'), _) | (_, Some('\'')) => Some(quoted_length(body, '\'')),
                _ => Some(1 + word_length(&body[1..])),
            }
        }
        ("", Some(c)) if hashes == 0 && c.is_ascii_digit() => Some(word_length(body)),
        _ => None,
    }
}

/// The length of a literal from its opening `quote` to the closing one, past `\` escapes.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The first name below the crate's root of each path that passes through it, with its line:
/// `memory` for `crate::memory::Fault`, and for `super::memory` one level down. A glob gives
/// `*`, the root itself `self`. `depth` is how deep the file's module lies; lib.rs is at 0.
pub fn root_names<'a>(code: &[Token<'a>], depth: usize) -> Vec<Token<'a>> {
    let mut names = Vec::new();
    let mut inline_modules = Vec::new();
    let mut braces = 0_usize;
    let mut at = 0;
    while at < code.len() {
        match text(code, at) {
            "{" => {
                braces += 1;
                if at >= 2 && text(code, at - 2) == "mod" {
                    inline_modules.push(braces);
                }
            }
            "}" => {
                if inline_modules.last() == Some(&braces) {
                    inline_modules.pop();
                }
                braces = braces.saturating_sub(1);
            }
            "crate" if matches!(text(code, at + 1), "as" | "self") => {
                names.push(Token {
                    text: "self",
                    ..code[at]
                });
            }
            "crate" if text(code, at + 1) == "::" => {
                at = heads(code, at + 2, 0, &mut names);
                continue;
            }
            "super" => {
                at = heads(code, at, depth + inline_modules.len(), &mut names);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    names
}

fn text<'a>(code: &[Token<'a>], at: usize) -> &'a str {
    code.get(at).map_or("", |token| token.text)
}

/// Follows a path (or a group of paths) that stands `up` modules below the root, takes its
/// leading `super`s, and adds the name it reaches there. Returns where to read on.
fn heads<'a>(
    code: &[Token<'a>],
    mut at: usize,
    mut up: usize,
    names: &mut Vec<Token<'a>>,
) -> usize {
    while text(code, at) == "super" && up > 0 {
        up -= 1;
        at += 1;
        if text(code, at) != "::" {
            // `pub(super)`, or `super` and `super as x` in a group: a path that ends here.
            if up == 0 && matches!(text(code, at), "," | "}" | "as" | ";") {
                names.push(Token {
                    text: "self",
                    ..code[at - 1]
                });
            }
            return at;
        }
        at += 1;
    }
    if text(code, at) == "{" {
        at += 1;
        while at < code.len() && text(code, at) != "}" {
            at = heads(code, at, up, names);
            let mut nested = 0_usize;
            while at < code.len() && (nested > 0 || !matches!(text(code, at), "," | "}")) {
                match text(code, at) {
                    "{" => nested += 1,
                    "}" => nested -= 1,
                    _ => {}
                }
                at += 1;
            }
            at += usize::from(text(code, at) == ",");
        }
        return at + 1;
    }
    if up == 0 {
        names.extend(code.get(at).copied());
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_tokens(source: &str, expected: &str) {
        let found: Vec<&str> = tokens(source).iter().map(|token| token.text).collect();
        assert_eq!(found.join(" "), expected, "in {source}");
    }

    #[track_caller]
    fn check_names(depth: usize, source: &str, expected: &str) {
        let found: Vec<String> = root_names(&tokens(source), depth)
            .iter()
            .map(|name| format!("{}@{}", name.text, name.line))
            .collect();
        assert_eq!(found.join(" "), expected, "at depth {depth} in {source}");
    }

    #[test]
    fn comments_are_no_tokens() {
        check_tokens("a // b\nc", "a c");
        check_tokens("/// use crate::x;\n//! y\na", "a");
        check_tokens("a /* b /* c */ d */ e", "a e");
        check_tokens("a /* never closed", "a");
    }

    #[test]
    fn literals_are_no_tokens() {
        check_tokens(r#"f("unsafe \" x", b"y", c"z") g"#, "f ( , , ) g");
        check_tokens(r###"r#"a " b"# c r"d\" e br##"f"# g"## h"###, "c e h");
        check_tokens(r"'a' '\'' b'\'' '\u{1F600}' 'é' x", "x");
        check_tokens("&'static str, 'a: loop", "& str , : loop");
        check_tokens("0xFF_u8 + 1.5e3", "+ .");
        check_tokens("\"never closed unsafe", "");
    }

    #[test]
    fn words_stay_whole() {
        check_tokens(
            "unsafe_code r#unsafe_x br a::b",
            "unsafe_code r # unsafe_x br a :: b",
        );
        check_tokens("größe::x", "größe :: x");
    }

    #[test]
    fn paths_from_the_root_give_their_first_name() {
        check_names(1, "use crate::memory::Fault;", "memory@1");
        check_names(1, "\nlet x = crate::stack::walk(y);", "stack@2");
        check_names(
            1,
            "use crate::{image::{pe, pdb}, memory,\n stack as s,};",
            "image@1 memory@1 stack@2",
        );
        check_names(
            1,
            "use crate::*; use crate as all; extern crate self as own;",
            "*@1 self@1 self@1",
        );
        check_names(1, "use crate::{self, memory::{self}};", "self@1 memory@1");
        check_names(
            1,
            "macro_rules! m { () => { $crate::hits::push() } }",
            "hits@1",
        );
        check_names(
            1,
            "pub(crate) fn f() {} pub(in crate::image) fn g() {}",
            "image@1",
        );
        check_names(1, "// use crate::hits;\nlet s = \"crate::hits\";", "");
    }

    #[test]
    fn super_is_counted_from_where_it_stands() {
        check_names(1, "use super::memory::Fault;", "memory@1");
        check_names(2, "use super::memory::Fault;", "");
        check_names(
            2,
            "use super::super::stack; pub(super) fn f() {}",
            "stack@1",
        );
        check_names(
            1,
            "mod tests { use super::*; use super::super::hits; } use super::image;",
            "hits@1 image@1",
        );
        check_names(
            2,
            "use super::{super::hits::Hit, own, {super::image}};",
            "hits@1 image@1",
        );
        check_names(1, "use super::*;", "*@1");
        check_names(
            1,
            "pub(super) fn f() {} use super::{self as root};",
            "self@1",
        );
        check_names(1, "use self::super::hits;", "hits@1");
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(
            pieces in proptest::collection::vec(
                prop_oneof![
                    "(crate|super|self|mod|::|[{}]|,|\\*|as|m)",
                    "(\"|'|b'|r#+\"?|\"#|\\\\|//|/\\*|\\*/|\n|é| )",
                    "\\PC{0,3}",
                ],
                0..60,
            ),
            depth in 0_usize..4,
        ) {
            let source = pieces.concat();
            let code = tokens(&source);
            let lines = source.matches('\n').count() + 1;
            prop_assert!(code.is_sorted_by_key(|token| token.line));
            prop_assert!(code.iter().all(|token| (1..=lines).contains(&token.line)));
            for name in root_names(&code, depth) {
                prop_assert!(name.text == "self" || code.iter().any(|token| token.text == name.text));
            }
        }
    }
}
