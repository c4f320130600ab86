//! Lines of commands: none panics, none hangs, none takes memory without end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poolhit::guest::SavedLab;
use poolhit::{Lab, Session};
use std::sync::LazyLock;

/// A guest at its first prompt; each input has a copy of it.
static GUEST: LazyLock<SavedLab> = LazyLock::new(|| {
    let mut lab = Lab::builder().memory(16 << 20).build().unwrap();
    lab.save().unwrap()
});

/// An output that takes so many bytes, and no more.
struct Limited(usize);

impl std::fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
        Ok(())
    }
}

fuzz_target!(|text: &str| {
    let mut session = Session::new(GUEST.lab().unwrap());
    session.set_budget(300_000);
    session.allow_files(false);
    for line in text.split('\u{1}').take(8) {
        let _ = session.execute_to(line, &mut Limited(1 << 22));
    }
});
