//! Text as a JSON string (RFC 8259, section 7).

use std::fmt::{self, Write};

/// Shows a text as a JSON string, in quotes.
///
/// ```
/// use poolhit::report::json::JsonText;
/// assert_eq!(JsonText("a\\b \"c\"\n").to_string(), r#""a\\b \"c\"\u000a""#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct JsonText<'a>(pub &'a str);

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
