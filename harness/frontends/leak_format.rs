//! The forms in which `poolhit leaks` gives its report.

use crate::leaks::LeakReport;
use crate::report::leaks::{
    to_flame_graph, to_folded, to_github, to_github_in, to_html, to_json, to_pprof, write_text,
};
use std::path::Path;

/// A form of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LeakFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: `docs/leaks.schema.json`.
    Json,
    /// A page.
    Html,
    /// A flame graph of the bytes leaked and kept, as SVG.
    Svg,
    /// Stacks in one line each, for other programs that draw flame graphs.
    Folded,
    /// A profile for `go tool pprof` and others, compressed.
    Pprof,
    /// Annotations of GitHub Actions.
    Github,
}

impl LeakFormat {
    /// The form that a file's name asks for: `.txt`, `.json`, `.html`, `.svg`, `.folded`, `.pb.gz`.
    ///
    /// ```
    /// use poolhit::frontends::LeakFormat;
    /// assert_eq!(LeakFormat::of_file("out/leaks.pb.gz".as_ref()), Some(LeakFormat::Pprof));
    /// assert_eq!(LeakFormat::of_file("leaks.doc".as_ref()), None);
    /// ```
    pub fn of_file(path: &Path) -> Option<LeakFormat> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let formats = [
            (".txt", LeakFormat::Text),
            (".json", LeakFormat::Json),
            (".html", LeakFormat::Html),
            (".svg", LeakFormat::Svg),
            (".folded", LeakFormat::Folded),
            (".pb.gz", LeakFormat::Pprof),
        ];
        let fits = |(end, _): &&(&str, LeakFormat)| name.ends_with(end);
        formats.iter().find(fits).map(|(_, format)| *format)
    }

    /// The report in this form. Annotations name source files by their paths from `source_root`, the
    /// repository's folder where the driver was compiled, if there is one.
    ///
    /// ```
    /// use poolhit::{Lab, frontends::LeakFormat};
    /// let report = Lab::builder().track_leaks().build()?.leaks()?;
    /// assert!(LeakFormat::Html.bytes(&report, None).starts_with(b"<!DOCTYPE html>"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bytes(self, report: &LeakReport, source_root: Option<&str>) -> Vec<u8> {
        let text = match self {
            LeakFormat::Text => {
                let mut text = String::new();
                let _ = write_text(&mut text, report); // a String takes all
                text
            }
            LeakFormat::Json => to_json(report),
            LeakFormat::Html => to_html(report),
            LeakFormat::Svg => to_flame_graph(report),
            LeakFormat::Folded => to_folded(report),
            LeakFormat::Github => match source_root {
                Some(root) => to_github_in(report, root),
                None => to_github(report),
            },
            LeakFormat::Pprof => return to_pprof(report),
        };
        text.into_bytes()
    }
}
