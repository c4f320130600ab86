//! Annotations of GitHub Actions: workflow commands, which a step writes to its output ("Workflow
//! commands for GitHub Actions", "Setting an error message").
//!
//! `file` and `line` are those of [`PathReport::source`]: where a driver's PDB has source lines, GitHub
//! shows the error at the line that allocates.

use super::end::why;
use super::left_behind;
use super::requests;
use super::source_path::path_in;
use super::text::{heading, summary, write_frames, write_path};
use super::words::{clean, text_of};
use crate::leaks::{LeakReport, PathReport, RunStop};
use crate::symbols::SourceLine;
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

/// If something stopped the run, an error at the driver's line where it did. Then one for each way that leaks,
/// those with the most bytes first, and for each kind of request that is never completed; if there are more
/// than [`ANNOTATIONS`], the last is the sum of all. Nothing if all that was to be done was done, and
/// nothing has leaked.
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

/// The properties that say where a line is, each with a comma behind it.
fn place(source: Option<&SourceLine>, source_root: Option<&str>) -> String {
    let Some(source) = source else {
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

/// A command.
fn error(source: Option<&SourceLine>, root: Option<&str>, title: &str, message: &str) -> String {
    let (title, message) = (property(title), data(message.trim_end()));
    format!("::error {}title={title}::{message}\n", place(source, root))
}

fn of_stop(stop: &RunStop, root: Option<&str>) -> String {
    let title = format!("Stopped: {}", why(stop));
    let mut message = String::new();
    // Writing to a String cannot fail.
    if let Some(step) = &stop.step {
        let _ = writeln!(message, "{}", clean(step));
    }
    if stop.stack.is_some() {
        let _ = write_frames(&mut message, stop.stack.as_ref());
    }
    if message.is_empty() {
        message.clone_from(&title);
    }
    let source = stop.place.as_ref().and_then(|place| place.source.as_ref());
    error(source, root, &title, &message)
}

fn of_path(path: &PathReport, root: Option<&str>) -> String {
    let drivers = match path.drivers.join(", ") {
        names if names.is_empty() => "a driver".to_owned(),
        names => names,
    };
    let title = format!("Pool leak in {}: {}", clean(&drivers), heading(path));
    let mut message = String::new();
    let _ = write_path(&mut message, path);
    error(path.source(), root, &title, &message)
}

fn annotations(report: &LeakReport, root: Option<&str>) -> String {
    let stop = report.end.stop().map(|stop| of_stop(stop, root));
    let paths = report.leaks().map(|path| of_path(path, root));
    let requests = report.requests.iter().map(|kind| {
        let title = format!("Never completed: {}", requests::heading(kind));
        let mut message = String::new();
        let _ = requests::write_kind(&mut message, kind);
        error(kind.source.as_ref(), root, &title, &message)
    });
    let left = report.left_behind.iter().map(|one| {
        let title = format!("Left behind: {}", left_behind::heading(one));
        let mut message = String::new();
        let _ = left_behind::write_one(&mut message, one);
        error(one.source.as_ref(), root, &title, &message)
    });
    let count = report.leaks().count()
        + report.requests.len()
        + report.left_behind.len()
        + usize::from(stop.is_some());
    let shown = match count {
        0..=ANNOTATIONS => count,
        _ => ANNOTATIONS - 1,
    };
    let all = stop.into_iter().chain(paths).chain(requests).chain(left);
    let mut out: String = all.take(shown).collect();
    if shown < count {
        out.push_str(&error(None, root, "Pool leaks", &summary(report)));
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
