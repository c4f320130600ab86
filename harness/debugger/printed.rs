//! What the guest prints while it runs (`DbgPrint` and the like), as the debugger shows it.

use super::session::Session;
use crate::guest::debug_text;
use crate::machine::debug_port::Sent;
use std::collections::VecDeque;

/// The most that is kept of one run's output, in bytes. The rest is counted.
pub const PRINTED_LIMIT: usize = 16 << 20;

/// What the guest has printed in a run: parts of what it has sent, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Printed {
    parts: Vec<Sent>,
    /// What the session itself tells in between, each with the number of the byte that it stands in front
    /// of; those not shown yet.
    notes: VecDeque<(u64, String)>,
    /// How far it has been shown.
    shown: u64,
    kept: usize,
}

impl Printed {
    /// Nothing, up to the byte with this number.
    pub fn from(position: u64) -> Printed {
        Printed {
            shown: position,
            ..Printed::default()
        }
    }

    /// Where the next part starts.
    fn end(&self) -> u64 {
        let last = self.parts.last();
        last.map_or(self.shown, |part| part.start + part.bytes.len() as u64)
    }

    fn add(&mut self, part: Sent) {
        if !part.bytes.is_empty() && self.kept < PRINTED_LIMIT {
            self.kept += part.bytes.len();
            self.parts.push(part);
        }
    }

    /// All of it, shown or not.
    pub fn text(&self) -> String {
        let parts = self.parts.iter().map(|part| debug_text(&part.bytes));
        parts.collect()
    }

    /// What has not been shown. To be called when nothing runs.
    pub fn show_rest(&mut self) -> String {
        self.show(self.end())
    }

    /// Tells something behind what has been printed up to now.
    pub fn note(&mut self, text: String) {
        self.notes.push_back((self.end(), text));
    }

    /// What has not been shown, up to the last note.
    pub fn show_notes(&mut self) -> String {
        let mut text = String::new();
        while let Some((at, note)) = self.notes.pop_front() {
            text.push_str(&self.show(at));
            text.push_str(&note);
        }
        text
    }

    /// What has not been shown, up to the byte with this number; what is lost is said. No note is to be
    /// left to be shown.
    pub fn show(&mut self, end: u64) -> String {
        let mut text = String::new();
        let mut lost = 0;
        for part in &self.parts {
            let from = self.shown.max(part.start);
            let to = end.min(part.start + part.bytes.len() as u64);
            if from >= to {
                continue;
            }
            lost += from - self.shown;
            note_lost(&mut text, &mut lost);
            let range = (from - part.start) as usize..(to - part.start) as usize;
            text.push_str(&debug_text(&part.bytes[range]));
            self.shown = to;
        }
        lost += end.saturating_sub(self.shown);
        note_lost(&mut text, &mut lost);
        self.shown = self.shown.max(end);
        text
    }
}

fn note_lost(text: &mut String, lost: &mut u64) {
    if *lost > 0 {
        text.push_str(&format!("[{lost} bytes of debug output are lost]\n"));
        *lost = 0;
    }
}

impl Session {
    /// Forgets what was printed before.
    pub(super) fn start_printing(&mut self) {
        self.printed = Printed::from(self.lab.machine().sent_bytes());
    }

    /// Takes what the guest has printed up to now.
    pub(super) fn collect_printed(&mut self) {
        let machine = self.lab.machine();
        if machine.sent_bytes() > self.printed.end() {
            let part = machine.sent_since(self.printed.end());
            self.printed.add(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: u64, bytes: &[u8]) -> Sent {
        let bytes = bytes.to_vec();
        Sent { start, bytes }
    }

    #[test]
    fn parts_in_order_and_what_is_lost() {
        let mut printed = Printed::from(10);
        printed.add(part(10, b"abc"));
        printed.add(part(13, b"def"));
        assert_eq!(printed.show(14), "abcd");
        assert_eq!(printed.show(12), "");
        printed.add(part(20, b"xyz"));
        let lost = "[4 bytes of debug output are lost]\n";
        assert_eq!(printed.show(22), format!("ef{lost}xy"));
        assert_eq!(printed.end(), 23);
        assert_eq!(printed.show(25), "z[2 bytes of debug output are lost]\n");
    }

    #[test]
    fn notes_stand_where_they_were_told() {
        let mut printed = Printed::from(10);
        printed.note("first;".into());
        printed.add(part(10, b"abc"));
        printed.note("second;".into());
        printed.add(part(13, b"def"));
        assert_eq!(printed.show_notes(), "first;abcsecond;");
        assert_eq!(printed.show_rest(), "def");
        assert_eq!(printed.text(), "abcdef");
    }

    #[test]
    fn a_run_s_output_has_a_limit() {
        let mut printed = Printed::default();
        printed.add(part(0, &vec![b'x'; PRINTED_LIMIT]));
        let end = PRINTED_LIMIT as u64;
        printed.add(part(end, b"more"));
        let text = printed.show(end + 4);
        assert!(text.ends_with("x[4 bytes of debug output are lost]\n"));
    }
}
