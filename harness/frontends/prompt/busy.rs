//! That the guest runs, shown on standard error until something is printed.

use crate::debugger::progress::Progress;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes the cursor to the start of the line, and what is on it away.
const CLEAR: &str = "\r\x1b[K";
/// Has what is behind the last column stay there, and not go on in the next row (DECAWM): of two rows only
/// the last could be taken away. However wide the terminal is by then, the line is one row.
const ONE_ROW: &str = "\x1b[?7l";
const MANY_ROWS: &str = "\x1b[?7h";

/// Whether the line is shown.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    shown: Arc<AtomicBool>,
    terminal: bool,
}

impl Busy {
    pub fn new() -> Busy {
        Busy {
            shown: Arc::default(),
            terminal: io::stderr().is_terminal() && io::stdout().is_terminal(),
        }
    }

    /// What shows the line again and again.
    pub fn reporter(&self) -> impl FnMut(Progress) + Send + 'static + use<> {
        let busy = self.clone();
        move |progress| {
            if busy.terminal {
                busy.shown.store(true, Ordering::Relaxed);
                eprint!("{CLEAR}{ONE_ROW}{}{MANY_ROWS}", line(progress));
                let _ = io::stderr().flush();
            }
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.shown.swap(false, Ordering::Relaxed) {
            eprint!("{CLEAR}");
            let _ = io::stderr().flush();
        }
    }
}

/// What is shown.
fn line(progress: Progress) -> String {
    let stops = match progress.stops {
        0 => String::new(),
        1 => ", 1 stop passed".to_string(),
        stops => format!(", {stops} stops passed"),
    };
    let millions = progress.work >> 20;
    format!("*BUSY* Debuggee is running: {millions} MiB of code{stops} (Ctrl+C breaks in)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let at = |work, stops| line(Progress { work, stops });
        assert_eq!(
            at(5 << 20, 0),
            "*BUSY* Debuggee is running: 5 MiB of code (Ctrl+C breaks in)"
        );
        assert!(at(0, 1).contains("1 stop passed"));
        assert!(at(0, 7).contains("7 stops passed"));
    }
}
