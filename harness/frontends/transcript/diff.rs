//! The difference between lines expected and lines printed.

/// A line of a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line<'a> {
    /// In both.
    Same(&'a str),
    /// Expected, but not printed.
    Expected(&'a str),
    /// Printed, but not expected.
    Printed(&'a str),
}

/// The largest table of lengths: beyond it, what differs is not searched for lines in common.
const TABLE_LIMIT: usize = 1 << 20;

/// What to take from and add to the lines expected to get those printed: a longest common
/// subsequence stays.
pub(super) fn difference<'a>(expected: &[&'a str], printed: &[&'a str]) -> Vec<Line<'a>> {
    let same = |(one, other): &(&&str, &&str)| one == other;
    let start = expected.iter().zip(printed).take_while(same).count();
    let (expected_rest, printed_rest) = (&expected[start..], &printed[start..]);
    let end = expected_rest.iter().rev().zip(printed_rest.iter().rev());
    let end = end.take_while(same).count();
    let left = &expected_rest[..expected_rest.len() - end];
    let right = &printed_rest[..printed_rest.len() - end];

    let mut lines: Vec<Line> = expected[..start].iter().copied().map(Line::Same).collect();
    between(left, right, &mut lines);
    let common = &expected[expected.len() - end..];
    lines.extend(common.iter().copied().map(Line::Same));
    lines
}

fn between<'a>(left: &[&'a str], right: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = right.len() + 1;
    let cells = (left.len() + 1).saturating_mul(width);
    let mut longest = vec![0u32; if cells <= TABLE_LIMIT { cells } else { 0 }];
    if !longest.is_empty() {
        for (i, one) in left.iter().enumerate().rev() {
            for (j, other) in right.iter().enumerate().rev() {
                longest[i * width + j] = match one == other {
                    true => longest[(i + 1) * width + j + 1] + 1,
                    false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
                };
            }
        }
    }
    let length = |i: usize, j: usize| longest.get(i * width + j).copied().unwrap_or(0);
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if left[i] == right[j] {
            lines.push(Line::Same(left[i]));
            (i, j) = (i + 1, j + 1);
        } else if longest.is_empty() {
            break;
        } else if length(i + 1, j) >= length(i, j + 1) {
            lines.push(Line::Expected(left[i]));
            i += 1;
        } else {
            lines.push(Line::Printed(right[j]));
            j += 1;
        }
    }
    lines.extend(left[i..].iter().copied().map(Line::Expected));
    lines.extend(right[j..].iter().copied().map(Line::Printed));
}

#[cfg(test)]
mod tests {
    use super::{Line, difference};
    use proptest::prelude::*;

    #[track_caller]
    fn check(expected: &str, printed: &str, wanted: &str) {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        let printed: Vec<&str> = printed.split_whitespace().collect();
        let found: Vec<String> = difference(&expected, &printed)
            .iter()
            .map(|line| match line {
                Line::Same(text) => text.to_string(),
                Line::Expected(text) => format!("-{text}"),
                Line::Printed(text) => format!("+{text}"),
            })
            .collect();
        assert_eq!(found.join(" "), wanted);
    }

    #[test]
    fn what_is_common_stays() {
        check("", "", "");
        check("a b c", "a b c", "a b c");
        check("a b c", "a x c", "a -b +x c");
        check("a b c d e", "a x c y e", "a -b +x c -d +y e");
        check("a b", "", "-a -b");
        check("", "a", "+a");
        check("a a a", "a a", "a a -a");
        check("a b c", "b c d", "-a b c +d");
    }

    #[test]
    fn large_differences_are_shown_whole() {
        let left: Vec<&str> = ["a", "b"].into_iter().cycle().take(5000).collect();
        let right: Vec<&str> = ["b", "c"].into_iter().cycle().take(5000).collect();
        assert_eq!(difference(&left, &right).len(), 10_000);
    }

    proptest! {
        /// Either side comes back from the difference.
        #[test]
        fn both_sides_are_in_it(
            left in prop::collection::vec("[ab]", 0..12),
            right in prop::collection::vec("[abc]", 0..12),
        ) {
            let left: Vec<&str> = left.iter().map(String::as_str).collect();
            let right: Vec<&str> = right.iter().map(String::as_str).collect();
            let lines = difference(&left, &right);
            let expected: Vec<&str> = lines.iter().filter_map(|line| match line {
                Line::Same(text) | Line::Expected(text) => Some(*text),
                Line::Printed(_) => None,
            }).collect();
            let printed: Vec<&str> = lines.iter().filter_map(|line| match line {
                Line::Same(text) | Line::Printed(text) => Some(*text),
                Line::Expected(_) => None,
            }).collect();
            prop_assert_eq!(expected, left);
            prop_assert_eq!(printed, right);
        }
    }
}
