//! Patterns for names, as the debugger's manual has them ("String Wildcard Syntax"):
//!
//! | | |
//! |---|---|
//! | `*` | any characters |
//! | `?` | one character |
//! | `[er-t7]` | one of these |
//! | `x#`, `[xy]#` | none or more of what is before it |
//! | `x+`, `[xy]+` | one or more of what is before it |
//! | `\\*` | the character itself |

/// Whether a name holds one of the two common wildcards. What stands for itself in most names, such as
/// `+` and brackets, does not count.
///
/// ```
/// use poolhit::symbols::wildcard::has_wildcard;
/// assert!(has_wildcard("_POOL*") && !has_wildcard("_POOL_HEADER"));
/// ```
pub fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Whether a name fits a pattern, in either case of ASCII letters. Takes time in proportion to the
/// product of the lengths at most. For many names, make a [`Pattern`].
///
/// ```
/// use poolhit::symbols::wildcard::matches;
/// assert!(matches("_pool*", "_POOL_HEADER"));
/// assert!(!matches("_POOL?", "_POOL"));
/// assert!(matches("m[ia]#n", "miain"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.contains(['[', '#', '+', '\\']) {
        true => Pattern::new(pattern).matches(name),
        false => matches_simple(pattern.as_bytes(), name.as_bytes()),
    }
}

/// How often a part of a pattern may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Repeat {
    Once,
    NoneOrMore,
    OnceOrMore,
}

/// What a part of a pattern stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Any,
    One(char),
    /// From, to.
    OneOf(Vec<(char, char)>),
}

impl Part {
    fn fits(&self, character: char) -> bool {
        let folded = character.to_ascii_lowercase();
        match self {
            Part::Any => true,
            Part::One(one) => one.eq_ignore_ascii_case(&character),
            Part::OneOf(ranges) => ranges.iter().any(|(from, to)| {
                (from..=to).contains(&&character)
                    || (from..=to).contains(&&folded)
                    || (from..=to).contains(&&folded.to_ascii_uppercase())
            }),
        }
    }
}

/// A pattern, read once for many names.
///
/// ```
/// use poolhit::symbols::wildcard::Pattern;
/// let pattern = Pattern::new("Lo+p");
/// assert!(pattern.matches("loooop") && !pattern.matches("lp"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    parts: Vec<(Part, Repeat)>,
}

impl Pattern {
    /// Reads a pattern. Every text is one: a bracket that is not closed stands for itself, and so do
    /// `#` and `+` without anything before them.
    ///
    /// ```
    /// use poolhit::symbols::wildcard::Pattern;
    /// assert!(Pattern::new(r"operator\+").matches("operator+"));
    /// ```
    pub fn new(pattern: &str) -> Pattern {
        let mut parts: Vec<(Part, Repeat)> = Vec::new();
        let mut rest = pattern.chars();
        while let Some(character) = rest.next() {
            let part = match character {
                '*' => {
                    parts.push((Part::Any, Repeat::NoneOrMore));
                    continue;
                }
                '#' | '+'
                    if parts
                        .last()
                        .is_some_and(|(_, repeat)| *repeat == Repeat::Once) =>
                {
                    if let Some((_, repeat)) = parts.last_mut() {
                        *repeat = match character {
                            '#' => Repeat::NoneOrMore,
                            _ => Repeat::OnceOrMore,
                        };
                    }
                    continue;
                }
                '?' => Part::Any,
                '[' => match bracket(rest.as_str()) {
                    Some((ranges, length)) => {
                        rest = rest.as_str()[length..].chars();
                        Part::OneOf(ranges)
                    }
                    None => Part::One('['),
                },
                '\\' => Part::One(rest.next().unwrap_or('\\')),
                other => Part::One(other),
            };
            parts.push((part, Repeat::Once));
        }
        Pattern { parts }
    }

    /// Whether a name fits.
    ///
    /// ```
    /// use poolhit::symbols::wildcard::Pattern;
    /// assert!(Pattern::new("nt!Ex*").matches("NT!ExFreePool"));
    /// ```
    pub fn matches(&self, name: &str) -> bool {
        // at[i]: the parts before i can stand for what has been read
        let mut at = vec![false; self.parts.len() + 1];
        at[0] = true;
        self.skip(&mut at);
        for character in name.chars() {
            let mut next = vec![false; at.len()];
            for (i, (part, repeat)) in self.parts.iter().enumerate() {
                if at[i] && part.fits(character) {
                    next[i + 1] = true;
                    next[i] |= *repeat != Repeat::Once;
                }
            }
            self.skip(&mut next);
            at = next;
        }
        at.last() == Some(&true)
    }

    /// Parts that need not come.
    fn skip(&self, at: &mut [bool]) {
        for (i, (_, repeat)) in self.parts.iter().enumerate() {
            at[i + 1] |= at[i] && *repeat == Repeat::NoneOrMore;
        }
    }
}

/// What is between `[` and `]`, and how much of the text it takes.
fn bracket(text: &str) -> Option<(Vec<(char, char)>, usize)> {
    let end = text.find(']').filter(|end| *end > 0)?;
    let inside: Vec<char> = text[..end].chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < inside.len() {
        let from = inside[at];
        if at + 2 < inside.len() && inside[at + 1] == '-' {
            ranges.push((from, inside[at + 2]));
            at += 3;
        } else {
            ranges.push((from, from));
            at += 1;
        }
    }
    Some((ranges, end + 1))
}

/// The same for `*` and `?` alone, without memory.
fn matches_simple(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // the last `*`, and how much of the name it stands for up to now
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                n += 1;
            }
            Some(byte) if byte.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rule in its plainest form.
    fn plain(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                plain(rest, name) || !name.is_empty() && plain(pattern, &name[1..])
            }
            ([b'?', rest @ ..], [_, name @ ..]) => plain(rest, name),
            ([a, rest @ ..], [b, name @ ..]) => a.eq_ignore_ascii_case(b) && plain(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_rule(pattern in "[aA_*?]{0,8}", name in "[aAb_]{0,8}") {
            let expected = plain(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(&pattern, &name), expected);
        }
    }

    /// "String Wildcard Syntax"'s own examples.
    #[test]
    fn the_manuals_examples() {
        for (pattern, fitting, others) in [
            (
                "Prog[er-t7]am",
                "Progeam Program Progsam Progtam Prog7am",
                "Progam Proguam",
            ),
            ("Lo#p", "Lp Lop Loop Looop", "L Lap"),
            ("m[ia]#n", "mn min man maan main mian miin miain", "mon"),
            ("Lo+p", "Lop Loop Looop", "Lp"),
            ("m[ia]+n", "min man maan", "mn"),
            ("a?+b", "axb axxb", "ab"),
            (r"a\*b", "a*b", "axb ab"),
            ("[x", "[x", "x"),
            ("+x#", "+ +x +xx", "x"),
        ] {
            let pattern = Pattern::new(pattern);
            for name in fitting.split(' ') {
                assert!(pattern.matches(name), "{name}");
            }
            for name in others.split(' ') {
                assert!(!pattern.matches(name), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_two_ways_agree(pattern in "[aA_*?]{0,8}", name in "[aAb_]{0,8}") {
            let simple = matches_simple(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern::new(&pattern).matches(&name), simple);
        }

        #[test]
        fn any_text_is_a_pattern(pattern in r"[a\[\]#+?*\\-]{0,12}|\PC{0,8}", name in "\\PC{0,8}") {
            matches(&pattern, &name);
        }
    }

    #[test]
    fn many_stars_end() {
        assert!(!matches(&"*a".repeat(500), &"ab".repeat(400)));
    }
}
