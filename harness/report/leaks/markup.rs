//! Text inside of HTML and SVG.

use super::words::{clean, text_of};
use std::fmt;

/// A name as it stands in an element or in an attribute with quotes: nothing in it is markup, and it has
/// no character that XML does not allow. A long one is cut.
pub(super) struct Escaped<'a>(pub &'a str);

/// The same of a line of a report, in which names are short already.
pub(super) struct EscapedLine<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, &clean(self.0))
    }
}

impl fmt::Display for EscapedLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, &text_of(self.0))
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            '\u{fffe}' | '\u{ffff}' => f.write_str("\u{fffd}")?,
            c => write!(f, "{c}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_is_markup(text: String) {
            for shown in [Escaped(&text).to_string(), EscapedLine(&text).to_string()] {
                prop_assert!(!shown.contains(['<', '>', '"', '\'', '\0', '\x1b', '\n']));
                for part in shown.split('&').skip(1) {
                    let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
                    prop_assert!(known.iter().any(|entity| part.starts_with(entity)));
                }
            }
        }
    }
}
