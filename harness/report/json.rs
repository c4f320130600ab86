//! JSON (RFC 8259): text as a string of it, and whole values.

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

/// A JSON value. `Display` writes it on lines of its own, indented; what holds no lists and objects is on
/// one line.
///
/// ```
/// use poolhit::report::json::JsonValue;
/// let value = JsonValue::Object(vec![
///     ("tag", JsonValue::from("Leak")),
///     ("sizes", [16, 32].into_iter().collect()),
///     ("stack", JsonValue::Null),
/// ]);
/// let expected = "{\n  \"tag\": \"Leak\",\n  \"sizes\": [16, 32],\n  \"stack\": null\n}";
/// assert_eq!(value.to_string(), expected);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub enum JsonValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(u64),
    /// Any other number; `null` if it is none.
    Real(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<JsonValue>),
    /// An object, with its keys in this order.
    Object(Vec<(&'static str, JsonValue)>),
}

impl From<bool> for JsonValue {
    fn from(value: bool) -> JsonValue {
        JsonValue::Bool(value)
    }
}

impl From<u64> for JsonValue {
    fn from(value: u64) -> JsonValue {
        JsonValue::Number(value)
    }
}

impl From<f64> for JsonValue {
    fn from(value: f64) -> JsonValue {
        JsonValue::Real(value)
    }
}

impl From<&str> for JsonValue {
    fn from(value: &str) -> JsonValue {
        JsonValue::Text(value.to_owned())
    }
}

impl From<String> for JsonValue {
    fn from(value: String) -> JsonValue {
        JsonValue::Text(value)
    }
}

impl<T: Into<JsonValue>> FromIterator<T> for JsonValue {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> JsonValue {
        JsonValue::List(values.into_iter().map(T::into).collect())
    }
}

impl JsonValue {
    fn holds_values(&self) -> bool {
        let is_nested =
            |value: &JsonValue| matches!(value, JsonValue::List(_) | JsonValue::Object(_));
        match self {
            JsonValue::List(values) => values.iter().any(is_nested),
            JsonValue::Object(values) => values.iter().any(|(_, value)| is_nested(value)),
            _ => false,
        }
    }

    /// Writes what is in brackets, one after the other.
    fn write_all<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        depth: usize,
        brackets: [char; 2],
        values: impl Iterator<Item = (Option<&'static str>, &'a JsonValue)>,
    ) -> fmt::Result {
        let in_lines = self.holds_values();
        let new_line = |f: &mut fmt::Formatter<'_>, depth: usize| match in_lines {
            true => write!(f, "\n{:1$}", "", depth * 2),
            false => Ok(()),
        };
        f.write_char(brackets[0])?;
        for (at, (key, value)) in values.enumerate() {
            match (at, in_lines) {
                (0, _) => Ok(()),
                (_, true) => f.write_char(','),
                (_, false) => f.write_str(", "),
            }?;
            new_line(f, depth + 1)?;
            if let Some(key) = key {
                write!(f, "{}: ", JsonText(key))?;
            }
            value.write(f, depth + 1)?;
        }
        new_line(f, depth)?;
        f.write_char(brackets[1])
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            JsonValue::Null => f.write_str("null"),
            JsonValue::Bool(value) => write!(f, "{value}"),
            JsonValue::Number(value) => write!(f, "{value}"),
            JsonValue::Real(value) if value.is_finite() => write!(f, "{value}"),
            JsonValue::Real(_) => f.write_str("null"),
            JsonValue::Text(text) => write!(f, "{}", JsonText(text)),
            JsonValue::List(values) => self.write_all(
                f,
                depth,
                ['[', ']'],
                values.iter().map(|value| (None, value)),
            ),
            JsonValue::Object(values) => {
                let values = values.iter().map(|(key, value)| (Some(*key), value));
                self.write_all(f, depth, ['{', '}'], values)
            }
        }
    }
}

impl fmt::Display for JsonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}
