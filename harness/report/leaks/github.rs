//! Annotations of GitHub Actions: workflow commands, which a step writes to its output ("Workflow
//! commands for GitHub Actions", "Setting an error message").
//!
//! `file` and `line` are those of [`PathReport::source`]: where a driver's PDB has source lines, GitHub
//! shows the error at the line that allocates.

use super::source_path::path_in;
use super::text::{heading, summary, write_path};
use super::words::{clean, text_of};
use crate::leaks::{LeakReport, PathReport};
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
/// Source files have the paths that the compiler was told, which GitHub does not know unless they are
/// relative to the repository: [`to_github_in`] makes them so.
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
    annotations(report, None)
}

/// What [`to_github`] gives, with source files by their paths from `source_root`, the repository's folder
/// on the machine that the driver was compiled on (`GITHUB_WORKSPACE` of that job). Files outside of it
/// keep their whole paths.
///
/// ```
/// use poolhit::{Lab, guest::ImageFile, report::leaks::to_github_in, scenario::Scenario};
/// use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};
/// let driver = ImageFile::parse(LEAKY.name, LEAKY.bytes, Some(LEAKY_PDB.bytes))?;
/// let mut lab = Lab::builder().driver(driver).requester().track_leaks().build()?;
/// let scenario = Scenario {
///     device: Some(r"\\.\Leaky".into()),
///     steps: vec!["0x222044:ad0b0000".parse()?],
///     ..Scenario::default()
/// };
/// scenario.run(&mut lab, |_| ())?;
/// let annotations = to_github_in(&lab.leaks()?, "/guest");
/// assert!(annotations.starts_with("::error file=leaky/leaky.c,line="), "{annotations}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_github_in(report: &LeakReport, source_root: &str) -> String {
    annotations(report, Some(source_root))
}

/// The properties that say where a way's line is, each with a comma behind it.
fn place(path: &PathReport, source_root: Option<&str>) -> String {
    let Some(source) = path.source() else {
        return String::new();
    };
    let file = path_in(&source.file, source_root);
    let mut place = format!("file={},line={},", property(&text_of(&file)), source.line);
    if let Some(column) = source.column {
        // Writing to a String cannot fail.
        let _ = write!(place, "col={column},");
    }
    place
}

fn annotations(report: &LeakReport, source_root: Option<&str>) -> String {
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
        let place = place(path, source_root);
        let _ = writeln!(out, "::error {place}title={title}::{message}");
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
