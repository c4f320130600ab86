//! Random lines of commands: of the language's words, and of noise. None panics, none hangs; a line that is an
//! error of its form leaves the guest, and what the session remembers, as it was. `POOLHIT_RANDOM_LINES` says how many; in `fuzz/` is a target
//! for cargo-fuzz that reads lines in the same way.

mod random_lines;

use poolhit::{Lab, Session};
use random_lines::{Random, changes_nothing, grammatical, noise, single};

/// How many lines by default; continuous integration asks for 100,000.
const LINES: u64 = 4000;
/// After so many lines the guest is a new one.
const LIFE: u64 = 200;

fn session() -> Session {
    let mut session = Session::new(Lab::builder().memory(16 << 20).build().unwrap());
    session.set_budget(300_000);
    session.allow_files(false);
    session
}

#[test]
fn random_lines_do_no_harm() {
    let asked = std::env::var("POOLHIT_RANDOM_LINES").ok();
    let lines = asked.and_then(|text| text.parse().ok()).unwrap_or(LINES);
    let seed = std::env::var("POOLHIT_RANDOM_SEED").ok();
    let seed: u64 = seed.and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed);
    let (mut failed, mut hashed, mut compared) = (0, 0, 0);
    let mut session = session();
    let saved = session.save().unwrap();
    for number in 0..lines {
        if number % LIFE == 0 {
            session = Session::new(session.into_lab());
            session.set_budget(300_000);
            session.allow_files(false);
            let _ = session.execute("bc *");
            session.restore(&saved).unwrap();
        }
        let line = match number % 4 {
            0 => noise(&mut random),
            1 => single(&mut random),
            _ => grammatical(&mut random),
        };
        // hashing takes longer than most lines
        let looks = changes_nothing(&line);
        let guest = |session: &Session| session.lab().machine().state_hash();
        let before = (looks && number % 10 < 2).then(|| guest(&session));
        let remembered = looks.then(|| session.digest());
        let mut out = Limited(1 << 22);
        if session.execute_to(&line, &mut out).is_ok() {
            continue;
        }
        failed += 1;
        if let Some(before) = before {
            hashed += 1;
            assert_eq!(
                guest(&session),
                before,
                "{line:?} (seed {seed}, line {number})"
            );
        }
        if let Some(remembered) = remembered {
            compared += 1;
            let now = session.digest();
            assert_eq!(now, remembered, "{line:?} (seed {seed}, line {number})");
        }
    }
    // lines that all fail, or none, would show little
    assert!(
        failed > lines / 10 && failed < lines * 9 / 10,
        "{failed} of {lines} failed"
    );
    assert!(compared > failed / 4, "{compared} of {failed} compared");
    assert!(hashed > failed / 40, "{hashed} of {failed} hashed");
}

/// An output that takes so many bytes, and no more.
struct Limited(usize);

impl std::fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(std::fmt::Error)?;
        Ok(())
    }
}
