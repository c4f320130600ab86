//! Annotations of GitHub Actions: workflow commands, which a step writes to its output ("Workflow
//! commands for GitHub Actions", "Setting an error message").
//!
//! No file and line are given: images and PDBs of the debugger have no source lines.

use super::text::{heading, summary, write_path};
use super::words::clean;
use crate::leaks::LeakReport;
use std::fmt::Write;

/// The most annotations: GitHub shows ten errors of a step, and one of these is the sum.
pub const ANNOTATIONS: usize = 10;

/// A message: line ends and `%` would end or change it.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property, which `:` and `,` end too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// An error for each way that leaks, those with the most bytes first; if there are more than
/// [`ANNOTATIONS`], the last is the sum of all. Nothing if nothing has leaked.
///
/// ```
/// use poolhit::{Lab, Session, report::leaks::to_github};
/// let mut session = Session::new(Lab::builder().track_leaks().build()?);
/// assert_eq!(to_github(&session.leaks()?), "");
/// session.go()?;
/// let annotations = to_github(&session.leaks()?);
/// assert!(annotations.starts_with("::error title=Pool leak in myfault%3A "), "{annotations}");
/// assert_eq!(annotations.lines().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_github(report: &LeakReport) -> String {
    let leaks = report.leaks().count();
    let shown = match leaks {
        0..=ANNOTATIONS => leaks,
        _ => ANNOTATIONS - 1,
    };
    let mut out = String::new();
    for path in report.leaks().take(shown) {
        let drivers = match path.drivers.join(", ") {
            names if names.is_empty() => "a driver".to_owned(),
            names => names,
        };
        let title = format!("Pool leak in {}: {}", clean(&drivers), heading(path));
        let mut message = String::new();
        // Writing to a String cannot fail.
        let _ = write_path(&mut message, path);
        let (title, message) = (property(&title), data(message.trim_end()));
        let _ = writeln!(out, "::error title={title}::{message}");
    }
    if shown < leaks {
        let message = data(&summary(report));
        let _ = writeln!(out, "::error title=Pool leaks::{message}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command() {
        assert_eq!(data("a%b\r\n::error::x"), "a%25b%0D%0A::error::x");
        assert_eq!(property("a:b,c\n"), "a%3Ab%2Cc%0A");
    }
}
