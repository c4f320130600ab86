//! Numbers and names as the reports show them.

use crate::leaks::{Growth, Held, Sizes};
use crate::symbols::SourceLine;
use std::borrow::Cow;
use std::fmt;

/// The longest name that is shown, in characters.
const LONGEST: usize = 200;

fn is_text(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    !c.is_control() && !turns && !ends_line
}

/// A name with nothing but text in it: names come from images, PDBs and guest memory. Characters that
/// are no text (line ends, escape codes, those that change the direction of writing) become U+FFFD.
pub(super) fn text_of(name: &str) -> Cow<'_, str> {
    if name.chars().all(is_text) {
        return Cow::Borrowed(name);
    }
    let shown = name.chars();
    let shown = shown.map(|c| if is_text(c) { c } else { '\u{fffd}' });
    Cow::Owned(shown.collect())
}

/// A name as it can be shown: text, and what is longer than 200 characters is cut.
pub(super) fn clean(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(LONGEST) {
        None => text_of(name),
        Some((end, _)) => Cow::Owned(format!("{}…", text_of(&name[..end]))),
    }
}

/// A source line as it can be shown, as the debugger does it: of a long path it is the end that counts.
pub(super) fn source(line: &SourceLine) -> String {
    let file = &line.file;
    let cut = file.chars().count().saturating_sub(LONGEST);
    match file.char_indices().nth(cut).filter(|_| cut > 0) {
        None => format!("{} @ {}", text_of(file), line.line),
        Some((start, _)) => format!("…{} @ {}", text_of(&file[start..]), line.line),
    }
}

/// A number with its thousands set apart: `1,234,567`.
#[derive(Clone, Copy)]
pub(super) struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// So many of something: `1 block`, `2 blocks`.
pub(super) fn count(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {thing}{s}", Number(number))
}

/// `4,096 bytes in 2 blocks`.
pub(super) fn held(held: Held) -> String {
    let (bytes, blocks) = (count(held.bytes, "byte"), count(held.blocks, "block"));
    format!("{bytes} in {blocks}")
}

/// How something grows, in words.
pub(super) fn growth(growth: Growth) -> String {
    match growth {
        Growth::NotMeasured => "not measured: fewer than two repetitions were marked".into(),
        Growth::Nothing => "nothing is outstanding".into(),
        Growth::OneTime => "does not grow with each repetition".into(),
        Growth::WithTag => "grows only together with the others of its tag".into(),
        Growth::Growing {
            blocks_per_repeat,
            bytes_per_repeat,
        } => {
            let (blocks, bytes) = (rate(blocks_per_repeat), rate(bytes_per_repeat));
            let blocks_word = if blocks == "1" { "block" } else { "blocks" };
            let bytes_word = if bytes == "1" { "byte" } else { "bytes" };
            format!("grows by {blocks} {blocks_word}, {bytes} {bytes_word} with each repetition")
        }
    }
}

/// The same in six characters, for a table: the blocks that come with each repetition; `bytes` if they
/// become larger and not more.
pub(super) fn short_growth(growth: Growth) -> String {
    match growth {
        Growth::NotMeasured | Growth::Nothing => "-".into(),
        Growth::OneTime => "0".into(),
        Growth::WithTag => "tag".into(),
        Growth::Growing {
            blocks_per_repeat: blocks,
            ..
        } if blocks > 0.0 => match blocks {
            0.0..0.01 => "<0.01".into(),
            99_999.0.. => ">99999".into(),
            100.0.. => Number(blocks.round() as u64).to_string(),
            _ => rate(blocks),
        },
        Growth::Growing { .. } => "bytes".into(),
    }
}

/// A rate with at most two decimals: `12,288`, `0.5`, `0.14`. It may be below 0: blocks can become fewer
/// while their bytes grow.
pub(super) fn rate(rate: f64) -> String {
    let text = format!("{:.2}", rate.abs());
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole
        .parse()
        .map_or(whole.to_owned(), |whole| Number(whole).to_string());
    let part = part.trim_end_matches('0');
    let sign = if rate < 0.0 { "-" } else { "" };
    match (&*whole, part) {
        ("0", "") if rate != 0.0 => format!("{sign}less than 0.01"),
        (whole, "") => format!("{sign}{whole}"),
        (whole, part) => format!("{sign}{whole}.{part}"),
    }
}

/// `64`, `64, 128`, `16 to 4,096: 16, 32, … `.
pub(super) fn sizes(sizes: &Sizes) -> String {
    let list: Vec<String> = sizes
        .distinct()
        .into_iter()
        .map(|size| Number(size).to_string())
        .collect();
    match sizes.range() {
        Some((smallest, largest)) if sizes.has_more() => format!(
            "{} to {}: {} and others",
            Number(smallest),
            Number(largest),
            list.join(", ")
        ),
        _ => list.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_set_apart() {
        let shown = [0, 999, 1000, 65_536, 1_234_567].map(|number| Number(number).to_string());
        assert_eq!(shown, ["0", "999", "1,000", "65,536", "1,234,567"]);
        assert_eq!(
            format!("{:>7}|{:<6}|", Number(1000), Number(5)),
            "  1,000|5     |"
        );
    }

    #[test]
    fn rates_have_no_needless_decimals() {
        let shown = [3.0, 0.5, 1.0 / 7.0, 12288.0, -2.5, 0.001, 0.0].map(rate);
        let expected = ["3", "0.5", "0.14", "12,288", "-2.5", "less than 0.01", "0"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn growth_fits_a_column() {
        let growing = |blocks_per_repeat| Growth::Growing {
            blocks_per_repeat,
            bytes_per_repeat: 1.0,
        };
        let rates = [
            1.0,
            0.5,
            1.0 / 7.0,
            99.456,
            100.4,
            12345.6,
            1e9,
            0.001,
            0.0,
            -2.0,
        ];
        let shown = rates.map(|rate| short_growth(growing(rate)));
        let expected = [
            "1", "0.5", "0.14", "99.46", "100", "12,346", ">99999", "<0.01", "bytes", "bytes",
        ];
        assert_eq!(shown, expected);
        assert!(shown.iter().all(|text| text.len() <= 6));
        assert_eq!(short_growth(Growth::OneTime), "0");
    }

    #[test]
    fn what_is_no_text_is_not_shown() {
        assert_eq!(
            clean("a\x1b[31m\nb\u{202e}c"),
            "a\u{fffd}[31m\u{fffd}b\u{fffd}c"
        );
        assert_eq!(clean(&"ä".repeat(201)), "ä".repeat(200) + "…");
        assert_eq!(clean(&"ä".repeat(200)), "ä".repeat(200));
    }

    #[test]
    fn paths_are_cut_in_front() {
        let line = |file: &str| SourceLine {
            file: file.into(),
            line: 7,
            column: Some(2),
        };
        assert_eq!(source(&line("a\n.c")), "a\u{fffd}.c @ 7");
        let long = "ä".repeat(200) + ".c";
        assert_eq!(source(&line(&long)), "…".to_owned() + &long[4..] + " @ 7");
        assert_eq!(source(&line(&long[4..])), long[4..].to_owned() + " @ 7");
    }
}
