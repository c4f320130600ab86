//! Patterns for names, as the debugger's manual has them ("String Wildcard Syntax"): `*` stands for
//! any characters, `?` for one.

/// Whether a text holds a wildcard.
///
/// ```
/// use poolhit::symbols::wildcard::has_wildcard;
/// assert!(has_wildcard("_POOL*") && !has_wildcard("_POOL_HEADER"));
/// ```
pub fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Whether a name fits a pattern, in either case of ASCII letters. Takes time in proportion to the
/// product of the lengths at most, and no memory.
///
/// ```
/// use poolhit::symbols::wildcard::matches;
/// assert!(matches("_pool*", "_POOL_HEADER"));
/// assert!(!matches("_POOL?", "_POOL"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
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

    #[test]
    fn many_stars_end() {
        assert!(!matches(&"*a".repeat(500), &"ab".repeat(400)));
    }
}
