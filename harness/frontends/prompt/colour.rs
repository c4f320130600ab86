//! Colours for what is printed at a terminal: addresses, symbols, bytes.

use super::busy::Busy;
use std::fmt;
use std::io::{self, Write};

const ADDRESS: &str = "\x1b[36m";
const SYMBOL: &str = "\x1b[32m";
const BYTES: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// What a piece of a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Address,
    Symbol,
    Bytes,
    Plain,
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a word of a line is; `behind_address` if the one in front of it is the address that the line
/// starts with, or one of the bytes behind that.
fn kind(word: &str, behind_address: bool) -> Kind {
    let core = word.trim_matches(['(', ')', ':', ',', '[', ']', '=']);
    match core.split_once('`') {
        Some((high, low)) if high.len() == 8 && is_hexadecimal(high) && is_hexadecimal(low) => {
            return Kind::Address;
        }
        _ => {}
    }
    let is_bytes = |part: &str| is_hexadecimal(part) && part.len().is_multiple_of(2);
    let bytes = core.split('-').all(is_bytes);
    if behind_address && bytes && core.len() < 32 {
        return Kind::Bytes;
    }
    match core.split_once('!') {
        Some((module, symbol)) if !module.is_empty() && !symbol.is_empty() => Kind::Symbol,
        _ => Kind::Plain,
    }
}

/// A line with escape codes for the colours.
///
/// ```
/// use poolhit::frontends::prompt::coloured;
/// assert_eq!(coloured("fffff800`014798f6 cc              int     3"),
///     "\x1b[36mfffff800`014798f6\x1b[0m \x1b[33mcc\x1b[0m              int     3");
/// assert_eq!(coloured("nt!NtClose:"), "\x1b[32mnt!NtClose:\x1b[0m");
/// assert_eq!(coloured("Evaluate"), "Evaluate");
/// ```
pub fn coloured(line: &str) -> String {
    let mut text = String::with_capacity(line.len() + 32);
    let mut rest = line;
    let mut behind_address = false;
    while !rest.is_empty() {
        let space = rest.len() - rest.trim_start().len();
        text.push_str(&rest[..space]);
        rest = &rest[space..];
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let kind = kind(word, behind_address);
        let colour = match kind {
            Kind::Address => ADDRESS,
            Kind::Symbol => SYMBOL,
            Kind::Bytes => BYTES,
            Kind::Plain => "",
        };
        match colour {
            "" => text.push_str(word),
            colour => text.push_str(&format!("{colour}{word}{PLAIN}")),
        }
        behind_address = match kind {
            Kind::Address => space == 0 && rest.len() == line.len(),
            Kind::Bytes => true,
            _ => false,
        };
        rest = behind;
    }
    text
}

/// An output whose lines are coloured.
pub(super) struct Colouring<'a> {
    out: &'a mut dyn Write,
    colours: bool,
    busy: &'a Busy,
    /// The line that is not at its end yet.
    line: String,
    error: Option<io::Error>,
}

impl<'a> Colouring<'a> {
    pub fn new(out: &'a mut dyn Write, colours: bool, busy: &'a Busy) -> Colouring<'a> {
        Colouring {
            out,
            colours,
            busy,
            line: String::new(),
            error: None,
        }
    }

    fn put(&mut self, text: &str) {
        self.busy.clear();
        let written = self.out.write_all(text.as_bytes());
        self.error = self.error.take().or(written.err());
    }

    /// Writes the line that has no end.
    pub fn finish(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = if self.colours { coloured(&line) } else { line };
        self.put(&line);
        let flushed = self.out.flush();
        self.error = self.error.take().or(flushed.err());
    }

    /// Why something could not be written.
    pub fn error(self) -> Option<io::Error> {
        self.error
    }
}

impl fmt::Write for Colouring<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.colours {
            self.put(text);
        } else {
            self.line.push_str(text);
            if let Some(end) = self.line.rfind('\n') {
                let rest = self.line.split_off(end + 1);
                let lines = std::mem::replace(&mut self.line, rest);
                let lines: String = lines
                    .lines()
                    .map(|line| format!("{}\n", coloured(line)))
                    .collect();
                self.put(&lines);
            }
        }
        // Who waits for the guest to stop sees what it has printed so far.
        let flushed = self.out.flush();
        self.error = self.error.take().or(flushed.err());
        match self.error {
            Some(_) => Err(fmt::Error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> String {
        [ADDRESS, SYMBOL, BYTES, PLAIN]
            .iter()
            .fold(text.to_string(), |text, code| text.replace(code, ""))
    }

    #[test]
    fn pieces_have_their_colours() {
        let line = "fffff880`04ec1680 fffff800`0161090e nt!ExAllocatePoolWithTag+0x82e";
        let expected = format!(
            "{ADDRESS}fffff880`04ec1680{PLAIN} {ADDRESS}fffff800`0161090e{PLAIN} \
             {SYMBOL}nt!ExAllocatePoolWithTag+0x82e{PLAIN}"
        );
        assert_eq!(coloured(line), expected);
        let line = "fffff800`01450000  4d 5a 90 00-03 00  MZ....";
        assert_eq!(coloured(line).matches(BYTES).count(), 5);
        assert_eq!(coloured("dd cafe: the bad face!"), "dd cafe: the bad face!");
    }

    proptest! {
        #[test]
        fn colours_change_no_text(line in "(\\PC|[0-9a-f`! ]){0,60}") {
            prop_assert_eq!(plain(&coloured(&line)), line);
        }
    }
}
